"""A restated series starts without bars and coverage, and refuses bars meant for the earlier version."""

from __future__ import annotations

import datetime as dt

import pandas as pd
import pytest

from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.storage.api import AssetKey, SeriesKey, SeriesPin, TimeRange
from lumibot_duckdb.storage.errors import (
    AmbiguousSeriesError,
    HistoryRestatedError,
    SeriesNotFoundError,
    VersionGoneError,
)
from storage.frames import assert_same, minute_bars

FRAME = minute_bars(rows=60).assign(vwap=1.5, transactions=7, note="n")
START = int(FRAME.index[0].timestamp())
HOUR = TimeRange(START, START + 3600)
KEY = SeriesKey(AssetKey("X"), "test", "minute")
AT_ONCE = dt.timedelta(0)


@pytest.fixture
def before(storage: DuckDBDataStorage) -> SeriesPin:
    """A pin of a series that was restated since."""
    storage.store_ohlcv_data("X", FRAME, "test", "minute", metadata={"file": "a.csv"})
    pin = storage.pin("X")
    storage.restate_series("X", "test", "minute")
    return pin


def test_a_restated_series_has_no_bars_and_nothing_covered(storage: DuckDBDataStorage, before: SeriesPin) -> None:
    pin = storage.pin("X")
    assert pin.version_id > before.version_id
    facts = storage.facts(pin)
    assert (facts.rows, facts.first, facts.last, facts.on_minute) == (0, None, None, True)
    assert storage.coverage("X") == []
    assert storage.missing_ranges("X", HOUR) == [HOUR]
    (info,) = storage.list_series()
    assert (info.version_id, info.rows, info.first, info.last, info.coverage) == (pin.version_id, 0, None, None, ())


@pytest.mark.older_duckdb
def test_an_empty_version_reads_as_empty_frames_with_its_columns(storage: DuckDBDataStorage, before: SeriesPin) -> None:
    pin = storage.pin("X")
    for within in (None, HOUR):
        assert_same(storage.read_pandas(pin, within), FRAME.iloc[:0])
        assert storage.read_arrow(pin, within).column_names == ["datetime", *FRAME.columns]
        assert storage.read_polars(pin, within).height == 0
        assert len(storage.read_bars(pin, within, ["close"]).columns["close"]) == 0
    assert_same(storage.get_historical_prices("X", "2024-01-01", "2024-02-01"), FRAME.iloc[:0])
    assert storage.last_time_at_or_before(pin, START, "close") is None
    assert len(storage.outline(pin).days) == storage.outline(pin).rows == 0
    assert storage.ingests(pin) == ()


@pytest.mark.parametrize("grace", [AT_ONCE, dt.timedelta(days=1)])
def test_an_empty_version_outlasts_compaction(
    storage: DuckDBDataStorage, before: SeriesPin, grace: dt.timedelta
) -> None:
    pin = storage.pin("X")
    storage.compact(grace)
    assert DuckDBDataStorage(storage.path).pin("X") == pin
    assert_same(DuckDBDataStorage(storage.path).read_pandas(pin), FRAME.iloc[:0])
    assert storage.verify().findings == []
    assert storage.sql("SELECT count(*) AS n FROM ohlcv_data").to_pylist() == [{"n": 0}]


def test_what_was_before_stays_for_its_pins_until_a_compaction(storage: DuckDBDataStorage, before: SeriesPin) -> None:
    assert_same(DuckDBDataStorage(storage.path).read_pandas(before), FRAME)
    moment = storage.ingests(before)[0].ingested_at
    assert_same(storage.get_historical_prices("X", as_of=moment), FRAME)
    storage.compact(AT_ONCE)
    with pytest.raises(VersionGoneError):
        DuckDBDataStorage(storage.path).read_pandas(before)
    with pytest.raises(VersionGoneError):
        storage.ingests(before)


