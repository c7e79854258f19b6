"""Timesteps of requests: which bars serve them, how those are resampled, and which bar is the newest at a time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from lumibot_duckdb.lumibot_contract.alpaca_hooks import AlpacaHooks
from lumibot_duckdb.sources.alpaca.frames import FrameBuilder
from lumibot_duckdb.storage.times import epoch_nanoseconds
from lumibot_duckdb.windows.series_with_returns import SeriesWithReturns


@dataclass(frozen=True)
class Step:
    """A timestep of a request.

    `source` is the timestep of the bars that serve it, `rule` pandas' rule to resample them (None: not at all),
    `length` the length of one bar of the request.
    """

    timestep: str
    source: str
    rule: str | None
    length: timedelta
    in_days: bool


class Steps:
    """The timesteps that a backtest has requested, by the rules of its source."""

    def __init__(self, source: AlpacaHooks, builder: FrameBuilder) -> None:
        self._source = source
        self._builder = builder
        self._steps: dict[str, Step] = {}
        self._resampled: dict[tuple[str, str | None], tuple[Any, SeriesWithReturns]] = {}
        self._midnights: dict[date, int] = {}

    def of(self, timestep: str) -> Step:
        """Return a timestep by its name in a request."""
        step = self._steps.get(timestep)
        if step is None:
            source, rule = self._source.source_of_timestep(timestep)
            length, unit = self._source.convert_timestep_str_to_timedelta(timestep)
            step = self._steps[timestep] = Step(timestep, source, rule, length, unit == "day")
        return step

    def resampled(self, key: str, series: Any, step: Step) -> SeriesWithReturns:
        """Return the frame `key` at the timestep of a request, resampled at most once."""
        if step.rule is None and isinstance(series, SeriesWithReturns):
            return series
        known = self._resampled.get((key, step.rule))
        if known is None or known[0] is not series:
            frame = series.whole() if isinstance(series, SeriesWithReturns) else series
            if step.rule is not None:
                frame = self._source.aggregated(frame, step.rule)
            known = self._resampled[key, step.rule] = (series, self._builder.of_frame(frame))
        return known[1]

    def newest_row(self, series: SeriesWithReturns, now: datetime, step: Step, *, closed: bool) -> int:
        """Return the row of the newest bar at a time (`closed`: of those that have closed); -1 if there is none.

        Days are compared as days: one has closed when the next has begun.
        """
        if not step.in_days:
            return series.rows.row_at(epoch_nanoseconds(now - step.length if closed else now))
        day = now.date()
        if closed:
            day -= timedelta(days=max(step.length.days, 1))
        return series.rows.row_from(self._midnight_after(day)) - 1

    def _midnight_after(self, day: date) -> int:
        """Return when a day ends in the backtest's time zone, in nanoseconds since 1970."""
        found = self._midnights.get(day)
        if found is None:
            following = day + timedelta(days=1)
            midnight = self._source.tzinfo.localize(datetime(following.year, following.month, following.day))
            found = self._midnights[day] = epoch_nanoseconds(midnight)
        return found
