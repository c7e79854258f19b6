"""Bars from an old cache: what is stored, what the store keeps, and which differences are found."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.sources.shared.old_cache.contents import CachedBars
from lumibot_duckdb.sources.shared.old_cache.errors import ConflictError
from lumibot_duckdb.storage.api import AssetKey, SeriesKey, TimeRange

KEY = SeriesKey(AssetKey("AAPL"), "polygon", "minute")
TIMES = pd.date_range("2024-01-02 14:30", periods=6, freq="min", tz="UTC")
START = int(TIMES[0].timestamp())
NOW = datetime.now(timezone.utc)


def bars(times: pd.DatetimeIndex = TIMES) -> pd.DataFrame:
    first = float((times[0] - TIMES[0]) // timedelta(minutes=1)) + 1
    frame = pd.DataFrame(
        {name: np.arange(len(times)) + first for name in ("open", "high", "low", "close")}, index=times
    )
    frame["volume"] = np.arange(len(times)) + int(first)
    frame.loc[times[-1], "close"] = np.nan
    return frame


def cached(frame: pd.DataFrame, first: int = 0, last: int = 10, asked_at: datetime = NOW) -> CachedBars:
    return CachedBars(KEY, frame, [TimeRange(START + 60 * first, START + 60 * last)], asked_at)


@pytest.fixture
def storage(tmp_path: Path) -> DuckDBDataStorage:
    return DuckDBDataStorage(tmp_path / "bars.duckdb")


def test_bars_go_in_once_and_come_back_the_same(storage: DuckDBDataStorage) -> None:
    content = cached(bars())
    assert content.difference(storage) == "the store has no bar at 2024-01-02 14:30:00+00:00"
    assert content.store(storage, {"from": "a file"}) == 6
    assert content.difference(storage) is None
    assert content.store(storage, {}) == 0
    assert storage.coverage(KEY) == [TimeRange(START, START + 600)]
    assert [ingest.metadata for ingest in storage.ingests(storage.pin(KEY))] == [{"from": "a file"}]


def test_only_what_the_store_does_not_cover_is_added(storage: DuckDBDataStorage) -> None:
    whole = bars()
    cached(whole[2:4], first=2, last=4).store(storage, {})
    assert cached(whole).store(storage, {}) == 4
    assert cached(whole).difference(storage) is None


def test_other_values_in_the_store_are_kept_and_reported(storage: DuckDBDataStorage) -> None:
    cached(bars()[:4], last=4).store(storage, {})
    other = bars()
    other.loc[TIMES[2], "low"] = 99.0
    with pytest.raises(ConflictError, match=r"low at 2024-01-02 14:32:00\+00:00: .*99.0.* in the file, .*3.0"):
        cached(other).store(storage, {})
    assert storage.facts(storage.pin(KEY)).rows == 4
    assert "low at 2024-01-02 14:32:00+00:00" in str(cached(other[:4]).difference(storage))


def test_an_empty_answer_is_as_old_as_its_file(storage: DuckDBDataStorage) -> None:
    nothing = bars()[:0]
    cached(nothing, asked_at=NOW - timedelta(days=31)).store(storage, {})
    assert storage.coverage(KEY) == []
    cached(nothing, asked_at=NOW - timedelta(days=29)).store(storage, {})
    assert storage.coverage(KEY) == [TimeRange(START, START + 600)]


def test_bars_count_for_more_than_an_empty_answer(storage: DuckDBDataStorage) -> None:
    """A range that was recorded as empty may have been an outage."""
    cached(bars()[:2], last=2).store(storage, {})
    cached(bars()[:0], first=2, last=5).store(storage, {})
    assert cached(bars()).store(storage, {}) == 4
    assert cached(bars()).difference(storage) is None
    assert storage.coverage(KEY, permanent_only=True) == [TimeRange(START, START + 360)]
    assert storage.coverage(KEY) == [TimeRange(START, START + 600)]


def test_trading_hours_beyond_the_bars_of_a_file_are_as_old_as_the_file(storage: DuckDBDataStorage) -> None:
    """The file counts as the first of the two responses that make an empty range permanent."""
    day = TimeRange(START - 9 * 3600, START + 15 * 3600)  # the session is from START on, for six and a half hours
    close = START + 6 * 3600 + 1800
    content = CachedBars(KEY, bars(), [day], NOW - timedelta(days=31))
    assert content.store(storage, {}) == 6
    assert storage.missing_ranges(KEY, day) == [TimeRange(START + 360, close)]
    assert content.store(storage, {}) == 0
    assert storage.missing_ranges(KEY, day) == [TimeRange(START + 360, close)]
    storage.record_coverage(KEY.asset, TimeRange(START + 360, close), KEY.source, KEY.timeframe)
    assert storage.coverage(KEY, permanent_only=True) == [day]


def test_responses_of_a_file_prove_what_is_between_their_bars(storage: DuckDBDataStorage) -> None:
    proven = [TimeRange(START, START + 600)]
    content = CachedBars(KEY, bars(), [TimeRange(START, START + 600)], NOW, proven=proven)
    content.store(storage, {})
    assert storage.coverage(KEY, permanent_only=True) == proven


def test_bars_that_an_answer_lacks_are_reported_and_none_of_the_file_is_stored(storage: DuckDBDataStorage) -> None:
    cached(bars().drop(TIMES[2])[:3], last=4).store(storage, {})
    with pytest.raises(ConflictError, match=r"around 2024-01-02 14:32:00\+00:00 but none at that time"):
        cached(bars()).store(storage, {})
    assert storage.facts(storage.pin(KEY)).rows == 3
    assert storage.coverage(KEY) == [TimeRange(START, START + 240)]
