"""Composes a chart of stored bars: candles, indicators, corporate actions and trades."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from lumibot_duckdb.analytics.indicators import check_zone
from lumibot_duckdb.analytics.requests import Request, parsed_requests, request_list
from lumibot_duckdb.analytics.series import chosen_series
from lumibot_duckdb.analytics.span import Span
from lumibot_duckdb.charts.api import ChartStorage
from lumibot_duckdb.charts.candles import Candles, read_candles
from lumibot_duckdb.charts.marks import action_marks, trade_marks
from lumibot_duckdb.charts.overlays import drawn_indicators
from lumibot_duckdb.charts.panes import Panes
from lumibot_duckdb.charts.time_axis import labels
from lumibot_duckdb.charts.trades import Trades, fills_of
from lumibot_duckdb.pages.page import Plot
from lumibot_duckdb.storage.api import AsOf, AssetLike
from lumibot_duckdb.storage.timeframes import count_and_unit


@dataclass(frozen=True, slots=True)
class Table:
    """A table of texts. Its last column has numbers."""

    title: str
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart: its title, what else the reader should know, the plot, and the height of the panes in pixels.

    `width` is the most pixels that it uses; None for all that there are. `tables` are below it on a page.
    """

    title: str
    notes: tuple[str, ...]
    plot: Plot
    height: int
    width: int | None = None
    tables: tuple[Table, ...] = ()


def make_chart(
    storage: ChartStorage,
    symbol: AssetLike,
    timeframe: str,
    indicators: str | Iterable[str],
    start: datetime | date | str | None,
    end: datetime | date | str | None,
    *,
    source: str | None,
    adjustment: str | None,
    as_of: AsOf | None,
    zone: str | None,
    trades: Trades | None,
) -> Chart:
    """Return the chart that `Charts.chart` documents."""
    texts = request_list(indicators)
    requests: Sequence[Request] = parsed_requests(texts) if texts else ()
    if zone is not None:
        check_zone(zone)
    span = Span.between(start, end)
    (series,) = chosen_series(storage, [symbol], timeframe, source, adjustment, as_of)
    fills = None if trades is None else fills_of(trades, series.pin.key.asset)
    candles = read_candles(storage, series, span, zone)
    names = labels(candles.times, candles.timeframe, candles.zone)
    panes = Panes(candles, names)
    panes.add_volume()
    for drawn in drawn_indicators(storage, candles, requests, texts, start, end, as_of):
        panes.add_indicator(drawn)
    panes.traces += action_marks(storage, candles, names)
    outside = 0
    if fills is not None:
        marks, outside = trade_marks(candles, names, fills)
        panes.traces += marks
    notes = (*_notes(candles, names, as_of), *_note_on_fills(outside, len(fills or ())))
    return Chart(_title(candles), notes, {"data": panes.traces, "layout": panes.layout()}, panes.height)


def _title(candles: Candles) -> str:
    key = candles.series.pin.key
    adjusted = f" ({key.adjustment})" if key.adjustment else ""
    return f"{key.asset.label()}, {candles.series.timeframe} bars from {key.source}{adjusted}"


def _notes(candles: Candles, names: Sequence[str], as_of: AsOf | None) -> list[str]:
    first, last = (names[place].replace("<br>", " ") for place in (0, -1))
    zone = "New York time" if candles.zone == "America/New_York" else candles.zone
    notes = [f"{first} to {last}, {zone}."]
    if as_of is not None:
        notes.append(f"Bars as they were stored as of {as_of}.")
    if candles.is_reduced:
        notes.append(
            f"Each candle: {length_text(candles.timeframe)}, since {candles.bars:,} bars are too many to draw. "
            "Zooming shows no smaller ones; a shorter range does."
        )
    return notes


def _note_on_fills(outside: int, fills: int) -> list[str]:
    return [f"{outside:,} of {fills:,} fills are outside of this range."] if outside else []


def length_text(timeframe: str) -> str:
    """Return a length for people.

    >>> length_text("4hour"), length_text("week")
    ('4 hours', '1 week')
    """
    count, unit = count_and_unit(timeframe)
    return f"{count} {unit}{'' if count == 1 else 's'}"
