"""Writes trials to the results database as they arrive, and keeps them while another program has the file open."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from lumibot_duckdb.storage.errors import StoreBusyError
from lumibot_duckdb.sweeps.scheduling import NumberedRecord

logger = logging.getLogger(__name__)

_MOST_KEPT = 200
"""Records that wait in memory at most. A record of minutes over years has megabytes."""


class ResultWriter:
    """Passes records to `write`, which raises `StoreBusyError` while another program has the file open.

    A sweep of hours shall not end because somebody looks at its results: records wait until the next ones arrive.
    """

    def __init__(self, write: Callable[[Sequence[NumberedRecord]], None]) -> None:
        self._write = write
        self._waiting: list[NumberedRecord] = []

    def add(self, records: Sequence[NumberedRecord]) -> None:
        """Write records, and those that wait. Raises `StoreBusyError` if too many would have to wait."""
        self._waiting += records
        try:
            self.flush()
        except StoreBusyError as busy:
            if len(self._waiting) > _MOST_KEPT:
                raise
            if len(self._waiting) == len(records):
                logger.warning("%s Trials are kept in memory until then", busy)

    def flush(self) -> None:
        """Write the records that wait."""
        if self._waiting:
            self._write(self._waiting)
            self._waiting = []
