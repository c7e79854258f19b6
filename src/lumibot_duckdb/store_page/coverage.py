"""The data of the calendar of coverage: the days of every series, in groups by source, timeframe and adjustment."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from lumibot_duckdb.duckdb_storage import DuckDBDataStorage
from lumibot_duckdb.sources.shared.trading_hours import TradingHours
from lumibot_duckdb.storage.api import SeriesInfo
from lumibot_duckdb.storage.bars.outline import Days
from lumibot_duckdb.store_page.market_days import (
    GAP,
    PROVISIONAL,
    MarketDays,
    is_intraday,
    market_days,
    market_of,
    series_days,
    years_of,
)

MOST_CHARACTERS = 4_000_000
"""How large the calendar's data may become: a browser reads that in a moment."""

Group: TypeAlias = "tuple[str, str, str]"
"""A source, a timeframe and an adjustment."""
Row: TypeAlias = "list[str | int]"
"""A series as the page's script reads it: its label, the number of its market, the place of its first day among the
days of the market, and the states of its days as runs."""

_ROW_BESIDES = 12
"""Characters of a row besides its label and its runs."""
_NO_DAYS = Days(*(np.empty(0, np.int64) for _ in range(4)))


@dataclass
class Coverage:
    """The calendar of coverage.

    Attributes:
        data: what the page's script reads.
        series: how many series there are.
        drawn: how many of them are in the data.
        gaps: how many trading days of them are covered and have no bars.
        with_gaps: how many series have such days.
        provisional: how many trading days are covered provisionally and have no bars.
    """

    data: dict[str, Any] = field(default_factory=dict)
    series: int = 0
    drawn: int = 0
    gaps: int = 0
    with_gaps: int = 0
    provisional: int = 0


def group_name(group: Group) -> str:
    """Return the name of a group: "polygon, minute (split)"."""
    source, timeframe, adjustment = group
    return f"{source}, {timeframe}" + (f" ({adjustment})" if adjustment else "")


def groups_of(series: Iterable[SeriesInfo]) -> dict[Group, list[SeriesInfo]]:
    """Return the series by source, timeframe and adjustment, sorted by these."""
    found: dict[Group, list[SeriesInfo]] = {}
    for info in series:
        found.setdefault((info.key.source, info.key.timeframe, info.key.adjustment), []).append(info)
    return dict(sorted(found.items()))


def coverage_of(
    storage: DuckDBDataStorage,
    series: Sequence[SeriesInfo],
    on_series: Callable[[], None] = lambda: None,
    most_characters: int = MOST_CHARACTERS,
) -> Coverage:
    """Return the calendar of some series, with as many rows as fit. `on_series` is called after each series."""
    found, markets = Coverage(series=len(series)), _Markets(years_of(series))
    rows: dict[int, Row] = {}
    for info, stored in _with_days(storage, series):
        number, market = markets.of(info)
        days = series_days(info, stored, market)
        rows[info.series_id] = [info.key.asset.label(), number, days.begin, days.runs()]
        gaps = days.count(GAP)
        found.gaps += gaps
        found.with_gaps += gaps > 0
        found.provisional += days.count(PROVISIONAL)
        on_series()
    groups = {
        group: [rows[info.series_id] for info in members if info.series_id in rows]
        for group, members in groups_of(series).items()
    }
    drawn = _fitting(groups, most_characters)
    found.drawn = sum(map(len, drawn.values()))
    found.data = {
        "markets": markets.data(),
        "groups": [
            {"name": group_name(group), "total": len(groups[group]), "series": drawn[group]}
            for group in sorted(groups, key=lambda group: (-len(groups[group]), group))
        ],
    }
    return found


def _with_days(storage: DuckDBDataStorage, series: Sequence[SeriesInfo]) -> Iterator[tuple[SeriesInfo, Days]]:
    yield from storage.stored_days(series)
    yield from ((info, _NO_DAYS) for info in series if not info.rows)


def _fitting(groups: Mapping[Group, Sequence[Row]], room: int) -> dict[Group, list[Row]]:
    """Return the first rows of each group. The smallest group comes first; each may take an equal part of the room."""
    found: dict[Group, list[Row]] = {}
    for group in sorted(groups, key=lambda group: len(groups[group])):
        share = room // (len(groups) - len(found))
        found[group] = []
        for row in groups[group]:
            size = len(str(row[0])) + len(str(row[3])) + _ROW_BESIDES
            if size > share:
                break
            share -= size
            room -= size
            found[group].append(row)
    return found


class _Markets:
    """The markets of the rows in some years, numbered in the order in which they are needed."""

    def __init__(self, years: tuple[int, int]) -> None:
        self._years = years
        self._known: dict[tuple[TradingHours, bool], tuple[int, MarketDays]] = {}

    def of(self, info: SeriesInfo) -> tuple[int, MarketDays]:
        """Return the number and the days of the market of a series."""
        which = (market_of(info.key.asset), is_intraday(info))
        if which not in self._known:
            self._known[which] = (len(self._known), market_days(*which, self._years))
        return self._known[which]

    def data(self) -> list[list[int]]:
        """Return the trading days of each market: the first, and how many days later each next one is."""
        return [np.diff(days.numbers, prepend=0).tolist() for _, days in self._known.values()]
