"""What this process knows about the contents of a store file: its storages on the file share it."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import ClassVar
from weakref import WeakKeyDictionary, WeakSet

from lumibot_duckdb.storage.bars.kept_series import KeptSeries
from lumibot_duckdb.storage.bars.last_use import LastUse
from lumibot_duckdb.storage.bars.layout import Layout
from lumibot_duckdb.storage.bars.result_cache import ResultCache
from lumibot_duckdb.storage.catalog import Catalog
from lumibot_duckdb.storage.connection.store_connection import StoreConnection

STATE_BYTES = 2_000
"""The state of a version takes about this much memory."""
_STATES_BYTES = 10_000 * STATE_BYTES
_CURRENT_BYTES = 16 * 2**20


class KnownContents:
    """The catalog of a store file, and answers of earlier queries. Get it from `KnownContents.of`.

    Attributes:
        catalog: the series.
        last_use: the record of the days on which series are read.
        current: answers about the present contents, by generation.
        states: states of versions, by ingest.
        layouts: the layouts that were read, by id.
        kept: whole series for processes that are forked.
        seen_generation: a generation at which the history was the known one.
        was_restored: whether a backup was restored while the file was in use here.
    """

    _shared: ClassVar[WeakKeyDictionary[StoreConnection, KnownContents]] = WeakKeyDictionary()

    def __init__(self, connection: StoreConnection) -> None:
        self.catalog = Catalog()
        self.last_use = LastUse(connection.path)
        self.current = ResultCache(_CURRENT_BYTES)
        self.states = ResultCache(_STATES_BYTES)
        self.layouts: dict[int, Layout] = {}
        self.kept = KeptSeries()
        self.seen_generation: int | None = None
        self.was_restored = False
        self._guard = threading.Lock()
        self._results: WeakSet[ResultCache] = WeakSet()

    @classmethod
    def of(cls, connection: StoreConnection) -> KnownContents:
        """Return what is known about the contents of a connection's file."""
        return cls._shared.get(connection) or cls._shared.setdefault(connection, cls(connection))

    @classmethod
    def read_series(cls) -> dict[Path, list[int]]:
        """Return the stores that are in use in this process, and the ids of the series that it has read today."""
        return {connection.path: sorted(known.last_use.recorded) for connection, known in list(cls._shared.items())}

    def results(self, capacity: int) -> ResultCache:
        """Return a new cache for the bars that a storage reads. Another history at the path empties it."""
        results = ResultCache(capacity)
        with self._guard:
            self._results.add(results)
        return results

    def forget(self) -> None:
        """Forget all but the catalog: another history is at the path now, or no store any more."""
        self.current.clear()
        self.states.clear()
        self.layouts.clear()
        self.kept.clear()
        with self._guard:
            for results in self._results:
                results.clear()
