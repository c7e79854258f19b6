"""The names of the sources that are tested, and where a side reports errors."""

from __future__ import annotations

from pathlib import Path

POLYGON, YAHOO, ALPACA, CCXT, OWN_BARS = "polygon", "yahoo", "alpaca", "ccxt", "own_bars"
LABELS = {POLYGON: "Polygon", YAHOO: "Yahoo", ALPACA: "Alpaca", CCXT: "CCXT", OWN_BARS: "own bars"}
"""The sources by name, and what to call them."""


def errors_file(folder: Path, is_ours: bool) -> Path:
    """Return the file in which a side notes the errors that stopped backtests, by source."""
    return folder / f"{'duckdb' if is_ours else 'lumibot'}-errors.json"
