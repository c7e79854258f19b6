"""Lumibot's Yahoo pickles migrated to a store: offline backtests on it equal Lumibot's on its own cache."""

from __future__ import annotations

import datetime as dt
import pickle
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
import pytest
from lumibot.entities import Asset
from lumibot.tools import YahooHelper, backtest_cache, yahoo_helper
from pandas_market_calendars import get_calendar

from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.sources.shared.old_cache.contents import CachedBars
from lumibot_duckdb.sources.shared.old_cache.errors import ConflictError, LeftAloneError
from lumibot_duckdb.sources.yahoo.client import YahooProvider
from lumibot_duckdb.sources.yahoo.history import YahooHistory
from lumibot_duckdb.sources.yahoo.old_cache.bars import YahooDays
from lumibot_duckdb.sources.yahoo.old_cache.reader import YahooReader
from lumibot_duckdb.storage.api import AssetKey, SeriesKey, TimeRange
from migration.moving import moved, snapshot, written_at
from parity.backtests import assert_same_result, run
from parity.strategies import Crossing, HoldForEvents
from sources.yahoo.market import made_up, new_york_days, walk, with_minutes
from sources.yahoo.server import Instrument, YahooServer
from sources.yahoo.sides import Side, both_sides

NEW_YORK = "America/New_York"
SATURDAY = pd.Timestamp("2024-06-29 12:00", tz=NEW_YORK).tz_convert("UTC")
SYMBOLS = ["AAA", "FUND", "BTC-USD", "ES=F", "GAPS", "^GSPC", "VOD.L", "7203.T", "SILENT", "YOUNG"]


def saturday() -> dt.datetime:
    return SATURDAY.tz_convert(NEW_YORK).to_pydatetime()


@pytest.fixture(scope="module")
def server() -> Iterator[YahooServer]:
    instruments = made_up(dt.date(2024, 6, 28))
    for symbol, price in (("^IRX", 5.0), ("SPY", 400.0)):
        instruments[symbol] = Instrument(walk(new_york_days("2021-06-28", "2024-06-28"), 77, price=price))
    with YahooServer(instruments=instruments) as server:
        server.now = SATURDAY
        yield server


@pytest.fixture(scope="module")
def sides(server: YahooServer, tmp_path_factory: pytest.TempPathFactory) -> tuple[Side, Side]:
    """Return Lumibot's side with a cache that it has filled itself, and ours with a store that it was migrated to."""
    theirs, ours = both_sides(tmp_path_factory.mktemp("yahoo"))
    with theirs.entered(server), mock.patch.object(yahoo_helper, "get_lumibot_datetime", saturday):
        for symbol in [*SYMBOLS, "SPY", "^IRX"]:
            YahooHelper.get_symbol_data(symbol, last_needed_datetime=SATURDAY.to_pydatetime())
    cache = theirs.folder / "cache"
    cache.mkdir()
    theirs.pickles.rename(cache / "yahoo")
    theirs.pickles.symlink_to(cache / "yahoo")
    written_at(cache, server.moment())
    before = snapshot(cache)
    assert moved(YahooReader(cache), DuckDBDataStorage(ours.store)) == {}
    assert snapshot(cache) == before
    return theirs, ours


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_the_history_is_the_one_that_lumibot_has(symbol: str, sides: tuple[Side, Side], server: YahooServer) -> None:
    theirs, ours = sides
    before = len(server.requests)
    with theirs.entered(server):
        last_needed = SATURDAY.to_pydatetime() - dt.timedelta(days=2)
        expected = YahooHelper.fetch_symbol_data(symbol, last_needed_datetime=last_needed)
    with ours.entered(server):
        history = YahooHistory(DuckDBDataStorage(ours.store), YahooProvider(), symbol)
        history.ensure(last_needed)
        pd.testing.assert_frame_equal(history.frame(), expected, check_exact=True, check_freq=False)
    assert len(server.requests) == before


@pytest.mark.parametrize(
    ("strategy", "parameters"),
    [
        (Crossing, {"assets": [Asset("AAA"), Asset("VOD.L")], "sleeptime": "1D", "step": "day", "length": 9}),
        (HoldForEvents, {"assets": [Asset("AAA"), Asset("FUND")], "sleeptime": "1D"}),
    ],
)
def test_whole_backtests_are_the_same_and_ask_for_nothing(
    strategy: Any, parameters: dict[str, Any], sides: tuple[Side, Side], server: YahooServer
) -> None:
    """The benchmark and the risk-free rate included, which Lumibot asks Yahoo for each time."""
    results = []
    for side in sides:
        before = len(server.requests)
        with side.entered(server):
            span = ("2024-02-01", "2024-03-31")
            settings: dict[str, Any] = {"benchmark_asset": "SPY", "analyze_backtest": True}
            results.append(run(strategy, side.source_class, side.folder / "run", *span, parameters, **settings))
    assert_same_result(*results, fills=2)
    benchmarks = [result.strategy._benchmark_returns_df for result in results]
    pd.testing.assert_frame_equal(*benchmarks, check_exact=True)
    assert results[0].strategy.risk_free_rate == results[1].strategy.risk_free_rate
    assert len(server.requests) == before


