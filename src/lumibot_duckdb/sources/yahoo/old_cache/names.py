"""Names of pickles in Lumibot's Yahoo cache: `SPY_1d.pickle`, `_15m`, `_1m`, `_info`, and in the past `_day_data`."""

from __future__ import annotations

from pathlib import Path

TIMEFRAMES = {"1d": "day", "day_data": "day", "15m": "15minute", "1m": "minute"}
INFO = "info"
SUFFIX = ".pickle"


def symbol_and_kind(path: Path) -> tuple[str, str]:
    """Return the symbol and the kind ("1d", "info") in a file's name; the kind is "" if it is not a known one."""
    stem = path.name.removesuffix(SUFFIX)
    for kind in (*TIMEFRAMES, INFO):
        if stem.endswith(f"_{kind}"):
            return stem.removesuffix(f"_{kind}"), kind
    return stem, ""


def info_file(path: Path) -> Path:
    """Return the path of Yahoo's info on the symbol of a file."""
    return path.with_name(f"{symbol_and_kind(path)[0]}_{INFO}{SUFFIX}")
