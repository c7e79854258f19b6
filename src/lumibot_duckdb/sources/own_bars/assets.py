"""Between Lumibot's assets and the store's asset keys."""

from __future__ import annotations

from typing import Any

from lumibot.entities import Asset

from lumibot_duckdb.storage.api import AssetKey, AssetLike, DataStorageInterface
from lumibot_duckdb.storage.errors import SeriesNotFoundError
from lumibot_duckdb.storage.identity import FIAT


def to_lumibot(asset_like: AssetLike, key: AssetKey) -> tuple[Asset, Asset]:
    """Return the asset and quote asset to trade: the caller's own objects where given, else made from the key."""
    base: Any = asset_like
    quote: Any = None
    if isinstance(asset_like, tuple):
        base, quote = asset_like
    if not isinstance(base, Asset):
        base = _asset(key)
    if not isinstance(quote, Asset):
        quote = _quote(key.quote or "USD")
    return base, quote


def assets_of(storage: DataStorageInterface, source: str | None, timeframe: str) -> list[AssetKey]:
    """Return the assets that the store has at a timeframe, from one source if named."""
    series = [info for info in storage.list_series(source=source, timeframe=timeframe) if info.rows]
    if not series:
        where = f"from source {source!r} " if source else ""
        have = sorted({(info.key.source, info.key.timeframe) for info in storage.list_series()})
        listed = ", ".join(f"{name} {step}" for name, step in have) or "nothing yet"
        raise SeriesNotFoundError(f"the store has no {timeframe} bars {where}; it has: {listed}")
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
