"""`lumibot-duckdb path`: where the store is."""

from __future__ import annotations

import argparse
from typing import Any

from lumibot_duckdb.cli.store import chosen_path

_EXAMPLES = """\
examples:
  lumibot-duckdb path
  duckdb -readonly "$(lumibot-duckdb path)"
"""


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "path",
        help="print where the store is",
        description="Print the path of the store file, whether it is there or not, and nothing else.",
        epilog=_EXAMPLES,
    )
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    print(chosen_path(arguments.store))
    return 0
