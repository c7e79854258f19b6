"""Coverage in the store: what was requested and answered."""

from __future__ import annotations

import datetime as dt
import time
from typing import Any

import pandas as pd
import pytest

from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.storage import times
from lumibot_duckdb.storage.api import TimeRange
from storage.frames import minute_bars

FRAME = minute_bars(rows=60)
START = int(FRAME.index[0].timestamp())
HOUR = TimeRange(START, START + 3600)


def test_a_write_covers_from_its_first_bar_to_the_end_of_its_last(storage: DuckDBDataStorage) -> None:
    storage.store_ohlcv_data("X", FRAME.drop(FRAME.index[10:20]), "test", "minute")
    assert storage.coverage("X") == [HOUR]


def test_a_write_covers_what_was_requested(storage: DuckDBDataStorage) -> None:
    asked = TimeRange(START - 7200, START + 7200)
    storage.store_ohlcv_data("X", FRAME, "test", "minute", covered=asked)
    assert storage.coverage("X") == [asked]
    assert storage.missing_ranges("X", TimeRange(START - 9000, START + 9000)) == [
        TimeRange(START - 9000, START - 7200),
        TimeRange(START + 7200, START + 9000),
    ]


def test_coverage_may_begin_before_what_nanoseconds_can_hold(storage: DuckDBDataStorage) -> None:
    asked = TimeRange(int(dt.datetime(1600, 1, 1, tzinfo=dt.timezone.utc).timestamp()), START + 7200)
    storage.store_ohlcv_data("X", FRAME, "test", "minute", covered=asked)
    assert storage.coverage("X") == [asked]
    storage.compact()
    assert storage.coverage("X") == [asked]


def test_an_unknown_series_misses_all(storage: DuckDBDataStorage) -> None:
    assert storage.coverage("X") == []
    assert storage.missing_ranges("X", HOUR) == [HOUR]
    storage.store_ohlcv_data("Y", FRAME, "test", "minute")
    assert storage.missing_ranges("X", HOUR) == [HOUR]
    assert storage.missing_ranges("Y", HOUR, "day") == [HOUR]


def test_covered_ranges_that_touch_are_one(storage: DuckDBDataStorage) -> None:
    for part in (slice(0, 20), slice(40, 60), slice(20, 40)):
        storage.store_ohlcv_data("X", FRAME.iloc[part], "test", "minute")
    assert storage.coverage("X") == [HOUR]
    storage.compact()
    assert storage.coverage("X") == [HOUR]
    assert storage.sql("SELECT count(*) AS n FROM coverage").to_pylist() == [{"n": 1}]


def test_the_same_bars_for_a_wider_range_widen_what_is_covered(storage: DuckDBDataStorage) -> None:
    storage.store_ohlcv_data("X", FRAME, "test", "minute")
    wider = TimeRange(START - 600, START + 3600)
    result = storage.store_ohlcv_data("X", FRAME, "test", "minute", covered=wider)
    assert (result.added, result.changed, result.unchanged) == (0, 0, 60)
    assert storage.coverage("X") == [wider]
    assert storage.store_ohlcv_data("X", FRAME, "test", "minute", covered=wider).ingest_id is None


def test_coverage_does_not_reach_into_the_future(storage: DuckDBDataStorage) -> None:
    now = int(time.time())
    storage.store_ohlcv_data("X", FRAME, "test", "minute", covered=TimeRange(START, now + 86_400))
    (covered,) = storage.coverage("X")
    assert covered.start == START
    assert now - 60 <= covered.end <= now + 60
    assert covered.end % 60 == 0


