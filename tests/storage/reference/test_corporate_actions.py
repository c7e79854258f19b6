"""Splits and dividends of a source are stored; when they change, adjusted history is restated."""

from __future__ import annotations

import datetime as dt
import math

import pytest
from lumibot.entities import Asset

from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.storage.api import AssetKey, CorporateAction, SeriesKey
from lumibot_duckdb.storage.connection.store_connection import StoreConnection
from lumibot_duckdb.storage.errors import InvalidRecordError, StorageError
from lumibot_duckdb.storage.reference import corporate_actions
from storage.frames import assert_same, minute_bars

FOUR = CorporateAction(dt.date(2020, 8, 31), split_from=1, split_to=4)
SEVEN = CorporateAction(dt.date(2014, 6, 9), split_from=1, split_to=7)
DIVIDEND = CorporateAction(dt.date(2024, 2, 9), amount=0.24)
FRAME = minute_bars(rows=60)
OPTION = AssetKey("AAPL", "option", expiration=dt.date(2024, 1, 19), strike=190.0, right="CALL")
MOMENT = dt.datetime(2024, 3, 1, 12, 0, 0, 123456, dt.timezone.utc)


def rows_of(storage: DuckDBDataStorage) -> dict[str, int]:
    """Return the number of current bars of each series, by its label."""
    return {info.key.label(): info.rows for info in storage.list_series()}


def test_an_asset_that_was_never_requested_has_no_answer(storage: DuckDBDataStorage) -> None:
    assert storage.corporate_actions("AAPL", "polygon") is None
    assert not storage.path.exists()
    storage.record_corporate_actions("MSFT", [FOUR], "polygon")
    assert storage.corporate_actions("AAPL", "polygon") is None


@pytest.mark.parametrize("few_rows", [1_000, 15, 3, 0])
def test_answers_are_the_same_whether_few_or_many_are_stored(
    storage: DuckDBDataStorage, monkeypatch: pytest.MonkeyPatch, few_rows: int
) -> None:
    monkeypatch.setattr(corporate_actions, "_FEW_ROWS", few_rows)
    names = [f"S{number}" for number in range(8)]
    for number, name in enumerate(names):
        storage.record_corporate_actions(name, [(), (FOUR,), (SEVEN, FOUR)][number % 3], "polygon")
    storage.record_corporate_actions("S1", [SEVEN], "yahoo")
    for number, name in enumerate(names):
        known = storage.corporate_actions(name, "polygon")
        assert known is not None
        assert known.actions == [(), (FOUR,), (SEVEN, FOUR)][number % 3]
    assert storage.corporate_actions("OTHER", "polygon") is None


def test_a_damaged_record_concerns_its_asset_alone(storage: DuckDBDataStorage) -> None:
    storage.record_corporate_actions("AAPL", [FOUR], "polygon")
    storage.record_corporate_actions("MSFT", [FOUR], "polygon")
    with StoreConnection.of(storage.path).write() as cursor:
        cursor.execute("UPDATE {db}.corporate_action SET split_to = 'nan' WHERE asset_symbol = 'MSFT'")
    known = storage.corporate_actions("AAPL", "polygon")
    assert known is not None
    assert known.actions == (FOUR,)
    with pytest.raises(StorageError, match="MSFT"):
        storage.corporate_actions("MSFT", "polygon")


def test_the_answer_comes_back_by_date_with_the_time_of_the_check(storage: DuckDBDataStorage) -> None:
    before = dt.datetime.now(dt.timezone.utc)
    assert storage.record_corporate_actions(Asset("AAPL"), [FOUR, SEVEN], "Polygon") is False
    known = storage.corporate_actions("AAPL", "polygon")
    assert known is not None
    assert known.actions == (SEVEN, FOUR)
    assert before <= known.checked_at <= dt.datetime.now(dt.timezone.utc)
    zone = dt.timezone(dt.timedelta(hours=-5))
    storage.record_corporate_actions("AAPL", [FOUR, SEVEN], "polygon", checked_at=MOMENT.astimezone(zone))
    known = DuckDBDataStorage(storage.path).corporate_actions("AAPL", "polygon")
    assert known is not None
    assert known.checked_at == MOMENT
    assert known.checked_at.tzinfo is dt.timezone.utc


