"""`PandasDataBacktesting` on the store, for user-supplied bars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
from lumibot.backtesting import PandasDataBacktesting as LumibotPandasDataBacktesting
from lumibot.entities import Asset, Data

from lumibot_duckdb.sources.own_bars.assets import assets_of, to_lumibot
from lumibot_duckdb.sources.shared.data_source_of_windows import DataSourceOfWindows
from lumibot_duckdb.storage.api import AssetLike, DataStorageInterface, SeriesPin
from lumibot_duckdb.storage.timeframes import canonical_timeframe
from lumibot_duckdb.windows.trading_index import session_minutes
from lumibot_duckdb.windows.windowed_data import WindowedData

_UNITS = ("minute", "hour", "day")


class PandasDataBacktesting(DataSourceOfWindows, LumibotPandasDataBacktesting):  # type: ignore[misc]
    """Drop-in replacement for Lumibot's class. `using` chooses stored series; `pandas_data` works as in Lumibot."""

    @classmethod
    def using(
        cls,
        storage: DataStorageInterface | str | Path | None = None,
        *,
        source: str | None = None,
        assets: Mapping[str, Sequence[AssetLike] | AssetLike] | Sequence[AssetLike] | AssetLike | None = None,
        timestep: str = "minute",
        adjustment: str | None = None,
        as_of: datetime | None = None,
        max_memory: int | None = None,
    ) -> type[PandasDataBacktesting]:
        """Return the class to pass to `Strategy.backtest`: it reads the chosen series from a store.

        It returns a class because `Strategy.backtest` passes its keyword arguments on to the strategy as parameters.

        Parameters
        ----------
        storage
            A storage, or the path of a store; by default the default store.
        source
            The source that the bars were stored under. Optional while the store has bars from one source only.
        assets
            The assets to trade; by default every asset that has bars of `timestep` from `source`. A mapping takes
            assets from several sources: `{"yahoo": ["SPY"], "ccxt": [(btc, usdt)]}`.
        timestep
            The timeframe of the stored bars in any usual spelling: "minute", "hour", "day", or a multiple such as
            "5minute" (also "5min" or "5m"), "4hour" and "2day". The backtest sees bars of several minutes as Lumibot
            sees such frames in `Data(asset, frame, timestep="minute")`: minutes with gaps in between, which Lumibot
            fills; `get_historical_prices(asset, 30, "5min")` returns the bars as stored. Hours and days likewise.
        adjustment
            The price adjustment of the series, where the store has several.
        as_of
            Read history as the store had it at this moment.
        max_memory
            How many bytes of bars the backtest may hold, over all series.

        Raises
        ------
        ValueError
            If `timestep` is not a timeframe of minutes, hours or days, or a mapping and `source` are both given.

        Missing or ambiguous series raise `SeriesNotFoundError` or `AmbiguousSeriesError` when the backtest starts.

        Examples
        --------
        >>> PandasDataBacktesting.using("bars.duckdb", assets=["SPY"], timestep="5m").__name__
        'PandasDataBacktesting'
        """
        timeframe = canonical_timeframe(timestep)
        if _unit(timeframe) not in _UNITS:
            raise ValueError(
                f"timestep must be 'minute', 'hour', 'day' or a multiple of one such as '5minute', not {timestep!r}"
            )
        if isinstance(assets, Mapping) and source is not None:
            raise ValueError(f"assets names a source for each asset already; leave source={source!r} out")
        wanted = assets if isinstance(assets, Mapping) else {source: assets}
        return cls._configured(
            storage=storage,
            wanted=tuple((each, None if some is None else _listed(some)) for each, some in wanted.items()),
            timestep=timeframe,
            adjustment=adjustment,
            as_of=as_of,
            max_memory=max_memory,
        )

    def __init__(self, *args: Any, pandas_data: Any = None, **kwargs: Any) -> None:
        super().__init__(*args, pandas_data=pandas_data, **kwargs)
        if self.settings:
            self._take_stored_series()

    def _take_stored_series(self) -> None:
        unit = _unit(self.settings["timestep"])
        for asset, quote, pin in self._pins():
            data: Data = (
                self.windowed(pin, asset, quote, unit)
                if self.use_duckdb
                else Data(asset, self.storage.read_pandas(pin), timestep=unit, quote=quote)
            )
            self.pandas_data[(asset, quote)] = data

    def _pins(self) -> list[tuple[Asset, Asset, SeriesPin]]:
        timestep, adjustment = self.settings["timestep"], self.settings["adjustment"]
        wanted: Sequence[tuple[str | None, Sequence[AssetLike] | None]] = self.settings["wanted"]
        pins: dict[tuple[Asset, Asset], SeriesPin] = {}
        for source, assets in wanted:
            for asset_like in assets_of(self.storage, source, timestep) if assets is None else assets:
                pin = self.storage.pin(
                    asset_like, timeframe=timestep, source=source, adjustment=adjustment, as_of=self.as_of
                )
                both = to_lumibot(asset_like, pin.key.asset)
                if pins.setdefault(both, pin).key != pin.key:
                    raise ValueError(
                        f"Lumibot cannot tell {pins[both].key.label()} and {pin.key.label()} apart, so a backtest can "
                        "use only one of them: choose it with assets=... and source=..."
                    )
        return [(asset, quote, pin) for (asset, quote), pin in pins.items()]

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


def _unit(timeframe: str) -> str:
    """Return the unit of a canonical timeframe, which is all that Lumibot's `Data` knows of: "minute" for "5minute"."""
    return timeframe.lstrip("0123456789")


def _listed(assets: Sequence[AssetLike] | AssetLike) -> tuple[AssetLike, ...]:
    """Return assets as a tuple, also where just one is named; a pair is one asset and its quote."""
    if isinstance(assets, (str, tuple)) or not isinstance(assets, Sequence):
        return (assets,)
    return tuple(assets)
