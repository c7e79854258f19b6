"""Lumibot's record of the frames that a strategy received."""

from __future__ import annotations

from typing import Any

from lumibot.backtesting.market_input_evidence import MARKET_COLUMNS, MarketInputEvidence, _encoded, asset_identity

_NAMES = 10_000
_names: dict[str, str] = {}
"""Names of series, by what they are made of: JSON takes several times as long as the look-up."""

__all__ = ["MARKET_COLUMNS", "MarketInputEvidence", "encoded", "series_name"]


def encoded(value: Any) -> str:
    """Return JSON as Lumibot writes it."""
    text: str = _encoded(value)
    return text


def series_name(asset: Any, quote: Any) -> str:
    """Return how the record names the series of an asset."""
    identity = asset_identity(asset, quote)  # texts only, and such a dictionary
    text = repr(identity)
    name = _names.get(text)
    if name is None:
        if len(_names) >= _NAMES:
            _names.clear()
        name = _names[text] = encoded(identity)
    return name