def test_minutes_are_those_that_our_source_downloads(tmp_path: Path) -> None:
    """Of a US stock, whose minutes all have the time at which the session ends, those of whole sessions."""
    today = dt.date.today()
    days = new_york_days(str(today - dt.timedelta(days=30)), str(today - dt.timedelta(days=1)))
    whole_in_seven_days = days[-3:]  # the first of four may be cut in two, where one of Yahoo's days is a holiday
    schedule = get_calendar("NYSE").schedule(whole_in_seven_days[0], whole_in_seven_days[-1])
    sessions = [
        pd.date_range(opens, closes, freq="min", inclusive="left").tz_convert(NEW_YORK)
        for opens, closes in zip(schedule["market_open"], schedule["market_close"], strict=True)
    ]
    full = Instrument(walk(days, 5), minutes=walk(sessions[0].append(sessions[1:]), 6, price=50.0, step=0.0005))
    gaps = replace(full, minutes=full.minutes.drop(full.minutes.index[7::50]))  # type: ignore[union-attr]
    london = with_minutes(
        Instrument(walk(days, 7), market="gb_market", zone="Europe/London", hours=("08:00", "16:30")),
        2,
        whole_in_seven_days.date,
        ("08:00", "16:30"),
    )
    theirs, ours = both_sides(tmp_path)
    fresh, brought = DuckDBDataStorage(tmp_path / "fresh.duckdb"), DuckDBDataStorage(ours.store)
    cache = tmp_path / "cache"
    (cache / "yahoo").mkdir(parents=True)
    with YahooServer(instruments={"FULL": full, "GAPS": gaps, "VOD.L": london}) as server:
        with theirs.entered(server):
            for symbol in server.instruments:
                YahooHelper.get_symbol_data(symbol, interval="1m")
        for path in theirs.pickles.iterdir():
            path.rename(cache / "yahoo" / path.name)
        reasons = moved(YahooReader(cache), brought)
        assert list(reasons) == ["GAPS_1m.pickle"]
        assert "no day has all bars of its session" in reasons["GAPS_1m.pickle"]
        with ours.entered(server):
            for symbol in ("FULL", "VOD.L"):
                history = YahooHistory(fresh, YahooProvider(), symbol, "minute")
                history.ensure(dt.datetime.now(dt.timezone.utc))
                expected, found = (store.read_pandas(store.pin(history.key)) for store in (fresh, brought))
                assert len(found) > 500
                pd.testing.assert_frame_equal(found, expected, check_exact=True, check_freq=False)


def test_a_new_dividend_restates_a_history_that_was_migrated(
    sides: tuple[Side, Side], server: YahooServer, tmp_path: Path
) -> None:
    """What comes after is downloaded; prices that are adjusted to something new are downloaded anew, as a whole."""
    ours = both_sides(tmp_path)[1]
    storage = DuckDBDataStorage(ours.store)
    moved(YahooReader(sides[0].folder / "cache"), storage)
    key = SeriesKey(AssetKey("AAA"), "yahoo", "day", "split")
    first = storage.pin(key)
    instrument = server.instruments["AAA"]
    try:
        server.instruments["AAA"] = replace(
            instrument,
            daily=pd.concat([instrument.daily, walk(new_york_days("2024-07-01", "2024-07-12"), 12)]),
            dividends={**instrument.dividends, dt.date(2024, 7, 9): 0.5},
        )
        server.now = pd.Timestamp("2024-07-13 12:00", tz=NEW_YORK).tz_convert("UTC")
        with ours.entered(server):
            history = YahooHistory(storage, YahooProvider(), "AAA")
            history.ensure(pd.Timestamp("2024-07-12", tz=NEW_YORK).to_pydatetime())
            expected = YahooHelper.fetch_symbol_data("AAA", caching=False)
            pd.testing.assert_frame_equal(history.frame(), expected, check_exact=True, check_freq=False)
        assert storage.pin(key).version_id != first.version_id
    finally:
        server.instruments["AAA"], server.now = instrument, SATURDAY


