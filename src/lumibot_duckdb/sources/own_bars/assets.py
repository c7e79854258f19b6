"""Between Lumibot's assets and the store's asset keys."""

from __future__ import annotations

from typing import Any

from lumibot.entities import Asset

from lumibot_duckdb.storage.api import AssetKey, AssetLike, DataStorageInterface
from lumibot_duckdb.storage.errors import SeriesNotFoundError
from lumibot_duckdb.storage.identity import FIAT


def to_lumibot(asset_like: AssetLike, key: AssetKey, default_quote: Asset | None) -> tuple[Asset, Asset | None]:
    """Return the asset and quote asset of Lumibot's `Data`: the caller's own objects, else made from the key.

    Like a `Data` that is built without a quote, an asset that is named without one has none. Pairs have the quote under
    which they are stored.
    """
    base, named = asset_like if isinstance(asset_like, tuple) else (asset_like, None)
    return base if isinstance(base, Asset) else _asset(key), _quote_asset(named, key) or default_quote or _required(key)


def _quote_asset(named: Any, key: AssetKey) -> Asset | None:
    if isinstance(named, Asset):
        return named
    symbol = key.quote or (named and str(named).strip().upper())
    return _quote(symbol) if symbol else None


def _required(key: AssetKey) -> Asset | None:
    """Return the quote of crypto that was stored without one, which Lumibot rejects."""
    return _quote("USD") if key.asset_type == "crypto" else None


def assets_of(storage: DataStorageInterface, source: str | None, timeframe: str) -> list[AssetKey]:
    """Return the assets that the store has at a timeframe, from one source if named."""
    series = [info for info in storage.list_series(source=source, timeframe=timeframe) if info.rows]
    if not series:
        where = f" from source {source!r}" if source else ""
        have = sorted({(info.key.source, info.key.timeframe) for info in storage.list_series()})
        listed = ", ".join(f"{name} {step}" for name, step in have) or "nothing yet"
        others = [step for name, step in have if source in (None, name)]
        remedy = f"; name the timeframe: using(..., timestep={others[0]!r})" if others else ""
        raise SeriesNotFoundError(f"the store has no {timeframe} bars{where}; it has: {listed}{remedy}")
    return list(dict.fromkeys(info.key.asset for info in series))


def _asset(key: AssetKey) -> Asset:
    return Asset(
        symbol=key.symbol,
        asset_type=key.asset_type,
        expiration=key.expiration,
        strike=key.strike if key.strike is not None else 0.0,
        right=key.right,
        multiplier=key.multiplier,
        auto_expiry=key.auto_expiry,
    )


def _quote(symbol: str) -> Asset:
    return Asset(symbol, asset_type="forex" if symbol in FIAT else "crypto")
