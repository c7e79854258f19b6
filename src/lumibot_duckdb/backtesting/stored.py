"""`PandasDataBacktesting` on the store: for people who bring their own bars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pandas as pd
from lumibot.backtesting import PandasDataBacktesting as LumibotPandasDataBacktesting
from lumibot.entities import Asset, Data
from lumibot.tools.helpers import parse_timestep_qty_and_unit

from lumibot_duckdb.backtesting.assets import assets_of, to_lumibot
from lumibot_duckdb.backtesting.enhanced_data_source import EnhancedDataSourceBacktesting
from lumibot_duckdb.backtesting.trading_index import session_minutes
from lumibot_duckdb.backtesting.windowed_data import WindowedData
from lumibot_duckdb.storage.interface import AssetLike, DataStorageInterface, SeriesPin


@dataclass(frozen=True)
class StoredSeries:
    """What a configured class takes from the store."""

    storage: DataStorageInterface | str | Path | None
    source: str | None
    assets: tuple[AssetLike, ...] | None
    timestep: str
    adjustment: str | None
    as_of: datetime | None
    max_memory: int | None


class PandasDataBacktesting(EnhancedDataSourceBacktesting, LumibotPandasDataBacktesting):  # type: ignore[misc]
    """Drop-in for Lumibot's class of this name. `using` names stored series; `pandas_data` works as in Lumibot."""

    stored: ClassVar[StoredSeries | None] = None

    @classmethod
    def using(
        cls,
        storage: DataStorageInterface | str | Path | None = None,
        *,
        source: str | None = None,
        assets: Sequence[AssetLike] | AssetLike | None = None,
        timestep: str = "minute",
        adjustment: str | None = None,
        as_of: datetime | None = None,
        max_memory: int | None = None,
    ) -> type[PandasDataBacktesting]:
        """Return the class to hand to `Strategy.backtest`, reading the named series from a store.

        `storage` is a storage or the path of one (default: the default store). `source` names where the bars came from;
        it may be left out while the store has them from one source only. `assets` default to every series of the
        source at `timestep` ("minute", "hour" or "day"). `as_of` reads history as it stood at that moment. `max_memory`
        bounds, in bytes, what the backtest holds of all series together.

        A class, since what is passed to `Strategy.backtest` as keywords becomes a strategy parameter as well.
        """
        unit = parse_timestep_qty_and_unit(timestep)[1]
        if unit not in ("minute", "hour", "day"):
            raise ValueError(f"timestep must be 'minute', 'hour' or 'day', not {timestep!r}")
        if assets is not None and (isinstance(assets, (str, tuple)) or not isinstance(assets, Sequence)):
            assets = [assets]
        stored = StoredSeries(
            storage, source, None if assets is None else tuple(assets), timestep, adjustment, as_of, max_memory
        )
        # Lumibot looks at a source's class name.
        return type(cls.__name__, (cls,), {"stored": stored, "__doc__": cls.__doc__, "__module__": cls.__module__})

    def __init__(self, *args: Any, pandas_data: Any = None, **kwargs: Any) -> None:
        stored = self.stored
        if stored is not None:
            kwargs.setdefault("storage", stored.storage)
            kwargs.setdefault("max_memory", stored.max_memory)
        super().__init__(*args, pandas_data=pandas_data, **kwargs)
        if stored is not None:
            self._take_stored_series(stored)

    def _take_stored_series(self, stored: StoredSeries) -> None:
        unit = parse_timestep_qty_and_unit(stored.timestep)[1]
        for asset, quote, pin in self._pins(stored):
            data: Data = (
                self.windowed(pin, asset, quote, unit)
                if self.use_duckdb
                else Data(asset, self.storage.read_pandas(pin), timestep=unit, quote=quote)
            )
            self.pandas_data[(asset, quote)] = data

    def _pins(self, stored: StoredSeries) -> list[tuple[Asset, Asset, SeriesPin]]:
        wanted: Sequence[AssetLike] = (
            stored.assets if stored.assets is not None else assets_of(self.storage, stored.source, stored.timestep)
        )
        pins = []
        for asset_like in wanted:
            pin = self.storage.pin(
                asset_like,
                timeframe=stored.timestep,
                source=stored.source,
                adjustment=stored.adjustment,
                as_of=stored.as_of,
            )
            asset, quote = to_lumibot(asset_like, pin.key.asset)
            pins.append((asset, quote, pin))
        return pins

    def update_date_index(self) -> pd.DatetimeIndex:
        """Merge the bar times of all series as Lumibot does, from an outline of each that merges to the same."""
        minutes = next((data.timestep for data in self._data_store.values()), None) == "minute"
        outlines: Mapping[Any, Any] = {
            key: SimpleNamespace(df=SimpleNamespace(index=data.index_outline(minutes_are_filled=minutes)))
            if isinstance(data, WindowedData)
            else data
            for key, data in self._data_store.items()
        }
        stand_in = SimpleNamespace(
            _data_store=outlines,
            _timestep=self._timestep,
            datetime_start=self.datetime_start,
            datetime_end=self.datetime_end,
        )
        merged: pd.DatetimeIndex = LumibotPandasDataBacktesting.update_date_index(stand_in)
        return merged

    def clean_trading_times(self, dt_index: pd.DatetimeIndex, pcal: pd.DataFrame) -> pd.DatetimeIndex:
        """Fill the minutes of each day as Lumibot does, without a row of a frame for each minute of the year."""
        if not self.use_duckdb or self._timestep != "minute" or len(dt_index) == 0:
            cleaned: pd.DatetimeIndex = super().clean_trading_times(dt_index, pcal)
            return cleaned
        return session_minutes(dt_index, pcal, pd.Timestamp(self.datetime_end))