def test_no_actions_are_an_answer_too(storage: DuckDBDataStorage) -> None:
    assert storage.record_corporate_actions("AAPL", [], "polygon") is False
    known = storage.corporate_actions("AAPL", "polygon")
    assert known is not None
    assert known.actions == ()
    assert storage.record_corporate_actions("AAPL", [FOUR], "polygon") is True


def test_answers_are_distinguished_by_asset_source_and_kind(storage: DuckDBDataStorage) -> None:
    storage.record_corporate_actions("AAPL", [FOUR], "polygon")
    storage.record_corporate_actions("AAPL", [SEVEN], "yahoo")
    storage.record_corporate_actions("AAPL", [DIVIDEND], "yahoo", "dividend")
    storage.record_corporate_actions(AssetKey("AAPL", "index"), [], "polygon")
    found = [
        storage.corporate_actions(asset, source, kind)
        for asset, source, kind in [
            ("AAPL", "polygon", "split"),
            ("AAPL", "yahoo", "split"),
            ("AAPL", "yahoo", "dividend"),
            (AssetKey("AAPL", "index"), "polygon", "split"),
        ]
    ]
    assert [known.actions for known in found if known is not None] == [(FOUR,), (SEVEN,), (DIVIDEND,), ()]


@pytest.mark.older_duckdb
def test_another_answer_restates_the_adjusted_series_of_the_stock_and_its_options(storage: DuckDBDataStorage) -> None:
    for asset in ("AAPL", OPTION, "MSFT", AssetKey("AAPL", "index")):
        for source in ("polygon", "alpaca"):
            for adjustment in ("", "split", "all"):
                storage.store_ohlcv_data(asset, FRAME, source, "minute", adjustment=adjustment)
    storage.store_ohlcv_data("AAPL", FRAME, "polygon", "hour", adjustment="split")
    storage.record_corporate_actions("AAPL", [SEVEN], "polygon", restates=["split", "all"])
    assert set(rows_of(storage).values()) == {60}
    pin = storage.pin("AAPL", source="polygon", adjustment="split")
    moment = dt.datetime.now(dt.timezone.utc)
    assert storage.record_corporate_actions("AAPL", [FOUR, SEVEN], "polygon", restates=["split", "all"]) is True
    renewed = {label for label, rows in rows_of(storage).items() if rows == 0}
    assert renewed == {
        f"{asset}, {timeframe} bars from polygon ({adjustment})"
        for asset, timeframe, adjustment in [
            ("AAPL stock", "minute", "split"),
            ("AAPL stock", "minute", "all"),
            ("AAPL stock", "hour", "split"),
            ("AAPL 2024-01-19 190 CALL option", "minute", "split"),
            ("AAPL 2024-01-19 190 CALL option", "minute", "all"),
        ]
    }
    assert_same(storage.read_pandas(pin), FRAME)
    past = storage.get_historical_prices("AAPL", source="polygon", adjustment="split", as_of=moment)
    assert_same(past, FRAME)
    assert storage.verify().findings == []


def test_the_same_answer_in_another_order_changes_nothing_but_the_time(storage: DuckDBDataStorage) -> None:
    storage.store_ohlcv_data("AAPL", FRAME, "polygon", "minute", adjustment="split")
    storage.record_corporate_actions("AAPL", [FOUR, SEVEN], "polygon", restates=["split"], checked_at=MOMENT)
    again = [SEVEN, FOUR, CorporateAction(dt.datetime(2020, 8, 31, 9, 30), 1.0, 4.0)]
    pin = storage.pin("AAPL")
    assert storage.record_corporate_actions("AAPL", again, "polygon", restates=["split"]) is False
    assert storage.pin("AAPL") == pin
    known = storage.corporate_actions("AAPL", "polygon")
    assert known is not None
    assert known.actions == (SEVEN, FOUR)
    assert known.checked_at > MOMENT


def test_an_action_that_was_corrected_or_withdrawn_is_another_answer(storage: DuckDBDataStorage) -> None:
    storage.record_corporate_actions("AAPL", [FOUR, SEVEN], "polygon")
    corrected = CorporateAction(FOUR.ex_date, 1, 5)
    assert storage.record_corporate_actions("AAPL", [corrected, SEVEN], "polygon") is True
    assert storage.record_corporate_actions("AAPL", [SEVEN], "polygon") is True
    assert storage.record_corporate_actions("AAPL", [], "polygon") is True
    assert storage.record_corporate_actions("AAPL", [], "polygon") is False


