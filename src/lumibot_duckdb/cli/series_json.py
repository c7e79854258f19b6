"""Series in the output of `--json`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lumibot_duckdb.storage.api import SeriesKey


def key_as_json(key: SeriesKey) -> dict[str, Any]:
    """Return the fields of a series and its asset, in the order in which all commands print them."""
    asset = key.asset
    return {
        "symbol": asset.symbol,
        "asset_type": asset.asset_type,
        "quote": asset.quote,
        "exchange": asset.exchange,
        "expiration": asset.expiration and asset.expiration.isoformat(),
        "strike": asset.strike,
        "right": asset.right,
        "multiplier": asset.multiplier,
        "source": key.source,
        "timeframe": key.timeframe,
        "adjustment": key.adjustment,
    }
