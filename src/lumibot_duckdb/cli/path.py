"""`lumibot-duckdb path`: where the store is."""

from __future__ import annotations

import argparse
import os
import sys
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
    # In bytes: a name that is to be opened is the file system's, whatever the terminal's encoding.
    sys.stdout.buffer.write(os.fsencode(chosen_path(arguments.store)) + b"\n")
    return 0
