"""Whether the bars of series are plausible: runs the checks of prices and gaps, and words the findings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

import numpy as np
import pyarrow as pa

from lumibot_duckdb.storage.api import AssetKey, SeriesInfo, SeriesKey
from lumibot_duckdb.storage.bars.coverage import merged
from lumibot_duckdb.storage.connection.cursor import StoreCursor
from lumibot_duckdb.storage.identity import published_name
from lumibot_duckdb.storage.timeframes import bar_seconds
from lumibot_duckdb.storage.times import SECONDS_PER_DAY, Int64Array
from lumibot_duckdb.storage.upkeep.bar_scan import Stretch
from lumibot_duckdb.storage.upkeep.findings import LISTED_BARS, Finding, FoundBar, Severity
from lumibot_duckdb.storage.upkeep.gap_checks import Gap, GapFinder
from lumibot_duckdb.storage.upkeep.price_checks import (
    AROUND,
    Floats,
    Prices,
    Split,
    Suspect,
    bad_ticks,
    impossible_bars,
    jumps,
    stale_bars,
)

_CONTEXT = 1_000
"""Bars before a stretch that its checks see, too: as many as the surroundings of a bar and a stale run need."""

_MAY_BE_NEGATIVE = ("future", "cont_future", "index")
_SPLITS = """
SELECT asset_symbol, asset_type, source, ex_date, split_from, split_to FROM {db}.corporate_action
WHERE kind = 'split' AND split_from > 0 AND split_to > 0
"""
_SEVERITIES: dict[str, Severity] = {
    "impossible_bars": "warning",
    "bad_ticks": "warning",
    "splits": "warning",
    "stale_prices": "info",
    "gaps": "info",
    "coverage": "info",
}
_REPAIRS = {
    "impossible_bars": "--drop-bad-bars removes them, and the next backtest requests them again",
    "bad_ticks": "compare them with another source; `forget` lets the next backtest request them again",
    "splits": "`delete` the series, or `forget` it and let its source restate it, so that all bars are adjusted alike",
    "stale_prices": "`forget` lets the next backtest request them again",
    "gaps": "`forget` lets the next backtest request them again, if the source has these bars by now",
}

RecordedSplits = Mapping[tuple[str, str], Sequence[tuple[str, date, float]]]


def recorded_splits(cursor: StoreCursor) -> RecordedSplits:
    """Return the recorded splits by name and type of the asset: source, date, and the factor of prices."""
    found: dict[tuple[str, str], list[tuple[str, date, float]]] = {}
    for symbol, asset_type, source, day, old, new in cursor.rows(_SPLITS):
        found.setdefault((symbol, asset_type), []).append((source, day, old / new))
    return found


class BarChecks:
    """Checks the current bars of some series, which are given a stretch at a time, in order."""

    def __init__(self, series: Iterable[SeriesInfo], splits: RecordedSplits) -> None:
        self._checked = {info.version_id: _Series(info, _splits_of(info.key, splits)) for info in series}
        shared: dict[tuple[AssetKey, str], list[_Series]] = {}
        for each in self._checked.values():
            shared.setdefault((each.info.key.asset, each.info.key.timeframe), []).append(each)
        self._shared = [group for group in shared.values() if len(group) > 1]
        for group in self._shared:
            for each in group:
                each.closes = {}

    def add(self, stretch: Stretch) -> None:
        """Check further bars of a version; of another one than those of the series, do nothing."""
        series = self._checked.get(stretch.version_id)
        if series is not None:
            series.add(stretch)

    def findings(self) -> Iterator[Finding]:
        """Yield what was found, once all bars were given."""
        for series in self._checked.values():
            yield from series.findings()
        for group in self._shared:
            yield from _disagreements(group)


@dataclass(slots=True)
class _Group:
    """The suspects of a check and a kind: how many bars, and the first ones."""

    count: int = 0
    bars: list[FoundBar] = field(default_factory=list)


class _Series:
    """One series: the bars at the end of the stretch before, and what was found so far."""

    def __init__(self, info: SeriesInfo, splits: Sequence[Split]) -> None:
        self.info = info
        self.splits = splits
        self.closes: dict[int, float] | None = None  # by day, if the asset has other such series
        self._length = bar_seconds(info.key.timeframe)
        self._gaps = GapFinder(info.key.asset.asset_type, self._length)
        self._coverage = merged(info.coverage)
        self._tail: Prices | None = None
        self._reported_to = 0  # place in the tail
        self._found: dict[tuple[str, str], _Group] = {}

    def add(self, stretch: Stretch) -> None:
        news = _prices(stretch)
        fresh = 0 if self._tail is None else len(self._tail)
        bars = news if self._tail is None else _joined(self._tail, news)
        # What the checks need after a bar may be in the next stretch.
        end = len(bars) if stretch.is_last else max(fresh, len(bars) - AROUND)
        for check, suspects in self._suspects(bars):
            for suspect in suspects:
                if self._reported_to <= suspect.at < end:
                    self._note(check, suspect, bars)
        self._gaps.add(news.times)
        self._outside_coverage(news.times)
        self._keep_closes(news)
        start = max(0, len(bars) - _CONTEXT)
        self._tail, self._reported_to = _cut(bars, start), end - start

    def _suspects(self, bars: Prices) -> Iterator[tuple[str, Iterator[Suspect]]]:
        asset_type = self.info.key.asset.asset_type
        yield "impossible_bars", impossible_bars(bars, may_be_negative=asset_type in _MAY_BE_NEGATIVE)
        yield "stale_prices", stale_bars(bars, self._length)
        if asset_type not in ("option",):  # their prices double within minutes
            yield "bad_ticks", bad_ticks(bars)
        if asset_type == "stock":
            yield "splits", jumps(bars, self._length, self.splits, self.info.key.adjustment)

    def _note(self, check: str, suspect: Suspect, bars: Prices) -> None:
        end = None if suspect.stop is None else int(bars.times[suspect.stop - 1]) + self._length
        self._record(check, suspect.kind, FoundBar(int(bars.times[suspect.at]), suspect.note, end))

    def _record(self, check: str, kind: str, bar: FoundBar, count: int = 1) -> None:
        group = self._found.setdefault((check, kind), _Group())
        group.count += count
        if len(group.bars) < LISTED_BARS:
            group.bars.append(bar)

    def _outside_coverage(self, times: Int64Array) -> None:
        bounds = np.array([edge for piece in self._coverage for edge in (piece.start, piece.end)], np.int64)
        outside = np.flatnonzero(np.searchsorted(bounds, times, side="right") % 2 == 0)
        if len(outside):
            kind = "bars outside of the coverage, which a backtest requests again"
            self._record("coverage", kind, FoundBar(int(times[outside[0]])), len(outside))

    def _keep_closes(self, bars: Prices) -> None:
        if self.closes is not None and bars.close is not None:
            days = bars.times // SECONDS_PER_DAY
            lasts = np.append(np.flatnonzero(np.diff(days)), len(days) - 1)
            self.closes.update(zip(days[lasts].tolist(), bars.close[lasts].tolist(), strict=True))

    def findings(self) -> Iterator[Finding]:
        gaps, sentence = self._gaps.found(self._coverage)
        for gap in gaps:
            kind = "sessions without a bar" if gap.sessions else "gaps within sessions"
            self._record("gaps", kind, FoundBar(gap.within.start, _length_of(gap), gap.within.end))
        if sentence:
            yield Finding("gaps", "info", sentence, self.info.key)
        for (check, kind), group in sorted(self._found.items()):
            severity = "warning" if kind in ("sessions without a bar", "equal bars that moved") else _SEVERITIES[check]
            repair = _REPAIRS.get(check, "")
            yield Finding(check, severity, kind, self.info.key, tuple(group.bars), group.count, repair)


def impossible_times(stretch: Stretch, asset_type: str) -> Int64Array:
    """Return the starts of the bars of a stretch whose numbers cannot be."""
    found = impossible_bars(_prices(stretch), may_be_negative=asset_type in _MAY_BE_NEGATIVE)
    times: Int64Array = stretch.times[[suspect.at for suspect in found]]
    return times


def _length_of(gap: Gap) -> str:
    if gap.sessions:
        return f"{gap.sessions} session{'s' if gap.sessions > 1 else ''}"
    return f"{(gap.within.end - gap.within.start) // 60} minutes"


def _prices(stretch: Stretch) -> Prices:
    columns = stretch.columns
    numbers = [_floats(columns[name]) for name in ("open", "high", "low", "close", "volume")]
    return Prices(stretch.times, columns["ingest_id"].to_numpy(), *numbers)


def _floats(column: pa.Array) -> Floats | None:
    if column.null_count == len(column):
        return None
    values: Floats = column.to_numpy(zero_copy_only=False)
    return values


def _joined(one: Prices, other: Prices) -> Prices:
    def both(first: Floats | None, second: Floats | None) -> Floats | None:
        if first is None and second is None:
            return None
        parts = [np.full(len(bars), np.nan) if part is None else part for part, bars in ((first, one), (second, other))]
        return np.concatenate(parts)

    names = ("open", "high", "low", "close", "volume")
    columns = [both(getattr(one, name), getattr(other, name)) for name in names]
    return Prices(np.concatenate([one.times, other.times]), np.concatenate([one.ingests, other.ingests]), *columns)


def _cut(bars: Prices, start: int) -> Prices:
    columns = (bars.open, bars.high, bars.low, bars.close, bars.volume)
    # Copies, so that the rest of the stretch is not kept.
    kept = [None if column is None else column[start:].copy() for column in columns]
    return Prices(bars.times[start:].copy(), bars.ingests[start:].copy(), *kept)


def _splits_of(key: SeriesKey, splits: RecordedSplits) -> list[Split]:
    """Return the recorded splits of a series' asset, also those from other sources."""
    known = splits.get((published_name(key.asset), key.asset.asset_type), ())
    return [Split(day, factor, source == key.source) for source, day, factor in known]


