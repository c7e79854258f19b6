"""What was recorded lately, and what is missing of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from lumibot_duckdb import clock
from lumibot_duckdb.live.closed import settled_before
from lumibot_duckdb.live.covered_time import seconds_in, trading_gaps, trading_time
from lumibot_duckdb.live.recorded import RecordedSeries, recorded_series
from lumibot_duckdb.storage.api import DataStorageInterface, EpochSeconds, SeriesKey, TimeRange
from lumibot_duckdb.storage.timeframes import bar_seconds
from lumibot_duckdb.storage.times import NEW_YORK, date_of, midnight

_CENTURY = 36_525
"""Days. Nothing was recorded earlier, and `datetime` ends some time before."""


@dataclass(frozen=True)
class RecordingStatus:
    """One recorded series.

    Attributes:
        key: The series.
        last: The start of its last bar.
        recorded_at: When bars were last recorded live (UTC).
        behind: How many seconds of trading time passed between the end of the last bar and the last settled one.
        gaps: The trading time of today, in New York, that is settled and not covered.
    """

    key: SeriesKey
    last: EpochSeconds
    recorded_at: datetime
    behind: int
    gaps: tuple[TimeRange, ...]

    @property
    def missing(self) -> int:
        """The length of all gaps in seconds."""
        return seconds_in(self.gaps)


def recording_status(storage: DataStorageInterface, days: int) -> list[RecordingStatus]:
    """Return the series that were recorded live within some days, in the order of `list_series`."""
    recorded = recorded_series(storage, clock.utc_now() - timedelta(days=min(days, _CENTURY)))
    return [_status(each) for each in recorded]


def _status(recorded: RecordedSeries) -> RecordingStatus:
    info = recorded.info
    settled = settled_before(info.key.timeframe)
    last = info.last or 0
    ended = last + bar_seconds(info.key.timeframe)
    behind = seconds_in(trading_time(info.key, TimeRange(ended, max(ended, settled))))
    today = midnight(date_of(clock.epoch_now(), NEW_YORK), NEW_YORK)
    gaps = trading_gaps(info.key, TimeRange(today, max(today, settled)), info.coverage)
    return RecordingStatus(info.key, last, recorded.recorded_at, behind, tuple(gaps))
