"""Checks the recorded series of a store against their providers."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

from lumibot_duckdb import clock
from lumibot_duckdb.live.checking.verified import SeriesKind, Verification, joined
from lumibot_duckdb.live.closed import settled_before
from lumibot_duckdb.live.covered_time import seconds_in, trading_gaps
from lumibot_duckdb.live.recorded import has_recorded, recorded_series
from lumibot_duckdb.live.rest_bars import PROVIDERS, RestBars
from lumibot_duckdb.sources.shared.errors import ProviderError
from lumibot_duckdb.storage.api import DataStorageInterface, EpochSeconds, SeriesInfo, SeriesKey, TimeRange
from lumibot_duckdb.storage.bars.coverage import common, in_ranges
from lumibot_duckdb.storage.times import NEW_YORK, date_of, midnight, moment_of

if TYPE_CHECKING:
    from lumibot_duckdb.live.bar_comparison import BarComparison

_LATELY = timedelta(days=30)
_DAY = timedelta(days=1)


@dataclass(frozen=True)
class SeriesCheck:
    """What the check of a series found.

    Attributes:
        key: The series.
        day: The day that was compared, in New York.
        found: The comparison; None if the provider did not answer.
        unrecorded: How many seconds of trading time of the day were not recorded, so that nothing could be compared.
        error: Why the provider did not answer.
    """

    key: SeriesKey
    day: date
    found: BarComparison | None
    unrecorded: int = 0
    error: str = ""

    @property
    def readjusted(self) -> bool:
        """Whether all bars differ, as after a split or dividend since they were recorded: no fault of the recording."""
        found = self.found
        return bool(self.key.adjustment) and found is not None and found.compared > 1 and found.all_different

    @property
    def verified(self) -> bool:
        """Whether there were bars to compare, and all were equal."""
        return self.found is not None and self.found.equal and self.found.compared > 0


def series_to_check(
    storage: DataStorageInterface,
    day: date | None,
    providers: Collection[str] = PROVIDERS,
    among: Collection[SeriesInfo] | None = None,
) -> tuple[date, list[SeriesInfo]] | None:
    """Return the series that were recorded live on a day, and the day; None if there are none.

    Parameters:
        storage: the store.
        day: the day, in New York; by default, the last one of the past month with recorded bars that are settled.
        providers: the sources of the series.
        among: choose among these series.
    """
    if day is not None:
        whole = _range_of(day)
        recorded = _recorded(storage, moment_of(whole.start), providers, among)
        found = [info for info in recorded if has_recorded(storage, info.key, whole)]
        return (day, found) if found else None
    lately = _recorded(storage, clock.utc_now() - _LATELY, providers, among)
    last = [min(info.last or 0, settled_before(info.key.timeframe) - 1) for info in lately]
    for each in sorted({date_of(seconds, NEW_YORK) for seconds in last}, reverse=True):
        chosen = series_to_check(storage, each, providers, among)
        if chosen is not None:
            return chosen
    return None


def _recorded(
    storage: DataStorageInterface, since: datetime, providers: Collection[str], among: Collection[SeriesInfo] | None
) -> list[SeriesInfo]:
    keys = None if among is None else {info.key for info in among}
    recorded = recorded_series(storage, since, providers)
    return [each.info for each in recorded if keys is None or each.info.key in keys]


def checked(
    storage: DataStorageInterface,
    rest: RestBars,
    day: date,
    series: Iterable[SeriesInfo],
    on_series: Callable[[], None] = lambda: None,
) -> Iterator[SeriesCheck]:
    """Compare the recorded bars of a day with the provider's, series by series. `on_series` is called after each."""
    for info in series:
        yield _checked(storage, rest, day, info)
        on_series()


def outcome(checks: Sequence[SeriesCheck]) -> tuple[list[Verification], list[SeriesKind]]:
    """Return the kinds of series that are verified, and the kinds with a series that differs."""
    differing = {SeriesKind.of(each.key) for each in checks if _shows_a_fault(each)}
    now = clock.utc_now()
    verified = [
        Verification(kind, now, each.day, 1, each.found.compared)
        for each in checks
        if each.verified and each.found is not None and (kind := SeriesKind.of(each.key)) not in differing
    ]
    return joined(verified), sorted(differing)


def _shows_a_fault(check: SeriesCheck) -> bool:
    return check.found is not None and not check.found.equal and not check.readjusted


def _checked(storage: DataStorageInterface, rest: RestBars, day: date, info: SeriesInfo) -> SeriesCheck:
    from lumibot_duckdb.live.bar_comparison import compared_bars, joined_bars
    from lumibot_duckdb.storage.times import bar_starts

    key, whole = info.key, _range_of(day)
    settled = TimeRange(whole.start, max(whole.start, min(whole.end, settled_before(key.timeframe))))
    covered = common(storage.coverage(key, permanent_only=True), [settled])
    unrecorded = seconds_in(trading_gaps(key, settled, covered))
    try:
        responses = list(rest.responses(key, covered)) if covered else []
    except (ProviderError, ValueError) as error:
        return SeriesCheck(key, day, None, unrecorded, str(error))
    stored = storage.read_pandas(storage.pin(key), settled)
    returned = joined_bars([response.bars for response in responses])
    ours, theirs = (frame[in_ranges(bar_starts(frame), covered)] for frame in (stored, returned))
    return SeriesCheck(key, day, compared_bars(ours, theirs), unrecorded)


def _range_of(day: date) -> TimeRange:
    def begin(of: date) -> EpochSeconds:
        return midnight(of, NEW_YORK)

    return TimeRange(begin(day), begin(day + _DAY))