_STEP = 0.3
"""Series of the same bars, adjusted in different ways, differ by a factor. It changes by more than this (in logarithms)
at a split of 3 for 2 or larger, and by less at dividends."""


def _disagreements(group: Sequence[_Series]) -> Iterator[Finding]:
    """Compare series of an asset from different sources or with different adjustments, by their closes of each day."""
    first = group[0]
    for other in group[1:]:
        days = sorted(set(first.closes or ()) & set(other.closes or ()))
        if len(days) < 10:
            continue
        one, two = (np.array([(each.closes or {})[day] for day in days]) for each in (first, other))
        with np.errstate(divide="ignore", invalid="ignore"):
            factor = np.log(one / two)
        steps = np.flatnonzero(np.abs(np.diff(factor)) > _STEP) + 1
        lasting = [at for at in steps.tolist() if _lasts(factor, at)]
        alike = first.info.key.adjustment == other.info.key.adjustment
        days_of_splits = [(split.ex_date - date(1970, 1, 1)).days for split in (*first.splits, *other.splits)]
        bars = [
            FoundBar(days[at] * SECONDS_PER_DAY, f"a factor of {np.exp(abs(factor[at] - factor[at - 1])):.3g}")
            for at in lasting
            if alike or not any(days[at - 1] - 4 < day < days[at] + 4 for day in days_of_splits)
        ]
        if bars:
            what = f"the prices begin to differ by another factor from those of {other.info.key.label()}"
            yield Finding(
                "splits", "warning", what, first.info.key, tuple(bars[:LISTED_BARS]), len(bars), _REPAIRS["splits"]
            )


def _lasts(factor: Floats, at: int) -> bool:
    before, after = np.nanmedian(factor[max(0, at - 5) : at]), np.nanmedian(factor[at : at + 5])
    return bool(abs(after - before) > _STEP)