def test_a_restated_series_is_filled_again(storage: DuckDBDataStorage, before: SeriesPin) -> None:
    split = FRAME.assign(close=FRAME["close"] / 4, volume=FRAME["volume"] * 0.5).drop(columns="note")
    result = storage.store_ohlcv_data("X", split, "test", "minute", onto=storage.pin("X").version_id)
    assert (result.added, result.changed, result.new_version) == (60, 0, False)
    assert_same(storage.get_historical_prices("X"), split)
    assert storage.coverage("X") == [HOUR]
    assert_same(storage.read_pandas(before), FRAME)


def test_a_series_can_be_restated_again_and_again(storage: DuckDBDataStorage, before: SeriesPin) -> None:
    for _ in range(3):
        storage.restate_series("X", "test", "minute")
    assert storage.statistics().versions == 5
    assert storage.compact(AT_ONCE).versions_removed == 4
    assert storage.verify().findings == []


def test_restating_what_is_not_there_does_nothing(storage: DuckDBDataStorage) -> None:
    storage.restate_series("X", "test", "minute")
    assert not storage.path.exists()
    storage.store_ohlcv_data("X", FRAME, "test", "minute", adjustment="split")
    storage.restate_series("X", "test", "minute")
    storage.restate_series("X", "test", "day", adjustment="split")
    storage.restate_series("Y", "test", "minute", adjustment="split")
    assert storage.facts(storage.pin("X")).rows == 60
    assert storage.statistics().versions == 1


def test_a_pin_made_by_another_storage_sees_the_renewal(storage: DuckDBDataStorage) -> None:
    other = DuckDBDataStorage(storage.path)
    storage.store_ohlcv_data("X", FRAME, "test", "minute")
    assert other.facts(other.pin("X")).rows == 60
    storage.restate_series("X", "test", "minute")
    assert other.facts(other.pin("X")).rows == 0
    other.store_ohlcv_data("X", FRAME.iloc[:7], "test", "minute")
    assert storage.facts(storage.pin("X")).rows == 7


# -- bars for one version only ------------------------------------------------------------------------------------


def test_bars_meant_for_a_version_that_was_superseded_are_refused(
    storage: DuckDBDataStorage, before: SeriesPin
) -> None:
    more = minute_bars("2024-02-01 09:30")
    with pytest.raises(
        HistoryRestatedError, match=r"X stock, minute bars from test.* none was stored.* backtest again"
    ):
        storage.store_ohlcv_data("X", more, "test", "minute", onto=before.version_id)
    nothing = more.iloc[:0]
    with pytest.raises(HistoryRestatedError):
        storage.store_ohlcv_data("X", nothing, "test", "minute", covered=HOUR, onto=before.version_id)
    assert storage.facts(storage.pin("X")).rows == 0
    assert storage.coverage("X") == []


def test_bars_meant_for_a_series_that_was_deleted_are_refused(storage: DuckDBDataStorage) -> None:
    result = storage.store_ohlcv_data("X", FRAME, "test", "minute")
    storage.delete_series("X")
    with pytest.raises(HistoryRestatedError):
        storage.store_ohlcv_data("X", FRAME, "test", "minute", onto=result.version_id)
    assert storage.list_series() == []


@pytest.mark.older_duckdb
def test_a_write_says_which_version_the_next_one_is_meant_for(storage: DuckDBDataStorage) -> None:
    result = storage.store_ohlcv_data("X", FRAME, "test", "minute")
    version = storage.pin("X").version_id
    assert result.version_id == version
    again = storage.store_ohlcv_data("X", FRAME, "test", "minute", onto=version)
    assert (again.ingest_id, again.version_id) == (None, version)
    wider = storage.store_ohlcv_data("X", minute_bars("2024-02-01 09:30"), "test", "minute", onto=version)
    assert wider.version_id == version
    corrected = storage.store_ohlcv_data("X", FRAME.assign(close=1.0), "test", "minute", onto=version)
    assert corrected.new_version
    assert corrected.version_id == storage.pin("X").version_id > version
    with pytest.raises(HistoryRestatedError):
        storage.store_ohlcv_data("X", FRAME, "test", "minute", onto=version)


# -- which writes bars came with ----------------------------------------------------------------------------------


