"""The symbols in requests to a user's provider: one for each of Lumibot's assets."""

from __future__ import annotations

from lumibot_duckdb.storage.api import AssetKey
from lumibot_duckdb.storage.identity import PAIR_TYPES, published_name
from lumibot_duckdb.storage.reference.occ import occ_symbol


def symbol_of(asset: AssetKey) -> str:
    """Return the symbol of an asset in a `BarRequest`.

    Stocks and indices have their symbol, options their OCC symbol, pairs base and quote ("BTC/USDT"), and dated
    futures the symbol and the expiration ("ES 2024-03-15").
    """
    if asset.asset_type == "option" and asset.expiration and asset.right and asset.strike is not None:
        return occ_symbol(asset.symbol, asset.expiration, asset.right, asset.strike)
    if asset.asset_type in PAIR_TYPES:
        return f"{asset.symbol}/{asset.quote or 'USD'}"
    return published_name(asset)
