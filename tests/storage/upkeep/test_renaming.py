"""Renaming: one series across the date of a rename, and everything as before after renaming back."""

from __future__ import annotations

import datetime as dt
import threading
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hypothesis_settings import examples
from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.storage.api import AssetKey, CorporateAction, SeriesKey, TimeRange
from lumibot_duckdb.storage.errors import (
    HistoryRestatedError,
    SeriesNotFoundError,
    UpkeepRefusedError,
    VersionGoneError,
)
from storage.frames import assert_same, frame_strategy, minute_bars

DAYS = minute_bars("2022-06-06", rows=10, freq="D")
DATE = "2022-06-09"
CHAIN = {"Multiplier": 100, "Exchange": "NYSE", "Chains": {"CALL": {"2022-07-15": [150.0, 200.0]}, "PUT": {}}}
OPTION = AssetKey("FB", "option", expiration=dt.date(2022, 7, 15), strike=200.0, right="CALL")


def seconds(text: str) -> int:
    return int(pd.Timestamp(text, tz="America/New_York").timestamp())


def observable(storage: DuckDBDataStorage) -> dict[str, Any]:
    """Return everything that the interface shows of the series in a store."""
    found: dict[str, Any] = {}
    for info in storage.list_series():
        pin = storage.pin(info.key)
        frame = storage.read_pandas(pin)
        outline = storage.outline(pin)
        writes = (*storage.ingests(pin), *storage.empty_answers(pin))
        notes = sorted(str(write.metadata) for write in writes if write.metadata)
        found[info.key.label()] = (
            frame.to_json(double_precision=15),
            [str(dtype) for dtype in frame.dtypes],
            str(frame.index.dtype),
            storage.facts(pin),
            info.coverage,
            info.provisional,
            (outline.rows, outline.days.first.tolist(), outline.days.bars.tolist()),
            notes,
        )
    for symbol in ("FB", "META"):
        for kind in ("split", "dividend"):
            found[f"{kind} of {symbol}"] = storage.corporate_actions(symbol, "test", kind)
        chain = storage.option_chain(symbol, "test", dt.date(2022, 1, 1), dt.date(2023, 1, 1))
        found[f"chain of {symbol}"] = chain and (chain.chain, chain.as_of, chain.listed_at)
    return found


def days(storage: DuckDBDataStorage, symbol: str, frame: pd.DataFrame, **more: Any) -> None:
    storage.store_ohlcv_data(symbol, frame, "test", "day", **more)


def filled(storage: DuckDBDataStorage) -> None:
    """Store bars with gaps in their coverage, notes, splits, dividends, an option and option chains of FB."""
    days(storage, "FB", DAYS[:3], metadata={"note": 1})
    days(storage, "FB", DAYS[5:].assign(vwap=1.5), metadata={"note": 2})
    storage.record_coverage("FB", TimeRange(seconds("2022-06-01"), seconds("2022-06-03")), "test", "day")
    storage.store_ohlcv_data("FB", minute_bars("2022-06-08 09:30", rows=800), "test", "minute", adjustment="split")
    storage.store_ohlcv_data(OPTION, minute_bars("2022-06-08 09:30"), "test", "minute")
    storage.record_corporate_actions("FB", [CorporateAction(dt.date(2022, 6, d), 1, 2) for d in (3, 12)], "test")
    storage.record_corporate_actions("FB", [CorporateAction(dt.date(2022, 6, 3), amount=1.0)], "test", "dividend")
    listed = dt.datetime(2022, 6, 8, tzinfo=dt.timezone.utc)
    storage.store_option_chain("FB", CHAIN, "test", dt.date(2022, 6, 8), listed_at=listed)
    storage.store_option_chain("FB", CHAIN, "test", dt.date(2022, 6, 10), listed_at=listed)


@pytest.mark.parametrize("date", [None, DATE, "2022-06-08 12:00", "2030-01-01"])
def test_rename_and_back_restores_everything(storage: DuckDBDataStorage, date: str | None) -> None:
    filled(storage)
    before = observable(storage)
    report = storage.rename("FB", "META", date)
    assert report.bars > 0
    between = observable(storage)
    assert between != before
    assert any("META 2022-07-15" in label for label in between)
    assert storage.verify().sound
    assert storage.rename("META", "FB", date).bars == report.bars
    assert observable(storage) == before
    assert storage.verify().sound