# -- one file at a time ---------------------------------------------------------------------------------------


def pickled(folder: Path, symbol: str, kind: str, data: Any) -> Path:
    path = folder / "yahoo" / f"{symbol}_{kind}.pickle"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(yahoo_helper._YahooData(symbol, kind, data)))
    return path


def bars(index: pd.DatetimeIndex) -> pd.DataFrame:
    names = ["Open", "High", "Low", "Close", "Adj Close", "Volume", "Dividends", "Stock Splits"]
    return pd.DataFrame({name: np.arange(1.0, len(index) + 1) for name in names}, index=index)


@pytest.mark.parametrize(
    "zone", ["Europe/London", "Asia/Tokyo", "Australia/Sydney", "America/Sao_Paulo", "Asia/Kolkata"]
)
def test_midnights_of_an_exchange_are_recognised_without_yahoos_word(zone: str, tmp_path: Path) -> None:
    there = pd.date_range("2016-01-04", "2018-01-31", freq="B")
    there = there.tz_localize(zone, ambiguous=np.ones(len(there), bool), nonexistent="shift_forward")
    path = pickled(tmp_path, "ABC", "1d", bars(there.tz_convert(NEW_YORK)))
    (content,) = YahooReader(tmp_path).read(path)
    assert content.metadata == {"symbol": "ABC", "zone": zone}  # type: ignore[attr-defined]
    assert (content.bars.index == there).all()  # type: ignore[attr-defined]


def test_days_that_are_stamped_in_no_known_way_are_left_alone(tmp_path: Path) -> None:
    odd = pd.date_range("2023-01-02 13:17", periods=30, tz=NEW_YORK)
    with pytest.raises(LeftAloneError, match="not those of any known release"):
        YahooReader(tmp_path).read(pickled(tmp_path, "ABC", "1d", bars(odd)))


def test_a_day_that_is_there_twice_is_reported(tmp_path: Path) -> None:
    days = bars(pd.date_range("2023-01-02 16:00", periods=30, tz=NEW_YORK))
    with pytest.raises(LeftAloneError, match="it has 2023-01-31 16:00:00-05:00 twice"):
        YahooReader(tmp_path).read(pickled(tmp_path, "ABC", "1d", pd.concat([days, days[-1:]])))


