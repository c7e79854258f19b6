"""What every data source on the store shares: the storage, its settings, and one memory budget."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from lumibot.strategies._strategy import _Strategy

from lumibot_duckdb.sources.shared.benchmark import serve_benchmarks_from_store
from lumibot_duckdb.sources.shared.lifecycle import follow_strategies, follow_traders
from lumibot_duckdb.sources.shared.switch import duckdb_wanted
from lumibot_duckdb.sources.shared.telemetry import Telemetry, log_stats_wanted, tell_of_backtest
from lumibot_duckdb.storage.api import DataStorageInterface, StorageUse
from lumibot_duckdb.windows.window import DEFAULT_MAX_MEMORY, MemoryBudget

follow_strategies(_Strategy)  # before the first source is made, since that happens in the middle of a backtest

Source = TypeVar("Source", bound="EnhancedDataSourceBacktesting")


def open_storage(storage: DataStorageInterface | str | Path | None) -> DataStorageInterface:
    """Return a storage: the one given, the one at a path, or the default store."""
    if isinstance(storage, DataStorageInterface):
        return storage
    from lumibot_duckdb.storage.duckdb_storage import DuckDBDataStorage

    return DuckDBDataStorage(storage)


def _bytes(max_memory: int | str) -> int:
    """Return a number of bytes; Lumibot hands on what stands in an environment variable."""
    try:
        return int(max_memory)
    except ValueError:
        raise ValueError(f"max_memory must be a number of bytes, not {max_memory!r}") from None


class EnhancedDataSourceBacktesting:
    """Mix-in for a Lumibot backtesting data source, put before Lumibot's class.

    `use_duckdb=False` (or `LUMIBOT_USE_DUCKDB=false`) leaves Lumibot's class as it is; `switch.py` says what else
    decides. `max_memory` bounds, in bytes, what the windows of this source hold together.
    """

    settings: ClassVar[Mapping[str, Any]] = {}
    """What `using` was given."""

    everyones_as_of: ClassVar[datetime | None] = None
    """`as_of` of the sources that were not given one, in a process that must not ask any provider."""

    @classmethod
    def using(
        cls: type[Source],
        storage: DataStorageInterface | str | Path | None = None,
        *,
        as_of: datetime | None = None,
        max_memory: int | None = None,
    ) -> type[Source]:
        """Return the class to hand to `Strategy.backtest`, with settings of its own.

        `storage` is a storage or the path of one (default: the default store). `max_memory` bounds, in bytes, what the
        backtest holds of all series together. `as_of` reads history as it stood at that moment, and downloads nothing.

        A class, since what is passed to `Strategy.backtest` as keywords becomes a strategy parameter as well.
        """
        return cls._configured(storage=storage, as_of=as_of, max_memory=max_memory)

    @classmethod
    def _configured(cls: type[Source], **settings: Any) -> type[Source]:
        # Lumibot looks at a source's class name.
        names = {"settings": settings, "__doc__": cls.__doc__, "__module__": cls.__module__}
        make: Any = type(cls)
        configured: type[Source] = make(cls.__name__, (cls,), names)
        return configured

    def __init__(
        self,
        *args: Any,
        use_duckdb: bool = True,
        storage: DataStorageInterface | str | Path | None = None,
        max_memory: int | str | None = None,
        **kwargs: Any,
    ) -> None:
        self.use_duckdb = duckdb_wanted(use_duckdb, type(self).__name__)
        self.log_stats = log_stats_wanted()
        self.as_of: datetime | None = self.settings.get("as_of") or self.everyones_as_of
        max_memory = max_memory if max_memory is not None else self.settings.get("max_memory")
        self._storage_wanted = storage if storage is not None else self.settings.get("storage")
        self._storage: DataStorageInterface | None = None
        self._used_before = StorageUse()
        self._last_told = Telemetry()
        self.budget = MemoryBudget(_bytes(max_memory) if max_memory is not None else DEFAULT_MAX_MEMORY)
        super().__init__(*args, **kwargs)
        if self.use_duckdb:
            serve_benchmarks_from_store()
            follow_traders(tell_of_backtest)

    @property
    def storage(self) -> DataStorageInterface:
        """The storage under this source, opened at first use."""
        if self._storage is None:
            storage = open_storage(self._storage_wanted)
            storage.counters.include("windows", self.budget.statistics)
            self._used_before = storage.counters.usage()
            self._storage = storage
        return self._storage

    @property
    def telemetry(self) -> Telemetry:
        """What this source did so far.

        What was read and downloaded is the storage's count since this source opened it. Where sources share a storage
        and run at the same time, each counts what the others read, too.
        """
        windows = self.budget.statistics
        used = StorageUse() if self._storage is None else self._storage.counters.usage().since(self._used_before)
        return Telemetry(
            windows_loaded=windows.loads,
            rows_read=used.rows_read,
            bytes_read=used.bytes_read,
            lookups=windows.lookups,
            evictions=windows.evictions,
            downloads=used.downloads,
            bars_downloaded=used.bars_downloaded,
            seconds_downloading=used.seconds_downloading,
            seconds_in_storage=used.seconds,
        )

    def telemetry_since_told(self) -> Telemetry:
        """Return what this source did since this was last asked."""
        told, self._last_told = self._last_told, self.telemetry
        return self._last_told - told

    def shutdown(self) -> None:
        """Let go of the store's file together with Lumibot's own resources."""
        super().shutdown()  # type: ignore[misc]
        if self._storage is not None and self._storage is not self._storage_wanted:
            self._storage.close()
