"""The names of the tested sources, and the file in which a side reports errors."""

from __future__ import annotations

from pathlib import Path

POLYGON, YAHOO, ALPACA, CCXT, OWN_BARS = "polygon", "yahoo", "alpaca", "ccxt", "own_bars"
LABELS = {POLYGON: "Polygon", YAHOO: "Yahoo", ALPACA: "Alpaca", CCXT: "CCXT", OWN_BARS: "own bars"}
"""The display names of the sources."""


def errors_file(folder: Path, is_ours: bool) -> Path:
    """Return the file in which a side notes the errors that stopped backtests, by source."""
    return folder / f"{'duckdb' if is_ours else 'lumibot'}-errors.json"
