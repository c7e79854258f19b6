"""`lumibot-duckdb path`: the path of the store."""

from __future__ import annotations

import argparse
import os
import sys

from lumibot_duckdb.cli.store import chosen_path

_DESCRIPTION = """\
Print the path of the store and nothing else, whether or not the store exists.
"""
_EXAMPLES = """\
examples:
  lumibot-duckdb path
  duckdb -readonly "$(lumibot-duckdb path)"

exit codes: 0 success; 2 wrong usage; 3 the folder cannot be read.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.description, parser.epilog = _DESCRIPTION, _EXAMPLES
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    # In bytes: a path that is to be opened has the file system's encoding, not the terminal's.
    sys.stdout.buffer.write(os.fsencode(chosen_path(arguments.store)) + b"\n")
    return 0
