"""Alpaca's symbols of stored assets."""

from __future__ import annotations

from lumibot_duckdb.storage.api import AssetKey


def alpaca_symbol(asset: AssetKey) -> str:
    """Return Alpaca's symbol of an asset ("AAPL", "BTC/USD", "SPY240119C00470000")."""
    if asset.asset_type == "crypto":
        return f"{asset.symbol}/{asset.quote}"
    if asset.asset_type == "option" and asset.expiration is not None:
        strike = f"{asset.strike:08.3f}".replace(".", "").rjust(8, "0")
        return f"{asset.symbol}{asset.expiration:%y%m%d}{(asset.right or 'C')[0]}{strike}"
    return asset.symbol
