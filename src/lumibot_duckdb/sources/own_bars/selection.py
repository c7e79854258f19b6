"""`using` of `PandasDataBacktesting`: which stored series a backtest is on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lumibot.entities import Asset

from lumibot_duckdb.sources.own_bars.assets import assets_of, to_lumibot
from lumibot_duckdb.sources.shared.configuration import Configurable
from lumibot_duckdb.storage.api import AsOf, AssetLike, DataStorageInterface, SeriesPin
from lumibot_duckdb.storage.errors import SeriesNotFoundError
from lumibot_duckdb.storage.timeframes import canonical_timeframe, timeframe_unit

DEFAULT_QUOTE = Asset("USD", "forex")
"""The quote asset under which Lumibot looks up bars that were given without one."""

_UNITS = ("minute", "hour", "day")


class SelectsSeries(Configurable):
    """Mix-in for a source whose series are selected by `using`."""

    @classmethod
    def using(
        cls,
        storage: DataStorageInterface | str | Path | None = None,
        *,
        source: str | None = None,
        assets: Mapping[str, Sequence[AssetLike] | AssetLike] | Sequence[AssetLike] | AssetLike | None = None,
        timestep: str = "minute",
        adjustment: str | None = None,
        quote: Asset | None = None,
        as_of: AsOf | None = None,
        max_memory: int | None = None,
    ) -> Any:
        """Return the class to pass to `Strategy.backtest`, which reads series from a store.

        It is a class, because keyword arguments of `Strategy.backtest` become parameters of the strategy as well.

        Parameters:
            storage: a storage or the path of one; None for the default store.
            source: where the bars came from; not needed while the store has bars from one source only.
            assets: the assets; None for every series of the source at `timestep`. A mapping such as
                `{"yahoo": ["SPY"], "ccxt": [(btc, usdt)]}` takes assets from several sources.
            timestep: the timeframe of the stored bars in any usual spelling: "minute", "hour", "day", or a multiple
                such as "5minute" (also "5min" or "5m") and "4hour". Lumibot sees bars of several minutes as minutes
                with gaps, which it fills; `get_historical_prices(asset, 30, "5min")` returns the bars as stored.
            adjustment: which adjusted prices; not needed while the store has one kind.
            quote: the quote asset of assets that have none of their own, like `quote` of Lumibot's `Data`. With None
                (the default), Lumibot applies no dividends and splits of daily bars after the first iteration; with
                the quote asset of the strategy, usually `Asset("USD", "forex")`, it applies all. Pairs keep their own.
            as_of: a tz-aware moment, or the name of a snapshot; history is read as it was then.
            max_memory: a bound in bytes on the bars of all series that the backtest holds in memory.

        Raises:
            TypeError: `quote` is not an `Asset`.
            ValueError: `timestep` is not one of minutes, hours or days, or both `source` and a mapping are given.
        """
        if quote is not None and not isinstance(quote, Asset):
            raise TypeError(f'quote must be an Asset such as Asset("USD", "forex"), not {quote!r}')
        timeframe = canonical_timeframe(timestep)
        if timeframe_unit(timeframe) not in _UNITS:
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
            quote=quote,
            as_of=as_of,
            max_memory=max_memory,
        )

    @classmethod
    def unit(cls) -> str:
        """Return the unit of the selected timestep: "minute", "hour" or "day"."""
        return timeframe_unit(cls.settings["timestep"])  # all that Lumibot's `Data` knows

    @classmethod
    def selected(cls, storage: DataStorageInterface, as_of: AsOf | None) -> list[tuple[Asset, Asset | None, SeriesPin]]:
        """Return the assets, quote assets (None where Lumibot gets none) and pinned series that were selected.

        Raises:
            SeriesNotFoundError: the store has no such series.
            ValueError: an asset is selected from several sources.
        """
        timestep, adjustment = cls.settings["timestep"], cls.settings["adjustment"]
        wanted: Sequence[tuple[str | None, Sequence[AssetLike] | None]] = cls.settings["wanted"]
        found: dict[tuple[Asset, Asset], tuple[Asset, Asset | None, SeriesPin]] = {}
        for source, assets in wanted:
            for asset_like in assets_of(storage, source, timestep) if assets is None else assets:
                try:
                    pin = storage.pin(asset_like, timeframe=timestep, source=source, adjustment=adjustment, as_of=as_of)
                except SeriesNotFoundError:
                    if assets is None and as_of is not None:
                        continue  # it was stored later
                    raise
                asset, quote = to_lumibot(asset_like, pin.key.asset, cls.settings["quote"])
                _, _, first = found.setdefault((asset, quote or DEFAULT_QUOTE), (asset, quote, pin))
                if first.key != pin.key:
                    raise ValueError(
                        f"Lumibot cannot tell {first.key.label()} and {pin.key.label()} apart, so a backtest can "
                        "use only one of them: choose it with assets=... and source=..."
                    )
        if not found:
            raise SeriesNotFoundError(f"none of the {timestep} bars in the store was there as of {as_of}")
        return list(found.values())


def _listed(assets: Sequence[AssetLike] | AssetLike) -> tuple[AssetLike, ...]:
    """Return assets as a tuple, also where just one is named; a pair is one asset and its quote."""
    if isinstance(assets, (str, tuple)) or not isinstance(assets, Sequence):
        return (assets,)
    return tuple(assets)
