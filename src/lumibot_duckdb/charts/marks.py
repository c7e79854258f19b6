"""Marks on the candles: splits, dividends, and the fills of a backtest."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from html import escape
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from lumibot_duckdb.charts.candles import Candles
from lumibot_duckdb.charts.trades import Fill
from lumibot_duckdb.storage.api import CorporateAction, ReferenceData
from lumibot_duckdb.storage.timeframes import bar_seconds
from lumibot_duckdb.storage.times import SECONDS_PER_DAY, moment_of

_KINDS = (("split", "S", "splits"), ("dividend", "D", "dividends"))
_MOST_LETTERS = 24
"""More marks of a kind are drawn small, without a letter."""
_EPOCH_DAY = date(1970, 1, 1).toordinal()
_BELOW = 0.05
"""How far below the lowest price they are drawn, as a part of the range."""


def action_marks(storage: ReferenceData, candles: Candles, names: Sequence[str]) -> list[dict[str, Any]]:
    """Return a trace for each kind of corporate action that the series's source has within the candles."""
    lowest, highest = float(np.nanmin(candles.columns["low"])), float(np.nanmax(candles.columns["high"]))
    height = lowest - _BELOW * ((highest - lowest) or abs(highest) or 1.0)
    traces = []
    for kind, letter, title in _KINDS:
        known = storage.corporate_actions(candles.series.pin.key.asset, candles.series.pin.key.source, kind)
        texts = _by_candle(candles, () if known is None else known.actions)
        if not texts:
            continue
        few = len(texts) <= _MOST_LETTERS
        traces.append(
            {
                "type": "scatter",
                "mode": "markers+text" if few else "markers",
                "name": title,
                "x": [names[place] for place in texts],
                "y": [height] * len(texts),
                "text": [letter] * len(texts),
                "textfont": {"color": "--card", "size": 10},
                "customdata": list(texts.values()),
                "hovertemplate": "%{customdata}<extra></extra>",
                "marker": {"color": f"--{kind}", "size": 16 if few else 7, "symbol": "circle"},
            }
        )
    return traces


def _by_candle(candles: Candles, actions: Iterable[CorporateAction]) -> dict[int, str]:
    """Return what happened at the candles, by their places."""
    index = pd.DatetimeIndex(candles.times, dtype=pd.DatetimeTZDtype("s", candles.zone)).tz_localize(None)
    days = index.asi8 // SECONDS_PER_DAY
    found: dict[int, list[str]] = {}
    for action in actions:
        place = _place(days, action.ex_date.toordinal() - _EPOCH_DAY, bar_seconds(candles.timeframe))
        if place is not None:
            found.setdefault(place, []).append(f"{action.ex_date} {_action_text(action)}")
    return {place: "<br>".join(texts) for place, texts in sorted(found.items())}


def _place(days: Any, day: int, seconds: int) -> int | None:
    """Return the place of the candle in which an ex-date begins to count; None if there is none."""
    place = int(days.searchsorted(day))
    if place < len(days) and days[place] == day:
        return place
    if seconds > SECONDS_PER_DAY:
        within = place > 0 and (place < len(days) or day < days[-1] + seconds // SECONDS_PER_DAY)
        return place - 1 if within else None
    return place if 0 < place < len(days) else None  # the market was closed: from the next candle on


def _action_text(action: CorporateAction) -> str:
    if action.split_to is not None and action.split_from is not None:
        return f"split {action.split_to:g} for {action.split_from:g}"
    return f"dividend {action.amount:g}"


def trade_marks(candles: Candles, names: Sequence[str], fills: Sequence[Fill]) -> tuple[list[dict[str, Any]], int]:
    """Return a trace of purchases and one of sales, and how many fills are outside of the candles."""
    places = candles.places(np.array([fill.time for fill in fills], np.int64))
    end = int(candles.times[-1]) + bar_seconds(candles.timeframe)
    inside = [(fill, int(place)) for fill, place in zip(fills, places, strict=True) if place >= 0 and fill.time < end]
    traces = []
    for bought, title, symbol, color in (
        (True, "bought", "triangle-up", "bought"),
        (False, "sold", "triangle-down", "sold"),
    ):
        those = [(fill, place) for fill, place in inside if fill.bought is bought]
        if those:
            traces.append(
                {
                    "type": "scatter",
                    "mode": "markers",
                    "name": title,
                    "x": [names[place] for _, place in those],
                    "y": [_price(candles, fill, place) for fill, place in those],
                    "customdata": [_fill_text(fill, candles.zone) for fill, _ in those],
                    "hovertemplate": "%{customdata}<extra></extra>",
                    "marker": {
                        "color": f"--{color}",
                        "size": 12,
                        "symbol": symbol,
                        "line": {"color": "--card", "width": 1.5},
                    },
                }
            )
    return traces, len(fills) - len(inside)


def _price(candles: Candles, fill: Fill, place: int) -> float:
    return fill.price if np.isfinite(fill.price) else float(candles.columns["close"][place])


def _fill_text(fill: Fill, zone: str) -> str:
    price = f" at {fill.price:,.10g}" if np.isfinite(fill.price) else ""
    quantity = f" {fill.quantity:,.10g}" if np.isfinite(fill.quantity) else ""
    side = escape(fill.side.replace("_", " "), quote=False)
    return f"{side}{quantity}{price}, {moment_of(fill.time, ZoneInfo(zone)):%Y-%m-%d %H:%M}"
