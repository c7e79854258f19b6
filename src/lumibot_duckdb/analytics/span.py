"""The range of bars that a caller wants, and what an error says if it has none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from lumibot_duckdb.analytics.errors import AnalysisError
from lumibot_duckdb.analytics.series import ChosenSeries
from lumibot_duckdb.storage.api import BarReader
from lumibot_duckdb.storage.times import (
    NEW_YORK,
    SECONDS_PER_DAY,
    UTC,
    EpochSeconds,
    epoch_seconds_ceiling,
    moment_of,
    new_york_timestamp,
)

_NAMES_SHOWN = 4


@dataclass(frozen=True, slots=True)
class Span:
    """The bars of a series that are shown: those that start from `start` on and before `end` (None: all)."""

    start: EpochSeconds | None
    end: EpochSeconds | None

    @classmethod
    def between(cls, start: datetime | date | str | None, end: datetime | date | str | None) -> Span:
        """Return the span of times that a caller gave, rounded up. Raises `AnalysisError` if it cannot have bars."""
        span = cls(_moment(start), _moment(end))
        if span.start is not None and span.end is not None and span.start >= span.end:
            raise AnalysisError(f"start, {start}, is not before end, {end}")
        return span


def nothing_in(storage: BarReader, series: Sequence[ChosenSeries], span: Span) -> str:
    """Return what an error says if a span has no bars: which are stored."""
    is_stored = len(series) == 1 and series[0].as_stored
    name = series[0].label if is_stored else listed([each.symbol for each in series])
    kind = "" if is_stored else f"{series[0].timeframe} "
    facts = [storage.facts(each.pin) for each in series]
    firsts, lasts = [each.first for each in facts if each.first is not None], [each.last or 0 for each in facts]
    if not firsts:
        return f"{name}: there are no bars"
    begin = "" if span.start is None else f" from {_text(span.start)}"
    end = "" if span.end is None else f" before {_text(span.end)}"
    return f"{name}: no {kind}bars{begin}{end}; there are bars from {_text(min(firsts))} to {_text(max(lasts))}"


def listed(names: Sequence[str]) -> str:
    """Return the first names, and how many more there are."""
    rest = len(names) - _NAMES_SHOWN
    return ", ".join(names[:_NAMES_SHOWN]) + (f" and {rest} more" if rest > 0 else "")


def _moment(time: datetime | date | str | None) -> EpochSeconds | None:
    return None if time is None else epoch_seconds_ceiling(new_york_timestamp(time))


def _text(seconds: EpochSeconds) -> str:
    zone = UTC if seconds % SECONDS_PER_DAY == 0 else NEW_YORK
    moment = moment_of(seconds, zone)
    return f"{moment:%Y-%m-%d}" if (moment.hour, moment.minute) == (0, 0) else f"{moment:%Y-%m-%d %H:%M}"
