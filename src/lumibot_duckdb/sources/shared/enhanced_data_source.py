"""The base of every data source on the store: its storage, its settings and its memory budget."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from lumibot_duckdb.lumibot_contract.enforcement import keeps_contract
from lumibot_duckdb.lumibot_contract.frame_record_holder import RecordHolder
from lumibot_duckdb.lumibot_contract.strategy_access import strategy_base
from lumibot_duckdb.sources.shared.benchmark import serve_benchmarks_from_store
from lumibot_duckdb.sources.shared.configuration import Configurable, open_storage
from lumibot_duckdb.sources.shared.indicators import ComputesIndicators
from lumibot_duckdb.sources.shared.lifecycle import track_strategies, track_traders
from lumibot_duckdb.sources.shared.progress import expecting
from lumibot_duckdb.sources.shared.telemetry import Telemetry, log_backtest, log_stats_wanted
from lumibot_duckdb.storage.api import AsOf, DataStorageInterface, StorageUse
from lumibot_duckdb.windows.window import DEFAULT_MAX_MEMORY, MemoryBudget

track_strategies(strategy_base())  # before the first source is constructed, in the middle of a backtest


_MUCH = 32 * 2**20
"""So many bytes of bars are read before a source lets go of the store's file."""


def _bytes(max_memory: int | str) -> int:
    """Return a number of bytes, also from the text of an environment variable, which Lumibot passes on."""
    try:
        return int(max_memory)
    except ValueError:
        raise ValueError(f"max_memory must be a number of bytes, not {max_memory!r}") from None


class EnhancedDataSourceBacktesting(ComputesIndicators, RecordHolder, Configurable):
    """Mix-in for a Lumibot backtesting data source, put before Lumibot's class.

    Every instance is on the store. If DuckDB is switched off (see `switch`), calling a class whose metaclass is
    `SwitchableMeta` makes an instance of Lumibot's own class instead; see `class_substitution`.

    Parameters:
        storage: a storage or the path of one; None for that of `using`, or the default store.
        max_memory: a bound in bytes on the total size of this source's windows; None for that of `using`.
    """

    use_duckdb: ClassVar[bool] = True
    """Whether sources of this class are on the store. A subclass can set it to False."""

    def __init__(
        self,
        *args: Any,
        storage: DataStorageInterface | str | Path | None = None,
        max_memory: int | str | None = None,
        **kwargs: Any,
    ) -> None:
        if "use_duckdb" in kwargs:
            raise TypeError(
                f"use_duckdb is decided before {type(self).__name__}.__init__ runs: pass it where the class is called, "
                "or set use_duckdb = False in the body of the class"
            )
        self.log_stats = log_stats_wanted()
        self.shows_progress = bool(kwargs.get("show_progress_bar", True))
        self._as_of: AsOf | None = self.settings.get("as_of") or self.default_as_of
        max_memory = max_memory if max_memory is not None else self.settings.get("max_memory")
        self._storage_wanted = storage if storage is not None else self.settings.get("storage")
        self._storage: DataStorageInterface | None = None
        self._used_before = StorageUse()
        self._bytes_read_at_close = 0
        self._last_reported = Telemetry()
        self.budget = MemoryBudget(_bytes(max_memory) if max_memory is not None else DEFAULT_MAX_MEMORY)
        if isinstance(self._as_of, str):
            self.storage.check_as_of(self._as_of)  # here, since Lumibot only logs errors of most requests
        super().__init__(*args, **kwargs)
        serve_benchmarks_from_store()
        track_traders(log_backtest)

    @property
    def storage(self) -> DataStorageInterface:
        """The storage under this source, opened at first use."""
        if self._storage is None:
            storage = open_storage(self._storage_wanted)
            storage.counters.include("windows", self.budget.statistics)
            self._used_before = storage.counters.usage()
            self._bytes_read_at_close = self._used_before.bytes_read
            self._storage = storage
        return self._storage

    @property
    def as_of(self) -> AsOf | None:
        """The moment or snapshot whose bars are read, without downloads; None for the current ones.

        A published snapshot cannot take downloads, so it is always read as of its own moment.
        """
        return self._as_of if self._as_of is not None else self.storage.published_as_of

    @property
    def uses_store(self) -> bool:
        """Whether this source has opened a storage; one on the frames of a script needs none."""
        return self._storage is not None

    @property
    def telemetry(self) -> Telemetry:
        """What this source has done so far.

        Reads and downloads are the storage's counts since this source opened it, so sources that use the same storage
        at the same time also count each other's reads.
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
            rows_shown=windows.rows_shown,
        )

    def telemetry_since_last_report(self) -> Telemetry:
        """Return what this source has done since the last call."""
        before, self._last_reported = self._last_reported, self.telemetry
        return self._last_reported - before

    def improved_record(self, record: Any) -> Any:
        """Turn Lumibot's record of frames into ours, which does the same with less work."""
        if not keeps_contract("frame_record", otherwise="Lumibot's slower code records the frames of a strategy"):
            return record
        from lumibot_duckdb.sources.shared.frame_record import FrameRecord  # older releases lack what it imports

        return FrameRecord.take_over(record)

    def get_bars(self, assets: Any, *args: Any, **kwargs: Any) -> Any:
        """Return the bars of several assets as Lumibot does, and show how many of them are loaded."""
        with expecting(assets if isinstance(assets, list) else [assets]):
            return super().get_bars(assets, *args, **kwargs)  # type: ignore[misc]

    def let_go(self) -> None:
        """Close the store's file if much was read since the last time: DuckDB keeps that while the file is open."""
        if self._storage is None:
            return
        read = self._storage.counters.usage().bytes_read
        if read - self._bytes_read_at_close > _MUCH:
            self._bytes_read_at_close = read
            self._storage.close()

    def shutdown(self) -> None:
        """Close the store's file together with Lumibot's own resources."""
        self.release_indicators()
        super().shutdown()  # type: ignore[misc]
        if self._storage is not None and self._storage is not self._storage_wanted:
            self._storage.close()