def test_rows_that_lack_a_number_are_reported(tmp_path: Path) -> None:
    days = bars(pd.date_range("2023-01-02 16:00", periods=30, tz=NEW_YORK))
    days.iloc[5, 5] = np.nan
    content, left_out = YahooReader(tmp_path).read(pickled(tmp_path, "ABC", "1d", days))
    assert (content.rows, left_out.label) == (29, "rows with a missing number (1)")


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let Lumibot mirror its cache in a bucket, which is a file, and return the folder of its pickles."""

    class Client:
        def upload_file(self, path: str, _bucket: str, _key: str) -> None:
            shutil.copyfile(path, tmp_path / "bucket")

        def get_object(self, **_: str) -> dict[str, Any]:
            return {"Body": (tmp_path / "bucket").open("rb")}

    settings = backtest_cache.BacktestCacheSettings("s3", backtest_cache.CacheMode.S3_READWRITE, "mine")
    manager = backtest_cache.BacktestCacheManager(settings, lambda _: Client())
    monkeypatch.setattr(backtest_cache, "get_backtest_cache", lambda: manager)
    monkeypatch.setattr(backtest_cache, "LUMIBOT_CACHE_FOLDER", str(tmp_path))
    monkeypatch.setattr(YahooHelper, "LUMIBOT_YAHOO_CACHE_FOLDER", str(tmp_path / "yahoo"))
    (tmp_path / "yahoo").mkdir()
    return tmp_path / "yahoo"


@pytest.mark.parametrize("gone", [False, True])
def test_a_mirrored_file_does_not_show_that_its_last_day_was_over(gone: bool, mirror: Path) -> None:
    """It may have been written at noon of its last day, and copied today."""
    YahooHelper.dump_pickle_file("ABC", "1d", bars(pd.date_range("2023-01-02 16:00", periods=30, tz=NEW_YORK)))
    path = mirror / "ABC_1d.pickle"
    if gone:
        path.unlink()
        YahooHelper.check_pickle_file("ABC", "1d")
    reader = YahooReader(mirror.parent)
    assert reader.companions(path) == [mirror / "ABC_1d.pickle.s3key"]
    content, left_out = reader.read(path)
    assert isinstance(content, YahooDays)
    assert str(content.asked_at) == "2023-01-31 05:00:00+00:00"
    assert str(content.bars.index[-1]) == "2023-01-30 05:00:00+00:00"
    assert left_out.label == "its last day, which may not have been over when it was downloaded"


def test_the_last_minute_of_a_file_that_the_mirror_has_is_left_out(mirror: Path) -> None:
    minutes = pd.date_range("2023-01-31 08:00", periods=60, freq="min", tz="Europe/London")
    YahooHelper.dump_pickle_file("VOD.L", "1m", bars(minutes))
    content, left_out = YahooReader(mirror.parent).read(mirror / "VOD.L_1m.pickle")
    assert (content.rows, left_out.label) == (59, "1 bars that may not have been over when it was downloaded")


def test_yahoos_word_goes_with_the_bars_and_is_left_alone_without_any(tmp_path: Path) -> None:
    said = {"error": False, "info": {"market": "us_market", "exchangeTimezoneName": NEW_YORK}}
    alone, word = (pickled(tmp_path, symbol, "info", said) for symbol in ("ALONE", "ABC"))
    path = pickled(tmp_path, "ABC", "1d", bars(pd.date_range("2023-01-02 16:00", periods=30, tz=NEW_YORK)))
    reader = YahooReader(tmp_path)
    assert list(reader.files()) == [path, alone]
    assert list(reader.companions(path)) == [word]
    with pytest.raises(LeftAloneError, match="market of a symbol without bars"):
        reader.read(alone)


def test_yahoos_word_goes_with_the_last_bars_of_a_symbol(tmp_path: Path) -> None:
    said = pickled(tmp_path, "ABC", "info", {"error": False, "info": {"market": "us_market"}})
    times = pd.date_range("2023-01-02 16:00", periods=30, tz=NEW_YORK)
    days, minutes = (pickled(tmp_path, "ABC", kind, bars(times)) for kind in ("1d", "1m"))
    reader = YahooReader(tmp_path)
    assert [list(reader.companions(path)) for path in (days, minutes)] == [[said], [said]]
    assert list(reader.companions_to_delete(days)) == []
    days.unlink()
    assert list(reader.companions_to_delete(minutes)) == [said]


def test_of_two_files_of_a_symbol_the_newer_one_counts(tmp_path: Path) -> None:
    new_york = bars(pd.date_range("2023-01-02 16:00", periods=30, tz=NEW_YORK))
    older = pickled(tmp_path, "ABC", "day_data", new_york[:20] * 2)
    written_at(tmp_path, pd.Timestamp("2023-03-01", tz="UTC"))
    newer = pickled(tmp_path, "ABC", "1d", new_york)
    reader, storage = YahooReader(tmp_path), DuckDBDataStorage(tmp_path / "bars.duckdb")
    assert list(reader.files()) == [newer, older]
    assert list(moved(reader, storage)) == [older.name]
    assert storage.list_series()[0].rows == 30


def test_minutes_are_not_mixed_with_others_that_may_be_from_before_a_split(tmp_path: Path) -> None:
    storage, london = DuckDBDataStorage(tmp_path / "bars.duckdb"), "Europe/London"
    for start, added in (("2024-06-03 08:00", 60), ("2024-06-03 08:30", 30)):
        path = pickled(tmp_path, "VOD.L", "1m", bars(pd.date_range(start, periods=60, freq="min", tz=london)))
        (content,) = YahooReader(tmp_path).read(path)
        if added == 30:
            content = replace(content, bars=content.bars.assign(**{  # type: ignore[type-var, attr-defined]
                name: content.bars[name] + 30 for name in content.bars  # type: ignore[attr-defined]
            }))  # fmt: skip
        assert content.store(storage, {}) == added
    path = pickled(tmp_path, "VOD.L", "1m", bars(pd.date_range("2024-05-20 08:00", periods=60, freq="min", tz=london)))
    (content,) = YahooReader(tmp_path).read(path)
    with pytest.raises(ConflictError, match="there may have been a split"):
        content.store(storage, {})


def test_minutes_go_in_where_the_store_has_had_an_empty_answer_only(tmp_path: Path) -> None:
    times = pd.date_range("2024-06-03 08:00", periods=60, freq="min", tz="Europe/London")
    (content,) = YahooReader(tmp_path).read(pickled(tmp_path, "VOD.L", "1m", bars(times)))
    assert isinstance(content, CachedBars)
    storage, start = DuckDBDataStorage(tmp_path / "bars.duckdb"), int(times[0].timestamp())
    key = content.key
    storage.record_coverage(key.asset, TimeRange(start, start + 3600), key.source, key.timeframe, adjustment="split")
    assert content.store(storage, {}) == 60