def test_the_writes_that_brought_the_pinned_bars(storage: DuckDBDataStorage) -> None:
    day = [minute_bars(f"2024-01-0{n} 09:30", seed=n) for n in (2, 3, 4)]
    began = dt.datetime.now(dt.timezone.utc)
    for number, frame in enumerate(day[:2]):
        storage.store_ohlcv_data("X", frame, "test", "minute", metadata={"n": number, "by": ["a"]})
    storage.record_coverage("X", HOUR, "test", "minute")
    pin = storage.pin("X")
    storage.store_ohlcv_data("X", day[2], "test", "minute")
    found = storage.ingests(pin)
    assert [(info.kind, info.metadata) for info in found] == [("bars", {"n": n, "by": ["a"]}) for n in (0, 1)]
    assert began <= found[0].ingested_at < found[1].ingested_at <= dt.datetime.now(dt.timezone.utc)
    assert [info.metadata for info in storage.ingests(storage.pin("X"))][2] == {}


@pytest.mark.older_duckdb
def test_the_writes_whose_bars_are_left_in_some_ranges(storage: DuckDBDataStorage) -> None:
    frames = [minute_bars(f"2024-01-0{n} 09:30", seed=n) for n in (2, 3, 4)]
    ids = [storage.store_ohlcv_data("X", frame, "test", "minute").ingest_id for frame in frames]
    corrected = frames[1].iloc[:30].assign(close=1.0)
    ids.append(storage.store_ohlcv_data("X", corrected, "test", "minute").ingest_id)
    pin = storage.pin("X")

    def found(*frames: pd.DataFrame) -> list[int]:
        ranges = [TimeRange(int(f.index[0].timestamp()), int(f.index[-1].timestamp()) + 1) for f in frames]
        return [info.ingest_id for info in storage.ingests(pin, ranges)]

    assert [info.ingest_id for info in storage.ingests(pin)] == ids
    assert found(frames[0]) == [ids[0]]
    assert found(frames[1]) == [ids[1], ids[3]]
    assert found(frames[1].iloc[:30]) == [ids[3]]
    assert found(frames[0], frames[2]) == [ids[0], ids[2]]
    assert found() == []


# -- exact look-ups -----------------------------------------------------------------------------------------------


def test_an_exact_key_is_never_ambiguous(storage: DuckDBDataStorage) -> None:
    for source in ("test", "other"):
        for adjustment in ("", "split"):
            storage.store_ohlcv_data("X", FRAME, source, "minute", adjustment=adjustment)
    with pytest.raises(AmbiguousSeriesError):
        storage.coverage("X")
    assert storage.coverage(KEY) == [HOUR]
    assert storage.missing_ranges(KEY, TimeRange(START, START + 7200)) == [TimeRange(START + 3600, START + 7200)]
    assert storage.pin(KEY).key == KEY
    assert storage.pin(SeriesKey(AssetKey("X"), "TEST", "1Min", "split")).key.adjustment == "split"


def test_an_exact_key_finds_nothing_but_itself(storage: DuckDBDataStorage) -> None:
    storage.store_ohlcv_data("X", FRAME, "test", "minute", adjustment="split", exchange="NYSE")
    assert storage.coverage("X") == [HOUR]
    assert storage.coverage(KEY) == []
    assert storage.missing_ranges(KEY, HOUR) == [HOUR]
    with pytest.raises(SeriesNotFoundError, match="the store has no X stock, minute bars from test"):
        storage.pin(KEY)


def test_an_exact_key_finds_nothing_without_a_store(storage: DuckDBDataStorage) -> None:
    assert storage.coverage(KEY) == []
    assert not storage.path.exists()


# -- names of columns ---------------------------------------------------------------------------------------------


def test_transactions_are_trade_counts_in_sql_and_transactions_in_frames(storage: DuckDBDataStorage) -> None:
    storage.store_ohlcv_data("X", FRAME, "test", "minute")
    assert storage.sql("SELECT DISTINCT trade_count, vwap FROM bar").to_pylist() == [{"trade_count": 7.0, "vwap": 1.5}]
    assert_same(storage.get_historical_prices("X"), FRAME)