@examples(8)
@given(frame=frame_strategy(), at=st.integers(0, 30), has_date=st.booleans())
def test_any_frame_survives_a_rename_and_back(
    tmp_path_factory: pytest.TempPathFactory, frame: pd.DataFrame, at: int, has_date: bool
) -> None:
    storage = DuckDBDataStorage(tmp_path_factory.mktemp("store"))
    storage.store_ohlcv_data("FB", frame, "test", "minute")
    expected = storage.get_historical_prices("FB")
    date = expected.index[at % len(frame)].to_pydatetime() if has_date and at else None
    moved = expected if date is None else expected[expected.index < date]
    if len(moved):
        storage.rename("FB", "META", date)
        renamed = storage.get_historical_prices("META")
        assert_same(renamed, moved)
        storage.rename("META", "FB", date)
    assert_same(storage.get_historical_prices("FB"), expected)
    assert [info.key.asset.symbol for info in storage.list_series()] == ["FB"]
    assert storage.verify().sound
    storage.close()


def test_the_new_symbol_has_one_series_across_the_date(storage: DuckDBDataStorage) -> None:
    days(storage, "FB", DAYS[:3], covered=TimeRange(seconds("2022-06-01"), seconds("2022-06-09")))
    days(storage, "FB", (DAYS[6:] * 2), covered=TimeRange(seconds("2022-06-10"), seconds("2022-06-16")))
    days(storage, "META", DAYS[3:], covered=TimeRange(seconds("2022-06-09"), seconds("2022-06-16")))
    report = storage.rename("FB", "META", DATE)
    assert [(each.bars, each.kept, each.joined) for each in report.series] == [(3, 4, True)]
    assert_same(storage.get_historical_prices("META", timeframe="day"), DAYS)
    assert storage.coverage("META", "day") == [TimeRange(seconds("2022-06-01"), seconds("2022-06-16"))]
    assert_same(storage.get_historical_prices("FB", timeframe="day"), DAYS[6:] * 2)
    assert storage.coverage("FB", "day") == [TimeRange(seconds("2022-06-10"), seconds("2022-06-16"))]


@pytest.mark.older_duckdb
def test_a_date_is_one_in_utc_for_days_that_are_stamped_so(storage: DuckDBDataStorage) -> None:
    frame = DAYS.copy()
    frame.index = pd.date_range("2022-06-06", periods=10, tz="UTC")
    storage.store_ohlcv_data("FB", frame, "test", "day")
    assert storage.rename("FB", "META", DATE).bars == 3
    storage.store_ohlcv_data("C", minute_bars("2022-06-08 16:00", rows=600), "test", "minute")
    assert storage.rename("C", "D", DATE).bars == 480


def test_pins_and_the_past(storage: DuckDBDataStorage) -> None:
    days(storage, "FB", DAYS, metadata={"note": 1})
    days(storage, "META", DAYS[:3] * 3)
    storage.delete_series("META")
    pin, moment = storage.pin("FB", "day"), dt.datetime.now(dt.timezone.utc)
    other = DuckDBDataStorage(storage.path)
    held = other.pin("FB", "day")
    storage.rename("FB", "META")
    for user in (storage, other):
        assert_same(user.read_pandas(pin), DAYS)
        assert [write.metadata for write in user.ingests(pin, having="note")] == [{"note": 1}]
        assert_same(user.read_pandas(user.pin("META", "day", as_of=moment)), DAYS)
        with pytest.raises(SeriesNotFoundError):
            user.pin("FB", "day")
    with pytest.raises(HistoryRestatedError):
        days(other, "FB", DAYS, onto=held.version_id)
    moment = dt.datetime.now(dt.timezone.utc)
    pin = storage.pin("META", "day")
    storage.rename("META", "FB", DATE)
    assert_same(storage.read_pandas(pin), DAYS)
    assert_same(storage.get_historical_prices("META", timeframe="day", as_of=moment), DAYS)
    with pytest.raises(SeriesNotFoundError):
        storage.pin("FB", "day", as_of=moment)
    storage.compact(dt.timedelta(0))
    with pytest.raises(VersionGoneError):
        other.read_pandas(pin)
    assert storage.verify().sound


