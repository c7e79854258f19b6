"""`DuckDBDataStorage`: a store of bars in one DuckDB file."""

from __future__ import annotations

import os
from datetime import datetime
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from lumibot_duckdb.analytics.cross_asset.stored_cross_asset import StoredCrossAsset
from lumibot_duckdb.analytics.stored_analytics import StoredAnalytics
from lumibot_duckdb.charts.stored_charts import StoredCharts
from lumibot_duckdb.panels.stored_panels import StoredPanels
from lumibot_duckdb.publishing.opening import opened_store
from lumibot_duckdb.publishing.stored_publishing import StoredPublishing
from lumibot_duckdb.storage import glance
from lumibot_duckdb.storage.api import DataStorageInterface, MigratedFiles
from lumibot_duckdb.storage.bars.open_store import OpenStore
from lumibot_duckdb.storage.bars.reader import StoredBars
from lumibot_duckdb.storage.bars.writer import StoredBarWriter
from lumibot_duckdb.storage.connection.engine import check_environment
from lumibot_duckdb.storage.connection.store_connection import StoreConnection
from lumibot_duckdb.storage.counters import Counters
from lumibot_duckdb.storage.reference.migrated_files import StoredMigratedFiles
from lumibot_duckdb.storage.reference.reference_data import StoredReferenceData
from lumibot_duckdb.storage.reference.stored_labels import StoredLabels
from lumibot_duckdb.storage.upkeep.automatic_upkeep import tend_at_the_end
from lumibot_duckdb.storage.upkeep.upkeep import StoredUpkeep

if TYPE_CHECKING:
    from typing_extensions import Self

DEFAULT_CACHE_BYTES = 64 * 2**20


class DuckDBDataStorage(
    StoredBars,
    StoredBarWriter,
    StoredReferenceData,
    StoredLabels,
    StoredUpkeep,
    StoredAnalytics,
    StoredCrossAsset,
    StoredCharts,
    StoredPanels,
    StoredPublishing,
    DataStorageInterface,
):
    """A store of bars in one DuckDB file, for any number of threads and processes.

    Its methods come from the parts that it is composed of, and are documented in `storage.api`, `analytics.api`,
    `analytics.cross_asset.api`, `charts.api`, `panels.api` and `publishing.api`.

    Args:
        cache_dir: A folder, or a file whose name ends in `.duckdb`. The first write creates the file. Or a published
            snapshot, `s3://bucket/prefix` or a folder that `publish` wrote, which is only read: it is downloaded once
            per machine, and this process sees the same one until it ends. Default: the environment variable
            `LUMIBOT_DUCKDB_PATH`, else the folder `duckdb` in Lumibot's cache folder.
        threads: How many threads DuckDB uses in this process (default: 2).
        memory_limit: How much memory DuckDB uses in this process, such as "512MB" (default: "128MB").
        cache_bytes: How much memory the results of earlier reads may take (default: 64 MB). A process that reads ever
            new bars grows by that much, and then no further.

    Raises:
        ValueError: A setting is unusable, here or in the environment.
        PublishedSnapshotError: A published snapshot cannot be reached, or is not what was published.
        StoreVersionError: A newer release published it.
        StoreWriteError: It cannot be written to the cache of this machine.

    A `with` block closes the storage at its end: other programs can open the file then. In a shell or notebook, the
    object shows the path, the size and the number of series, without waiting for the store.

    Example:
        >>> import pandas as pd
        >>> storage = DuckDBDataStorage()
        >>> times = pd.date_range("2024-01-02", periods=5, tz="America/New_York")
        >>> bars = pd.DataFrame({"close": [10.0, 11.0, 12.0, 13.0, 14.0]}, index=times)
        >>> storage.store_ohlcv_data("AAPL", bars, source="my_csv", timeframe="day").added
        5
        >>> storage.get_historical_prices("AAPL", start="2024-01-05", timeframe="day")["close"].tolist()
        [13.0, 14.0]
        >>> with DuckDBDataStorage() as storage:
        ...     len(storage.to_polars("AAPL", timeframe="day", source="my_csv"))
        5
    """

    def __init__(
        self,
        cache_dir: str | os.PathLike[str] | None = None,
        *,
        threads: int | None = None,
        memory_limit: str | None = None,
        cache_bytes: int = DEFAULT_CACHE_BYTES,
    ) -> None:
        check_environment()
        path = opened_store(cache_dir)
        connection = StoreConnection.of(path, threads=threads, memory_limit=memory_limit)
        self._store = OpenStore(path, connection, cache_bytes)
        self._store.after_first_write = tend_at_the_end

    @property
    def path(self) -> Path:
        """Path of the store file, which need not exist yet."""
        return self._store.path

    @property
    def published_as_of(self) -> datetime | None:
        """The moment (UTC) whose bars a published snapshot has, which is only read; None for every other store."""
        return None if self._store.snapshot is None else self._store.snapshot.as_of

    @property
    def counters(self) -> Counters:
        """Counts of what this process does with the storage."""
        return self._store.counters

    @cached_property
    def migrated_files(self) -> MigratedFiles:
        """The record of migrated files of old caches."""
        return StoredMigratedFiles(self._store)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return glance.text(self._store)

    def _repr_html_(self) -> str:
        """Return what a notebook shows: the first series in a table."""
        return glance.table(self._store, self)

    def __reduce__(self) -> tuple[Any, ...]:
        # A copy, or a storage that is sent to another process, is a storage on the same file.
        return _open, (str(self.path), self._store.results.capacity)


def _open(path: str, cache_bytes: int) -> DuckDBDataStorage:
    return DuckDBDataStorage(path, cache_bytes=cache_bytes)
