"""What every data source on the store shares: the storage, one memory budget, and look-ups that spare full frames."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar, TypeVar

import pandas as pd
from lumibot.entities import Asset

from lumibot_duckdb.backtesting.indicators import read_indicators_from_windows
from lumibot_duckdb.backtesting.series_view import view_of
from lumibot_duckdb.backtesting.window import DEFAULT_MAX_MEMORY, MemoryBudget
from lumibot_duckdb.backtesting.windowed_data import WindowedData
from lumibot_duckdb.storage.interface import DataStorageInterface, SeriesPin

USE_DUCKDB = "LUMIBOT_USE_DUCKDB"
"""Environment variable; "false" gives every source Lumibot's own behaviour back."""


Source = TypeVar("Source", bound="EnhancedDataSourceBacktesting")


def duckdb_wanted(use_duckdb: bool) -> bool:
    """Return whether a source runs on the store: when its caller wants it and the environment does not forbid it."""
    value = os.environ.get(USE_DUCKDB, "").strip().lower()
    if value not in ("", "1", "0", "true", "false", "yes", "no", "on", "off"):
        raise ValueError(f"{USE_DUCKDB} must be true or false, not {value!r}")
    return use_duckdb and value not in ("0", "false", "no", "off")


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

    `use_duckdb=False` (or `LUMIBOT_USE_DUCKDB=false`) leaves Lumibot's class as it is. `max_memory` bounds, in bytes,
    what the windows of this source hold together.
    """

    settings: ClassVar[Mapping[str, Any]] = {}
    """What `using` was given."""

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
        self.use_duckdb = duckdb_wanted(use_duckdb)
        self.as_of: datetime | None = self.settings.get("as_of")
        max_memory = max_memory if max_memory is not None else self.settings.get("max_memory")
        self._storage_wanted = storage if storage is not None else self.settings.get("storage")
        self._storage: DataStorageInterface | None = None
        self._serving: dict[tuple[Any, Any, str], WindowedData] = {}
        self.budget = MemoryBudget(_bytes(max_memory) if max_memory is not None else DEFAULT_MAX_MEMORY)
        super().__init__(*args, **kwargs)
        if self.use_duckdb:
            read_indicators_from_windows()

    @property
    def storage(self) -> DataStorageInterface:
        """The storage under this source, opened at first use."""
        if self._storage is None:
            self._storage = open_storage(self._storage_wanted)
        return self._storage

    def windowed(self, pin: SeriesPin, asset: Asset, quote: Asset | None, timestep: str) -> WindowedData:
        """Return a pinned series as Lumibot's `Data`, its windows under this source's budget."""
        view = view_of(self.storage, pin, timestep)
        return WindowedData(asset, view, timestep=timestep, quote=quote, budget=self.budget)

    # -- requests --------------------------------------------------------------------------------------------

    def _pull_source_symbol_bars(
        self,
        asset: Any,
        length: int,
        timestep: str = "",
        timeshift: Any = 0,
        quote: Any = None,
        exchange: Any = None,
        include_after_hours: bool = True,
    ) -> pd.DataFrame | None:
        """Answer as Lumibot does, with the returns that `Bars` would otherwise compute on every call."""
        step = timestep or self.MIN_TIMESTEP  # type: ignore[attr-defined]
        data = self._serving.get((asset, quote, step)) or self._served_by(asset, quote, step)
        if exchange is not None or data is None:
            return self._bars_by_lumibot(asset, length, timestep, timeshift, quote, exchange, include_after_hours)
        try:
            return data.bars_with_returns(self.get_datetime(), length, step, timeshift or 0)  # type: ignore[attr-defined]
        except ValueError:
            # Lumibot's own way through the same request logs why there are no bars.
            return self._bars_by_lumibot(asset, length, timestep, timeshift, quote, exchange, include_after_hours)

    def _bars_by_lumibot(self, *request: Any) -> pd.DataFrame | None:
        """Answer by Lumibot's own code."""
        bars: pd.DataFrame | None = super()._pull_source_symbol_bars(*request)  # type: ignore[misc]
        return bars

    def _served_by(self, asset: Any, quote: Any, step: str) -> WindowedData | None:
        """Return the windowed data that Lumibot's rules choose for a request, and remember the choice."""
        found = self.find_asset_in_data_store(asset, quote, step)  # type: ignore[attr-defined]
        data = self._data_store.get(found)  # type: ignore[attr-defined]
        if not isinstance(data, WindowedData):
            return None
        self._serving[asset, quote, step] = data
        return data

    def load_data(self) -> Any:
        """Lay all series on the merged time index; no bars are read yet."""
        self._serving.clear()
        calendar = super().load_data()  # type: ignore[misc]
        if self._storage is not None:
            # The times of all bars were read for this, once; DuckDB would keep them in memory while the file is open.
            self._storage.close()
        return calendar

    def _adjust_stale_daily_price_for_stock_split(self, data: Any, price: Any, dt: Any) -> Any:
        """Adjust a price as Lumibot does, which looks at the full frame on every call, by the current day's rows."""
        if not isinstance(data, WindowedData) or price is None:
            return super()._adjust_stale_daily_price_for_stock_split(data, price, dt)  # type: ignore[misc]
        if data.timestep != "day" or "stock_splits" not in data.datalines:
            return price
        day = SimpleNamespace(timestep="day", df=data.rows_of_day(dt))
        return super()._adjust_stale_daily_price_for_stock_split(day, price, dt)  # type: ignore[misc]

    def shutdown(self) -> None:
        """Let go of the store's file together with Lumibot's own resources."""
        super().shutdown()  # type: ignore[misc]
        if self._storage is not None and self._storage is not self._storage_wanted:
            self._storage.close()