def test_a_series_that_joins_another_keeps_its_pins(storage: DuckDBDataStorage) -> None:
    days(storage, "FB", DAYS[:5], metadata={"note": 1})
    days(storage, "META", DAYS[4:])
    old, new = storage.pin("FB", "day"), storage.pin("META", "day")
    storage.rename("FB", "META")
    assert_same(storage.get_historical_prices("META", timeframe="day"), DAYS)
    assert_same(storage.read_pandas(old), DAYS[:5])
    assert_same(storage.read_pandas(new), DAYS[4:])
    assert [write.metadata for write in storage.ingests(old, having="note")] == [{"note": 1}]
    assert [info.key.asset.symbol for info in storage.list_series()] == ["META"]
    assert storage.verify().sound


@pytest.mark.older_duckdb
def test_differing_bars_are_refused(storage: DuckDBDataStorage) -> None:
    days(storage, "FB", DAYS)
    days(storage, "META", DAYS.assign(close=DAYS["close"] + (DAYS.index >= DAYS.index[4]))[2:])
    storage.record_corporate_actions("FB", [], "test")
    before = observable(storage)
    message = r"6 bars differ .* 2022-06-10 04:00:00 UTC: close is .* for FB stock and .* for META stock.*from_date"
    for dry_run in (True, False):
        with pytest.raises(UpkeepRefusedError, match=message):
            storage.rename("FB", "META", dry_run=dry_run)
    assert observable(storage) == before
    assert storage.rename("FB", "META", DATE).bars == 3


@pytest.mark.older_duckdb
def test_columns_follow_the_rules_of_writes(storage: DuckDBDataStorage) -> None:
    days(storage, "FB", DAYS[:3].assign(note="x"))
    days(storage, "META", DAYS[3:].astype({"volume": float}).assign(vwap=1))
    storage.rename("FB", "META")
    frame = storage.get_historical_prices("META", timeframe="day")
    assert list(frame.columns) == [*DAYS.columns, "vwap", "note"]
    assert [str(frame[name].dtype) for name in ("volume", "vwap", "note")] == ["float64", "float64", "object"]
    days(storage, "A", DAYS.assign(vwap="text"))
    with pytest.raises(UpkeepRefusedError, match="vwap"):
        storage.rename("A", "META", "2022-06-07")


def test_only_what_is_chosen(storage: DuckDBDataStorage) -> None:
    for source, timeframe, adjustment in (("a", "day", ""), ("a", "day", "split"), ("b", "day", ""), ("a", "hour", "")):
        storage.store_ohlcv_data("FB", DAYS, source, timeframe, adjustment=adjustment)
    for source in ("a", "b"):
        storage.record_corporate_actions("FB", [CorporateAction(dt.date(2022, 6, 3), 1, 2)], source)
    assert storage.rename("FB", "X1", source="b").actions == 1
    assert storage.corporate_actions("FB", "b") is None
    assert storage.rename("FB", "X2", timeframe="1h").actions == 0
    assert storage.rename("FB", "X3", adjustment="split").bars == 10
    found = {info.key.asset.symbol: (info.key.source, info.key.timeframe) for info in storage.list_series()}
    assert found == {"FB": ("a", "day"), "X1": ("b", "day"), "X2": ("a", "hour"), "X3": ("a", "day")}
    with pytest.raises(SeriesNotFoundError, match="no hour bars of FB"):
        storage.rename("FB", "X4", timeframe="hour")
    with pytest.raises(SeriesNotFoundError, match="before 2020-01-01"):
        storage.rename("FB", "X4", "2020-01-01")


