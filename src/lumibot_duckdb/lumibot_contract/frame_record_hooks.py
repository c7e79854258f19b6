"""Lumibot's record of the frames that a strategy received."""

from __future__ import annotations

from typing import Any

from lumibot.backtesting.market_input_evidence import MARKET_COLUMNS, MarketInputEvidence, _encoded, asset_identity

__all__ = ["MARKET_COLUMNS", "MarketInputEvidence", "encoded", "series_name"]


def encoded(value: Any) -> str:
    """Return JSON as Lumibot writes it."""
    text: str = _encoded(value)
    return text


def series_name(asset: Any, quote: Any) -> str:
    """Return how the record names the series of an asset."""
    return encoded(asset_identity(asset, quote))
