"""Under which asset and source the candles of a market are stored."""

from __future__ import annotations

from lumibot_duckdb.storage.api import AssetKey, SeriesKey

SOURCE = "ccxt"


def asset_of(symbol: str, exchange_id: str) -> AssetKey:
    """Return the asset of a market ("BTC/USDT"); a derivative ("BTC/USDT:USDT") is a crypto future."""
    base, _, quote = symbol.partition("/")
    return AssetKey(base, "crypto_future" if ":" in quote else "crypto", quote or None, exchange=exchange_id)


def series_of(symbol: str, exchange_id: str, timeframe: str) -> SeriesKey:
    """Return the series of a market's candles; the timeframe is a canonical one."""
    return SeriesKey(asset_of(symbol, exchange_id), SOURCE, timeframe)