def test_an_empty_answer_is_believed_for_a_while(storage: DuckDBDataStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    storage.record_coverage("X", HOUR, "test", "minute")
    assert storage.missing_ranges("X", HOUR) == []
    assert storage.facts(storage.pin("X")).rows == 0
    assert len(storage.get_historical_prices("X")) == 0
    let_pass(monkeypatch, dt.timedelta(days=29))
    assert storage.missing_ranges("X", HOUR) == []
    let_pass(monkeypatch, dt.timedelta(days=31))
    assert storage.missing_ranges("X", HOUR) == [HOUR]


def test_an_empty_answer_for_the_last_days_is_believed_for_a_day(
    storage: DuckDBDataStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = int(time.time()) // 60 * 60
    asked = TimeRange(now - 7200, now - 3600)
    storage.record_coverage("X", asked, "test", "minute")
    let_pass(monkeypatch, dt.timedelta(hours=23))
    assert storage.missing_ranges("X", asked) == []
    let_pass(monkeypatch, dt.timedelta(hours=25))
    assert storage.missing_ranges("X", asked) == [asked]


def test_an_empty_answer_that_is_believed_no_more_can_be_given_again(
    storage: DuckDBDataStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage.record_coverage("X", HOUR, "test", "minute")
    let_pass(monkeypatch, dt.timedelta(days=31))
    storage.record_coverage("X", HOUR, "test", "minute")
    assert storage.missing_ranges("X", HOUR) == []


def test_bars_make_an_empty_answer_last(storage: DuckDBDataStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    storage.record_coverage("X", HOUR, "test", "minute")
    storage.store_ohlcv_data("X", FRAME, "test", "minute")
    let_pass(monkeypatch, dt.timedelta(days=400))
    assert storage.missing_ranges("X", HOUR) == []


def test_what_is_answered_permanently_is_distinguished_from_empty_answers(storage: DuckDBDataStorage) -> None:
    storage.store_ohlcv_data("X", FRAME[:30], "test", "minute")
    storage.record_coverage("X", HOUR, "test", "minute")
    assert storage.coverage("X") == [HOUR]
    assert storage.coverage("X", permanent_only=True) == [TimeRange(START, START + 1800)]


def test_compaction_keeps_empty_answers_as_long_as_they_are_believed(storage: DuckDBDataStorage) -> None:
    storage.record_coverage("X", HOUR, "test", "minute")
    storage.compact()
    assert storage.coverage("X") == [HOUR]


def test_listed_series_name_their_coverage(storage: DuckDBDataStorage) -> None:
    storage.store_ohlcv_data("X", FRAME, "test", "minute")
    (info,) = storage.list_series()
    assert info.coverage == (HOUR,)


def let_pass(monkeypatch: pytest.MonkeyPatch, by: dt.timedelta) -> None:
    class Later(dt.datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return dt.datetime.now(tz) + by

    monkeypatch.setattr(times, "datetime", Later)


def test_empty_answers_keep_what_was_said_with_them(storage: DuckDBDataStorage) -> None:
    nothing = pd.DataFrame(index=pd.DatetimeIndex([], tz="UTC"))
    for hour, said in ((0, {"ticker": None}), (1, {})):
        covered = TimeRange(1_700_000_000 + 3_600 * hour, 1_700_003_600 + 3_600 * hour)
        storage.store_ohlcv_data("NONE", nothing, "polygon", "minute", covered=covered, metadata=said)
    pin = storage.pin("NONE")
    assert [answer.metadata for answer in storage.empty_answers(pin)] == [{"ticker": None}, {}]
    assert storage.ingests(pin) == ()
    storage.restate_series("NONE", "polygon", "minute")
    assert storage.empty_answers(storage.pin("NONE")) == ()
    assert len(storage.empty_answers(pin)) == 2


def test_one_answer_may_cover_several_ranges(storage: DuckDBDataStorage) -> None:
    """Such as sessions, whose nights were not requested. A session without bars does not make the answer empty."""
    sessions = [TimeRange(START + 86_400 * day, START + 86_400 * day + 23_400) for day in range(3)]
    asked = {"covered": sessions[0], "also_covered": sessions[1:]}
    assert storage.store_ohlcv_data("X", FRAME, "test", "minute", **asked).added == 60
    assert storage.coverage("X") == sessions
    assert storage.store_ohlcv_data("X", FRAME, "test", "minute", **asked).ingest_id is None
