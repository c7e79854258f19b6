"""Starts the backfill with the first live read.

It imports Lumibot, which reads the environment when it is imported. By the first read, the script has imported it, and
has its credentials.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from lumibot_duckdb.storage.api import DataStorageInterface

if TYPE_CHECKING:
    from lumibot_duckdb.live.backfill.backfill import Backfill

logger = logging.getLogger(__name__)


class LateBackfill:
    """A backfill that has not begun yet.

    Parameters:
        storage: opens the store; called in a thread.
    """

    def __init__(self, storage: Callable[[], DataStorageInterface]) -> None:
        self._storage = storage
        self._backfill: Backfill | None = None
        self._is_closed = False
        self._guard = threading.Lock()

    def start(self) -> None:
        """Begin, in a thread, because the imports take a second."""
        threading.Thread(target=self._start, name="lumibot-duckdb-backfill-start", daemon=True).start()

    def close(self, timeout: float) -> None:
        """End after the current response, for which it waits for at most `timeout` seconds."""
        with self._guard:
            self._is_closed = True
        if self._backfill is not None:
            self._backfill.close(timeout)

    def _start(self) -> None:
        try:
            from lumibot_duckdb.live.backfill.backfill import Backfill

            with self._guard:
                if not self._is_closed and self._backfill is None:
                    self._backfill = Backfill(self._storage)
                    self._backfill.start()
        except Exception:
            logger.warning("what was not recorded is not downloaded", exc_info=True)
