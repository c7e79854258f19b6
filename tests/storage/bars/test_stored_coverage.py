"""Coverage in the store: what was requested and answered."""

from __future__ import annotations

import datetime as dt
import time

import pandas as pd
import pytest

from lumibot_duckdb import DuckDBDataStorage, clock
from lumibot_duckdb.storage.api import AssetKey, SeriesKey, TimeRange
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
    now = dt.datetime.now(dt.timezone.utc) + by
    monkeypatch.setattr(clock, "utc_now", lambda: now)


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


# -- what a response does not prove ---------------------------------------------------------------------------

WIDER = TimeRange(START - 3600, START + 7200)
AFTER = TimeRange(START + 3600, START + 7200)


def store_partly(storage: DuckDBDataStorage, frame: pd.DataFrame = FRAME) -> None:
    storage.store_ohlcv_data("X", frame, "test", "minute", covered=WIDER, provisional=[AFTER])


def test_what_bars_do_not_prove_expires(storage: DuckDBDataStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    store_partly(storage)
    assert storage.coverage("X") == [WIDER]
    assert storage.coverage("X", permanent_only=True) == [TimeRange(WIDER.start, AFTER.start)]
    let_pass(monkeypatch, dt.timedelta(days=29))
    assert storage.missing_ranges("X", WIDER) == []
    let_pass(monkeypatch, dt.timedelta(days=31))
    assert storage.missing_ranges("X", WIDER) == [AFTER]
    assert storage.coverage("X", include_expired=True) == [WIDER]


@pytest.mark.parametrize("compacted", [False, True])
def test_a_second_response_that_shows_the_same_makes_it_permanent(
    storage: DuckDBDataStorage, monkeypatch: pytest.MonkeyPatch, compacted: bool
) -> None:
    store_partly(storage)
    for days in (1, 29):  # too early to tell
        let_pass(monkeypatch, dt.timedelta(days=days))
        store_partly(storage)
        assert storage.coverage("X", permanent_only=True) == [TimeRange(WIDER.start, AFTER.start)]
    let_pass(monkeypatch, dt.timedelta(days=31))
    if compacted:
        storage.compact()
    assert storage.missing_ranges("X", WIDER) == [AFTER]
    storage.store_ohlcv_data("X", FRAME[:0], "test", "minute", covered=AFTER)
    assert storage.coverage("X", permanent_only=True) == [WIDER]
    let_pass(monkeypatch, dt.timedelta(days=4_000))
    assert storage.missing_ranges("X", WIDER) == []


def test_bars_that_come_after_all_prove_the_time_up_to_them(
    storage: DuckDBDataStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    store_partly(storage)
    let_pass(monkeypatch, dt.timedelta(days=31))
    late = minute_bars(rows=90)[60:]
    rest = TimeRange(START + 90 * 60, AFTER.end)
    storage.store_ohlcv_data("X", late, "test", "minute", covered=AFTER, provisional=[rest])
    assert storage.coverage("X", permanent_only=True) == [WIDER]  # the rest was open before, too
    assert len(storage.get_historical_prices("X")) == 90


def test_a_recent_part_of_a_long_range_expires_earlier(
    storage: DuckDBDataStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = int(time.time()) // 60 * 60
    asked = TimeRange(now - 100 * 86_400, now - 86_400)
    storage.record_coverage("X", asked, "test", "minute")
    let_pass(monkeypatch, dt.timedelta(hours=25))
    (lacking,) = storage.missing_ranges("X", asked)
    assert now - 9 * 86_400 < lacking.start < now - 6 * 86_400
    assert lacking.end == asked.end
    storage.record_coverage("X", lacking, "test", "minute")
    assert storage.coverage("X", permanent_only=True) == [lacking]


def test_an_old_answer_counts_as_the_first_of_two(storage: DuckDBDataStorage) -> None:
    """As that of a file of Lumibot's cache, which has expired when it is migrated."""
    then = dt.datetime.now(dt.timezone.utc) - dt.timedelta(days=90)
    storage.store_ohlcv_data("X", FRAME, "test", "minute", covered=WIDER, provisional=[AFTER], asked_at=then)
    assert storage.coverage("X") == [TimeRange(WIDER.start, AFTER.start)]
    storage.record_coverage("X", AFTER, "test", "minute")
    assert storage.coverage("X", permanent_only=True) == [WIDER]


def test_listed_series_name_what_is_provisional_and_until_when(storage: DuckDBDataStorage) -> None:
    before = dt.datetime.now(dt.timezone.utc)
    store_partly(storage)
    (info,) = storage.list_series()
    assert info.coverage == (WIDER,)
    ((within, expires),) = ((each.within, each.expires) for each in info.provisional)
    assert within == AFTER
    assert dt.timedelta() <= expires - before - dt.timedelta(days=30) < dt.timedelta(minutes=5)
    storage.store_ohlcv_data("X", FRAME[:0], "test", "minute", covered=AFTER, provisional=[])
    (info,) = storage.list_series()
    assert info.provisional == ()


# -- forgetting -----------------------------------------------------------------------------------------------


def test_what_is_forgotten_is_requested_again_and_no_bar_is_lost(storage: DuckDBDataStorage) -> None:
    key = storage.store_ohlcv_data("X", FRAME, "test", "minute", covered=WIDER, provisional=[AFTER]).key
    pin = storage.pin("X")
    middle = TimeRange(START + 600, START + 5_400)
    storage.forget_coverage(key, middle)
    assert storage.missing_ranges("X", WIDER) == [middle]
    assert storage.coverage("X", permanent_only=True) == [TimeRange(WIDER.start, middle.start)]
    assert storage.pin("X") == pin
    assert len(storage.get_historical_prices("X")) == 60
    storage.forget_coverage(key)
    assert storage.coverage("X") == []
    assert len(storage.get_historical_prices("X")) == 60
    storage.record_coverage("X", AFTER, "test", "minute")  # a first response again, not a second
    assert storage.coverage("X", permanent_only=True) == []
    assert storage.verify().sound


def test_a_series_that_is_not_there_has_nothing_to_forget(storage: DuckDBDataStorage) -> None:
    storage.forget_coverage(SeriesKey(AssetKey("X"), "test", "minute"))
    assert not storage.path.exists()


def test_an_empty_answer_with_other_metadata_is_kept_where_it_covers_nothing_new(storage: DuckDBDataStorage) -> None:
    """As notes on a symbol, which have no range of their own."""
    nothing = FRAME[:0]
    for metadata in ({"market": "us"}, {"market": "us"}, {"market": "fr"}, None):
        storage.store_ohlcv_data("X", nothing, "test", "minute", covered=HOUR, metadata=metadata)
    answers = storage.empty_answers(storage.pin("X"))
    assert [answer.metadata for answer in answers] == [{"market": "us"}, {"market": "fr"}]


def test_coverage_of_a_moment_is_what_was_known_and_valid_then(
    storage: DuckDBDataStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage.store_ohlcv_data("X", FRAME[:30], "test", "minute")
    storage.record_coverage("X", TimeRange(START, START + 2400), "test", "minute")
    then = clock.utc_now()
    assert storage.coverage("X", as_of=then) == [TimeRange(START, START + 2400)]
    let_pass(monkeypatch, dt.timedelta(days=31))
    assert storage.coverage("X") == [TimeRange(START, START + 1800)]
    assert storage.coverage("X", as_of=then) == [TimeRange(START, START + 2400)]
    storage.store_ohlcv_data("X", FRAME[30:], "test", "minute")
    assert storage.coverage("X") == [HOUR]
    assert storage.coverage("X", as_of=then) == [TimeRange(START, START + 2400)]
    assert storage.coverage("X", as_of=clock.utc_now()) == [HOUR]
    assert storage.coverage("X", as_of=then - dt.timedelta(days=1)) == []
    assert storage.pin("X", as_of=clock.utc_now()) == storage.pin("X")
