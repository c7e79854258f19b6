"""Restates series whose source adjusts their prices anew, in the background."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from lumibot_duckdb.storage.api import DataStorageInterface, SeriesKey
from lumibot_duckdb.storage.errors import SeriesNotFoundError, StorageError

logger = logging.getLogger(__name__)

_PAUSE_SECONDS = 10.0


class Restatements:
    """Begins new versions of series, and tries again while the store is busy or cannot be written. Thread-safe.

    A series that was restated in the meantime, for example by its recorder, is left alone: its new bars are current.

    Parameters:
        storage: opens the store.
        pause_seconds: how long to wait between attempts.
    """

    def __init__(self, storage: Callable[[], DataStorageInterface], *, pause_seconds: float = _PAUSE_SECONDS) -> None:
        self._storage = storage
        self._pause_seconds = pause_seconds
        self._guard = threading.Lock()
        self._pending: dict[SeriesKey, int] = {}
        self._thread: threading.Thread | None = None
        self._stopped = threading.Event()
        self._done = threading.Condition(self._guard)

    def __contains__(self, key: object) -> bool:
        """Whether a series waits to be restated. What is returned for it now must not be added to its old version."""
        return key in self._pending

    def add(self, key: SeriesKey, version_id: int) -> None:
        """Restate a series soon, if that is still its version. Does not wait."""
        with self._guard:
            self._pending[key] = version_id
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="lumibot-duckdb-restatement", daemon=True)
                self._thread.start()

    def wait(self, timeout: float) -> bool:
        """Return whether nothing waits any more, after `timeout` seconds at most."""
        with self._done:
            return self._done.wait_for(lambda: not self._pending, timeout)

    def close(self) -> None:
        """End the thread after its current attempt."""
        self._stopped.set()

    def _restate(self, key: SeriesKey, version_id: int) -> None:
        storage = self._storage()
        try:
            if storage.pin(key).version_id == version_id:
                storage.restate_series(key.asset, key.source, key.timeframe, adjustment=key.adjustment)
        except SeriesNotFoundError:
            return  # deleted in the meantime

    def _run(self) -> None:
        reported = False
        while not self._stopped.is_set():
            with self._guard:
                key = next(iter(self._pending), None)
                if key is None:
                    self._thread = None  # the next `add` starts another
                    return
            try:
                self._restate(key, self._pending[key])
            except StorageError as error:
                if not reported:
                    logger.warning("%s could not be restated yet, and is not read meanwhile: %s", key.label(), error)
                reported = True
                self._stopped.wait(self._pause_seconds)
                continue
            except Exception:
                logger.exception("%s could not be restated, and is not read any more", key.label())
                return
            with self._done:
                self._pending.pop(key, None)
                self._done.notify_all()
            logger.info("%s: its source adjusts prices anew; the history is requested again", key.label())
