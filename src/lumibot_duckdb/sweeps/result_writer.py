"""Writes trials to the results database as they arrive, and keeps them while another program has the file open."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from time import monotonic

from lumibot_duckdb.results.database import ResultsDatabase
from lumibot_duckdb.storage.errors import StoreBusyError
from lumibot_duckdb.sweeps.scheduling import NumberedRecord

logger = logging.getLogger(__name__)

_PAUSE = 2.0
"""Seconds between two transactions: each takes 25 ms of CPU time, which short trials can share."""
_WAIT = 1.0
"""Seconds to wait for another program. Meanwhile no trial is started."""
_BUSY_PAUSE = 5.0
_MOST_KEPT = 200
"""Records that wait in memory at most. A record of minutes over years has megabytes."""
_LONGEST_WAIT = 3_600.0
"""Seconds after which a sweep gives up that cannot write, because another program keeps the file open."""


class ResultWriter:
    """Writes the records of a sweep.

    A sweep of hours shall not end because somebody looks at its results, so records wait while the file is busy, and
    then the sweep does.
    """

    def __init__(self, results: Path, sweep: str) -> None:
        self._sweep = sweep
        self._soon = ResultsDatabase(results, wait_seconds=_WAIT)
        self._patient = ResultsDatabase(results)
        self._waiting: list[NumberedRecord] = []
        self._due = 0.0
        self._is_busy = False

    def add(self, records: Sequence[NumberedRecord] = ()) -> None:
        """Take records, and write those that wait if it is time to.

        If too many wait, this waits, too, so that no further trial is started. Raises `StoreBusyError` after an hour.
        """
        self._waiting += records
        if len(self._waiting) > _MOST_KEPT:
            self.flush()
        if not self._waiting or monotonic() < self._due:
            return
        try:
            self._write(self._soon)
        except StoreBusyError as busy:
            self._report(busy)
            self._due = monotonic() + _BUSY_PAUSE

    def flush(self, longest_wait: float | None = None) -> None:
        """Write all records that wait. Raises `StoreBusyError` if that takes longer than some seconds (an hour)."""
        deadline = monotonic() + (_LONGEST_WAIT if longest_wait is None else longest_wait)
        while self._waiting:
            try:
                self._write(self._patient)
            except StoreBusyError as busy:
                if monotonic() >= deadline:
                    raise
                self._report(busy)

    def _report(self, busy: StoreBusyError) -> None:
        if not self._is_busy:
            logger.warning("%s Trials are kept in memory until then", busy)
        self._is_busy = True

    def _write(self, database: ResultsDatabase) -> None:
        database.add_trials(self._sweep, self._waiting)
        self._waiting = []
        self._is_busy, self._due = False, monotonic() + _PAUSE
