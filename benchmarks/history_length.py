"""The time of the first request for a symbol, by the length of its stored history."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import TypeAlias

from benchmarks.bars import FIRST_DAY, LAST_DAY, SYMBOLS, Workplace
from benchmarks.ccxt import bars as ccxt_bars
from benchmarks.ccxt.sides import OPPONENT as LUMIBOTS_CCXT
from benchmarks.measure import Row
from benchmarks.polygon import bars as polygon_bars
from benchmarks.polygon.sides import OPPONENT as LUMIBOTS_POLYGON
from benchmarks.process import run_apart
from benchmarks.requests import touch_row

_LONG_SINCE = date(2004, 1, 1)
_COINS_SINCE, _COINS_LONG_SINCE = date(2021, 1, 1), date(2013, 1, 1)
"""Coins have not been traded for twenty years. Their bars end a year earlier."""

_FEW = 4
_PROCESSES = 3

Touch: TypeAlias = Callable[[str], list[float]]
"""Returns the seconds of the first requests on one side, the first of a process among them."""


def first_touch(workplace: Workplace) -> list[Row]:
    """Time of the first request for a symbol with few and with many years of minutes stored, later in a process."""
    rows = []
    for first, coins_first, symbols in ((FIRST_DAY, _COINS_SINCE, SYMBOLS), (_LONG_SINCE, _COINS_LONG_SINCE, _FEW)):
        years = LAST_DAY.year - first.year
        own_bars = _own_bars(workplace, symbols, first)
        rows += [
            _row(f"your own bars, {years} years", "Lumibot's PandasDataBacktesting", own_bars),
            _row(f"Polygon, {years} years", LUMIBOTS_POLYGON, _polygon(workplace, symbols, first)),
            _row(f"CCXT, {2023 - coins_first.year} years", LUMIBOTS_CCXT, _ccxt(workplace, coins_first)),
        ]
    return rows


def _row(what: str, opponent: str, touch: Touch) -> Row:
    note = (
        "The backtests on Polygon and CCXT begin where the bars do. The time with your own bars includes creating the "
        "source and the merged time index of all bars."
    )
    return touch_row(f"symbol of {what} of minutes stored", opponent, _PROCESSES, touch, note)


def _own_bars(workplace: Workplace, symbols: int, first: date) -> Touch:
    bars = {
        "lumibot": str(workplace.parquet_folder(symbols, first)),
        "duckdb": str(workplace.store_path(symbols, first)),
    }

    def touch(side: str) -> list[float]:
        seconds: dict[str, list[float]] = run_apart("requests.touch", side=side, bars=bars[side], symbols=_FEW)
        return seconds["later in a process"]

    return touch


def _polygon(workplace: Workplace, symbols: int, first: date) -> Touch:
    sides = polygon_bars.warm_sides(workplace, symbols, first)

    def touch(side: str) -> list[float]:
        seconds: dict[str, list[float]] = run_apart(
            "polygon.requests.touch", settings=sides[side], side=side, start=f"{first.year}-02-01", symbols=_FEW
        )
        return seconds["later in a process"]

    return touch


def _ccxt(workplace: Workplace, first: date) -> Touch:
    sides = ccxt_bars.warm_sides(workplace, _FEW, first)

    def touch(side: str) -> list[float]:
        seconds: list[float] = run_apart(
            "ccxt.requests.touch", settings=sides[side], side=side, start=f"{first.year}-01-05", coins=_FEW
        )
        return seconds

    return touch
