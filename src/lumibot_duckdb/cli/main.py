"""The `lumibot-duckdb` command: runs the chosen command, and turns every error into one line and an exit code.

Exit codes: 0 success; 1 something was refused (a file, a query); 2 wrong usage; 3 the store cannot be used; 70 an error
in lumibot-duckdb itself; 130 interrupted; 129, 143 stopped by SIGHUP or SIGTERM; 141 the reader of the output ended.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext

from lumibot_duckdb.cli.commands import COMMANDS
from lumibot_duckdb.cli.errors import CommandError, fail
from lumibot_duckdb.cli.interrupts import interrupted, is_interrupt, stopped_by_signals
from lumibot_duckdb.cli.parser import CommandLineParser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with arguments (default: those of the process) and return its exit code."""
    words = sys.argv[1:] if argv is None else list(argv)
    if "_ARGCOMPLETE" in os.environ:  # set by the completion scripts
        _print_completions()
    if not words:
        print(CommandLineParser(()).format_help(), end="")
        return 2
    try:
        arguments = _parsed(words)
    except SystemExit as ended:
        return int(ended.code or 0)
    runs_script = arguments.subcommand == "run"  # which controls its own output, and its own signals
    if not runs_script:
        _write_all_characters()
    try:
        with nullcontext() if runs_script else stopped_by_signals():
            outcome: int | Callable[[], int] = arguments.run(arguments)
        if isinstance(outcome, int):
            sys.stdout.flush()
    except BrokenPipeError:
        # Python flushes stdout once more at exit, which would raise again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except KeyboardInterrupt as stop:
        return _explain(interrupted(stop))
    except Exception as error:
        return _explain(interrupted(error) if is_interrupt(error) else error)
    return outcome if isinstance(outcome, int) else outcome()


def _parsed(words: Sequence[str]) -> argparse.Namespace:
    return CommandLineParser([command.name for command in COMMANDS if command.name in words]).parse(words)


def _print_completions() -> None:
    """Print the completions of the command line that is being typed, and end the process."""
    from lumibot_duckdb.cli.completers import print_completions

    print_completions(CommandLineParser([command.name for command in COMMANDS]))


def _write_all_characters() -> None:
    """Write characters that the output's encoding lacks as escapes, rather than fail once the work is done."""
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
    return fail(f"{type(error).__name__}: {error} (LUMIBOT_DUCKDB_DEBUG=1 shows the traceback)", 70)


if __name__ == "__main__":
    sys.exit(main())