@pytest.mark.parametrize(
    ("old", "new", "becomes"),
    [
        (("MATIC", "USD"), ("POL", "USD"), AssetKey("POL", "crypto", "USD")),
        ("MATIC/USD", "POL", AssetKey("POL", "crypto", "USD")),
        (AssetKey("EUR", "forex", "USD"), AssetKey("EUR", "forex", "CHF"), AssetKey("EUR", "forex", "CHF")),
        (OPTION, "META", AssetKey("META", "option", None, "", OPTION.expiration, 200.0, "CALL")),
        ([AssetKey("FB"), OPTION], "META", AssetKey("META")),
    ],
)
def test_pairs_and_options(storage: DuckDBDataStorage, old: Any, new: Any, becomes: AssetKey) -> None:
    for asset in ("MATIC/USD", AssetKey("EUR", "forex", "USD"), OPTION, "FB"):
        storage.store_ohlcv_data(asset, minute_bars(), "test", "minute")
    report = storage.rename(old, new)
    assert len(report.series) == (len(old) if isinstance(old, list) else 1)
    assert_same(storage.get_historical_prices(becomes), minute_bars())
    assert SeriesKey(becomes, "test", "minute") in [each.new for each in report.series]


def test_unusable_names(storage: DuckDBDataStorage) -> None:
    days(storage, "FB", DAYS)
    storage.store_ohlcv_data(OPTION, minute_bars(), "test", "minute")
    for old, new, message in (
        ("FB", "FB", "has that name already"),
        ("FB", AssetKey("META"), "means 2 assets"),
        (AssetKey("FB"), AssetKey("META", "index"), "another type of asset"),
        ("FB", " ", "no symbol"),
    ):
        with pytest.raises(ValueError, match=message):
            storage.rename(old, new)  # type: ignore[arg-type]
    with pytest.raises(SeriesNotFoundError):
        storage.rename("NONE", "META")


@pytest.mark.older_duckdb
def test_a_dry_run_changes_nothing(storage: DuckDBDataStorage) -> None:
    filled(storage)
    before = observable(storage)
    for date in (None, DATE):
        planned = storage.rename("FB", "META", date, dry_run=True)
        assert observable(storage) == before
        done = storage.rename("FB", "META", date)
        assert (done.series, done.actions, done.option_chains) == (
            planned.series,
            planned.actions,
            planned.option_chains,
        )
        storage.rename("META", "FB", date)


def test_different_splits_are_refused(storage: DuckDBDataStorage) -> None:
    for symbol, ratio in (("FB", 2), ("META", 3)):
        days(storage, symbol, DAYS[:3] if symbol == "FB" else DAYS[3:])
        storage.record_corporate_actions(symbol, [CorporateAction(dt.date(2022, 6, 3), 1, ratio)], "test")
    with pytest.raises(UpkeepRefusedError, match="different splits from test on 2022-06-03"):
        storage.rename("FB", "META")


def test_writes_of_other_threads_meanwhile(storage: DuckDBDataStorage) -> None:
    """Bars that are stored under the old name while it changes are under one of the names, and complete."""
    frame = minute_bars(rows=300)
    days(storage, "FB", DAYS)
    storage.store_ohlcv_data("FB", frame[:10], "test", "minute")
    other = DuckDBDataStorage(storage.path)

    def write() -> None:
        for at in range(10, 300, 10):
            other.store_ohlcv_data("FB", frame[at : at + 10], "test", "minute")

    writer = threading.Thread(target=write)
    writer.start()
    for _ in range(5):
        storage.rename("FB", "META", timeframe="minute")
        while not storage.list_series("FB", timeframe="minute") and writer.is_alive():
            pass
    writer.join()
    if storage.list_series("FB", timeframe="minute"):
        storage.rename("FB", "META", timeframe="minute")
    assert_same(storage.get_historical_prices("META"), frame)
    assert storage.verify().sound


def test_a_long_series_keeps_its_outline(storage: DuckDBDataStorage) -> None:
    frame = minute_bars("2022-01-03 09:30", rows=22_000)
    storage.store_ohlcv_data("BTC/USD", frame, "test", "minute")
    cut = frame.index[11_000].to_pydatetime()
    for old, new in (("BTC/USD", "XBT/USD"), ("XBT/USD", "BTC/USD")):
        storage.rename(old, new, cut)
        assert storage.verify().sound
    assert_same(storage.get_historical_prices("BTC/USD"), frame)