@pytest.mark.parametrize(
    ("actions", "kind", "says"),
    [
        ([DIVIDEND], "split", "the split of AAPL stock on 2024-02-09 lacks split_from or split_to"),
        ([FOUR], "dividend", "the dividend of AAPL stock on 2020-08-31 lacks amount"),
        ([FOUR], "merger", "'merger' is not a kind of corporate action: pass one of split, dividend"),
    ],
)
def test_unusable_actions_are_refused(
    storage: DuckDBDataStorage, actions: list[CorporateAction], kind: str, says: str
) -> None:
    with pytest.raises(InvalidRecordError, match=says):
        storage.record_corporate_actions("AAPL", actions, "polygon", kind)
    assert not storage.path.exists()


def test_a_check_without_a_time_zone_and_a_source_without_a_name_are_refused(storage: DuckDBDataStorage) -> None:
    with pytest.raises(InvalidRecordError, match="has no time zone"):
        storage.record_corporate_actions("AAPL", [FOUR], "polygon", checked_at=MOMENT.replace(tzinfo=None))
    with pytest.raises(InvalidRecordError, match="cannot name a source"):
        storage.record_corporate_actions("AAPL", [FOUR], "")


@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_numbers_that_are_none_make_no_action(number: float) -> None:
    with pytest.raises(ValueError, match="split_to of the corporate action of 2024-01-01 is"):
        CorporateAction(dt.date(2024, 1, 1), 1, number)
    with pytest.raises(ValueError, match="the ex-date '2024-01-01' is not a date"):
        CorporateAction("2024-01-01", 1, 2)  # type: ignore[arg-type]


def test_sql_finds_splits_beside_the_bars(storage: DuckDBDataStorage) -> None:
    storage.store_ohlcv_data("AAPL", FRAME, "polygon", "minute")
    storage.record_corporate_actions("AAPL", [FOUR], "polygon")
    table = storage.sql(
        "SELECT ex_date, split_to / split_from AS ratio, count(*) AS bars FROM corporate_action "
        "JOIN ohlcv_data USING (asset_symbol, asset_type, exchange, source) WHERE kind = 'split' GROUP BY ALL"
    )
    assert table.to_pylist() == [{"ex_date": FOUR.ex_date, "ratio": 4.0, "bars": 60}]


def test_what_is_known_outlasts_compaction_and_deleted_bars(storage: DuckDBDataStorage) -> None:
    storage.store_ohlcv_data("AAPL", FRAME, "polygon", "minute", adjustment="split")
    storage.record_corporate_actions("AAPL", [SEVEN], "polygon")
    storage.record_corporate_actions("AAPL", [FOUR, SEVEN], "polygon", restates=["split"], checked_at=MOMENT)
    storage.delete_series("AAPL")
    storage.compact(dt.timedelta(0))
    known = storage.corporate_actions("AAPL", "polygon")
    assert known is not None
    assert (known.checked_at, known.actions) == (MOMENT, (SEVEN, FOUR))
    assert storage.verify().findings == []


def test_history_that_is_restated_is_restated_at_one_moment(storage: DuckDBDataStorage) -> None:
    keys = [SeriesKey(AssetKey("AAPL"), "polygon", timeframe, "split") for timeframe in ("minute", "hour", "day")]
    for key in keys:
        storage.store_ohlcv_data(key.asset, FRAME, key.source, key.timeframe, adjustment=key.adjustment)
    storage.record_corporate_actions("AAPL", [SEVEN], "polygon")
    storage.record_corporate_actions("AAPL", [FOUR], "polygon", restates=["split"])
    moments = storage.sql("SELECT superseded_at FROM series_version WHERE superseded_at IS NOT NULL")
    assert len(moments["superseded_at"].to_pylist()) == 3
    assert len(set(moments["superseded_at"].to_pylist())) == 1
    versions = [storage.pin(key).version_id for key in keys]
    assert len(set(versions)) == 3
