"""`run --live`: records what a live script reads and does, and reports at its end how much."""

from __future__ import annotations

import argparse
import atexit
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from lumibot_duckdb.cli.errors import CommandError
from lumibot_duckdb.cli.layout import printable
from lumibot_duckdb.cli.settings import settings
from lumibot_duckdb.cli.store import LOOK_SECONDS, check_recordable

if TYPE_CHECKING:
    from lumibot_duckdb.live.activation import Activation


def record_live(store: Path, script: Path | None, arguments: argparse.Namespace) -> None:
    """Record what the script in this process reads and does, until it ends, in any way.

    Raises:
        CommandError: the script would backtest, or the options cannot be used.
        StorageError: the store or the results are another file, damaged, or of a newer release.
    """
    if settings(script).get("IS_BACKTESTING", "").strip().lower() == "true":
        raise CommandError(
            "IS_BACKTESTING is true, so the script would run a backtest: unset it, or set it to false, to trade live; "
            "backtests run without --live"
        )
    from lumibot_duckdb.live.activation import activate
    from lumibot_duckdb.results.errors import InvalidResultError
    from lumibot_duckdb.results.location import results_path

    try:
        check_recordable(store)
        _check_results(results_path(arguments.results, store))
        active = activate(store, results=arguments.results, name=arguments.name)
    except (ValueError, InvalidResultError) as error:
        raise CommandError(str(error)) from None
    if active is None:  # which a warning has explained
        return

    from lumibot_duckdb.live.recording import process_end

    end = _End(active)
    process_end.close_then(end)
    atexit.register(end.close)  # before others close, so that all is stored when the lines are printed


def _check_results(path: Path) -> None:
    """Raise what is wrong with the results. If they are in use, they can be written later."""
    from lumibot_duckdb.results import ResultsDatabase
    from lumibot_duckdb.storage.errors import StoreBusyError

    with suppress(StoreBusyError):
        ResultsDatabase(path, wait_seconds=LOOK_SECONDS).has_sweep("")


class _End:
    """Ends the recording with the process, by SIGTERM too, and then reports what became of it.

    Parameters:
        active: what is recorded.
    """

    def __init__(self, active: Activation) -> None:
        self._active: Activation | None = active

    def close(self, timeout: float | None = None) -> bool:
        """End the recording within `timeout` seconds, and report once."""
        from lumibot_duckdb.live.activation import CLOSE_SECONDS, deactivate

        reported, self._active = self._active, None
        if reported is not None:
            deactivate(CLOSE_SECONDS if timeout is None else timeout)
            if sys.stderr is not None:
                for line in _report(reported):
                    print_at_the_end(f"lumibot-duckdb: {printable(line)}")
        return True

    def start_over(self) -> None:
        """Report nothing in a forked process."""
        self._active = None


def print_at_the_end(line: str) -> None:
    """Print a line on standard error, also from the handler of a signal that came while the program wrote there."""
    try:
        print(line, file=sys.stderr, flush=True)
    except RuntimeError:  # Python's buffers cannot be entered twice
        os.write(sys.stderr.fileno(), f"{line}\n".encode(errors="backslashreplace"))


def _report(active: Activation) -> Iterator[str]:
    """Yield what became of the bars and of each session, one line each."""
    from lumibot_duckdb.storage.bars.spool import Spool

    counts = active.counts
    parts = [f"{counts.recorded:,} bars recorded in {active.store}"]
    if counts.waiting:
        parts.append(f"{counts.waiting:,} not stored, because the store was in use")
    yield ", ".join([*parts, _lost(counts.lost)])
    yield from Spool(active.store).sentences()
    if active.sessions is None:
        return
    for name, rows in active.sessions.counts.items():
        title = f"session {name}" if name else "a session that could not be stored"
        parts = [f"{title}: {rows.written:,} rows recorded in {active.sessions.path}"]
        if rows.spooled:
            parts.append(f"{rows.spooled:,} kept beside it until the next session begins")
        yield ", ".join([*parts, _lost(rows.lost + rows.waiting)])


def _lost(number: int) -> str:
    return f"{number:,} lost (the log has the reasons)" if number else "none lost"
