"""The `lumibot-duckdb` command: picks the subcommand, and turns every error into one line and an exit code.

Exit codes: 0 done; 1 refused (a file, a query); 2 the command was given wrongly; 3 trouble with the store;
70 a fault of lumibot-duckdb itself; 130 interrupted; 141 the reader of the output went away.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, NoReturn

from lumibot_duckdb import __version__
from lumibot_duckdb.cli.errors import CommandError, fail
from lumibot_duckdb.cli.interrupts import is_interrupt

# Each module has `add_parser(subparsers)`, which sets `run` to a function of the parsed arguments that returns the exit
# code; or, when all is ready to run what is not the command's own, the function that does, whose errors are not either.
# The modules load what they work with only when they run.
_COMMANDS = ("import_files", "migrate", "status", "sql", "path", "run", "compare", "demo", "doctor")

_EXAMPLES = """\
examples:
  lumibot-duckdb import data/*.csv --timezone America/New_York
  lumibot-duckdb status
  lumibot-duckdb sql "SELECT asset_symbol, count(*) FROM ohlcv_data GROUP BY ALL"

The store is the one of --store, else of the environment variable LUMIBOT_DUCKDB_PATH, else in Lumibot's cache folder.
LUMIBOT_DUCKDB_DEBUG=1 shows where an error comes from.
"""


class _Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{"formatter_class": argparse.RawDescriptionHelpFormatter, "allow_abbrev": False, **settings})

    def error(self, message: str) -> NoReturn:
        self.exit(fail(f"{message} (see {self.prog} --help)", 2))


class _CommandParser(_Parser):
    """The parser of a subcommand: it also takes what may stand before the subcommand."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        _add_store_option(self, default=argparse.SUPPRESS)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with arguments (default: those of the process) and return its exit code."""
    try:
        arguments = _parser().parse_args(argv)
    except SystemExit as ended:
        return int(ended.code or 0)
    if arguments.subcommand != "run":  # there, it is the script that writes
        _write_all_characters()
    try:
        outcome: int | Callable[[], int] = arguments.run(arguments)
        if isinstance(outcome, int):
            sys.stdout.flush()
    except BrokenPipeError:
        # Python flushes stdout once more at exit, which would complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except KeyboardInterrupt:
        return fail("interrupted", 130)
    except Exception as error:
        return fail("interrupted", 130) if is_interrupt(error) else _explain(error)
    return outcome if isinstance(outcome, int) else outcome()


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="lumibot-duckdb",
        description="One DuckDB store of price bars under every Lumibot backtest.",
        epilog=_EXAMPLES,
    )
    parser.add_argument("--version", action="version", version=f"lumibot-duckdb {__version__}")
    _add_store_option(parser, default=None)
    subparsers = parser.add_subparsers(
        title="commands", dest="subcommand", metavar="COMMAND", required=True, parser_class=_CommandParser
    )
    for name in _COMMANDS:
        import_module(f"lumibot_duckdb.cli.{name}").add_parser(subparsers)
    return parser


def _add_store_option(parser: argparse.ArgumentParser, default: str | None) -> None:
    parser.add_argument(
        "--store", metavar="PATH", default=default, help="the store: a folder, or a file ending in .duckdb"
    )


def _write_all_characters() -> None:
    """Let the output have escapes for what its encoding lacks, rather than fail when all work is done."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")


def _explain(error: Exception) -> int:
    from lumibot_duckdb.storage.errors import StorageError

    if os.environ.get("LUMIBOT_DUCKDB_DEBUG"):
        import traceback

        traceback.print_exc()
    if isinstance(error, CommandError):
        return fail(str(error), error.exit_code)
    if isinstance(error, StorageError):
        return fail(str(error), 3)
    return fail(f"{type(error).__name__}: {error} (LUMIBOT_DUCKDB_DEBUG=1 shows where it comes from)", 70)


if __name__ == "__main__":
    sys.exit(main())
