"""`PandasDataBacktesting.using`: what it accepts and refuses, and how Lumibot uses the result."""

from __future__ import annotations

import datetime as dt
import threading
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from lumibot.backtesting import PandasDataBacktesting as LumibotPandasDataBacktesting
from lumibot.entities import Asset, Data

from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.backtesting import PandasDataBacktesting, WindowedData
from lumibot_duckdb.sources.shared import enhanced_data_source
from lumibot_duckdb.storage.api import AssetKey
from lumibot_duckdb.storage.errors import AmbiguousSeriesError, SeriesNotFoundError
from windows.allocated import arrays_counted, bytes_in_windows
from windows.stored_minutes import NEW_YORK, minutes

DOLLAR = Asset("USD", "forex")
START = pd.Timestamp("2024-01-10 09:30", tz=NEW_YORK).to_pydatetime()
END = pd.Timestamp("2024-02-01 16:00", tz=NEW_YORK).to_pydatetime()


def opened(source_class: Any, **settings: Any) -> Any:
    source = source_class(datetime_start=START, datetime_end=END, show_progress_bar=False, **settings)
    source.load_data()
    return source


def test_it_is_lumibots_class_by_name_and_by_descent(storage: DuckDBDataStorage) -> None:
    configured = PandasDataBacktesting.using(storage)
    assert configured.__name__ == "PandasDataBacktesting"
    assert issubclass(configured, LumibotPandasDataBacktesting)
    assert configured.SOURCE == "PANDAS"


def test_the_end_stays_inclusive_as_for_pure_pandas_sources(storage: DuckDBDataStorage) -> None:
    assert opened(PandasDataBacktesting.using(storage)).datetime_end == END


def test_all_series_of_the_source_are_taken_unless_named(storage: DuckDBDataStorage) -> None:
    assert [asset.symbol for asset, _ in opened(PandasDataBacktesting.using(storage))._data_store] == [
        "AAA",
        "BBB",
        "CCC",
    ]
    some = opened(PandasDataBacktesting.using(storage, source="own", assets=["CCC", "AAA"]))
    assert [asset.symbol for asset, _ in some._data_store] == ["CCC", "AAA"]
    assert isinstance(some._data_store, dict)
    assert all(isinstance(data, WindowedData) for data in some._data_store.values())


@pytest.mark.parametrize("asset", ["AAA", Asset("AAA"), (Asset("AAA"), DOLLAR), AssetKey("AAA")])
def test_an_asset_may_be_named_in_every_way(storage: DuckDBDataStorage, asset: Any) -> None:
    for assets in (asset, [asset]):
        source = opened(PandasDataBacktesting.using(storage, assets=assets))
        assert list(source._data_store) == [(Asset("AAA"), DOLLAR)]


def test_assets_made_of_stored_series_are_the_ones_that_were_stored(tmp_path: Path) -> None:
    storage = DuckDBDataStorage(tmp_path / "kinds.duckdb")
    expiry = dt.date(2024, 3, 15)
    pairs = [
        (Asset("AAA"), DOLLAR),
        (Asset("AAA", "option", expiration=expiry, strike=100.0, right="CALL"), DOLLAR),
        (Asset("AAA", "option", expiration=expiry, strike=101.5, right="PUT"), DOLLAR),
        (Asset("ES", "future", expiration=expiry, multiplier=50), DOLLAR),
        (Asset("MES", "cont_future"), DOLLAR),
        (Asset("NQ", "future", auto_expiry="front_month"), DOLLAR),
        (Asset("SPX", "index"), DOLLAR),
        (Asset("BTC", "crypto"), DOLLAR),
        (Asset("BTC", "crypto"), Asset("USDT", "crypto")),
        (Asset("EUR", "forex"), DOLLAR),
    ]
    for seed, pair in enumerate(pairs):
        storage.store_ohlcv_data(pair, minutes(seed, days=1), "own", "minute")
    source = PandasDataBacktesting.using(storage)(datetime_start=START, datetime_end=END, show_progress_bar=False)
    assert set(source._data_store) == set(pairs)
    assert {asset.multiplier for asset, _ in source._data_store if asset.symbol == "ES"} == {50}


@pytest.mark.parametrize("timestep", ["5minute", "5min", "5m", "5 minutes"])
def test_five_minute_bars_serve_as_sparse_minutes(storage: DuckDBDataStorage, timestep: str) -> None:
    frame = minutes(5)
    frame = frame[frame.index.minute % 5 == 0]
    storage.store_ohlcv_data("FFF", frame, "own", "5min")
    ours = opened(PandasDataBacktesting.using(storage, timestep=timestep))
    theirs = opened(LumibotPandasDataBacktesting, pandas_data=[Data(Asset("FFF"), frame, quote=DOLLAR)])
    for source in (ours, theirs):
        source._datetime = START + dt.timedelta(hours=3, minutes=7)
    for step in ("minute", "5min", "hour"):
        left, right = (source.get_historical_prices(Asset("FFF"), 30, step).df for source in (ours, theirs))
        pd.testing.assert_frame_equal(left, right)


def test_the_store_may_be_named_by_path(storage: DuckDBDataStorage) -> None:
    assert len(opened(PandasDataBacktesting.using(str(storage.path)))._data_store) == 3
    assert len(opened(PandasDataBacktesting.using(Path(storage.path)))._data_store) == 3


def test_the_default_store_is_where_the_environment_says(
    storage: DuckDBDataStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LUMIBOT_DUCKDB_PATH", str(storage.path))
    assert len(opened(PandasDataBacktesting.using())._data_store) == 3


def test_an_unknown_asset_is_refused_by_name(storage: DuckDBDataStorage) -> None:
    with pytest.raises(SeriesNotFoundError, match="ZZZ"):
        opened(PandasDataBacktesting.using(storage, assets=["AAA", "ZZZ"]))


def test_a_step_that_is_not_stored_is_refused_with_what_there_is(storage: DuckDBDataStorage) -> None:
    with pytest.raises(SeriesNotFoundError, match=r"no day bars; it has: own minute; .*timestep='minute'"):
        opened(PandasDataBacktesting.using(storage, timestep="day"))


def test_a_step_that_no_backtest_has_is_refused(storage: DuckDBDataStorage) -> None:
    with pytest.raises(ValueError, match=r"minute.*hour.*day"):
        PandasDataBacktesting.using(storage, timestep="week")


def test_the_error_for_a_wrong_step_names_multiples(storage: DuckDBDataStorage) -> None:
    for wrong in ("week", "minit"):
        with pytest.raises(ValueError, match=rf"{wrong}.*5minute|5minute.*{wrong}"):
            PandasDataBacktesting.using(storage, timestep=wrong)


@pytest.mark.parametrize("timestep", ["hour", "1h", "60min", "60m"])
def test_sixty_minutes_are_an_hour(storage: DuckDBDataStorage, timestep: str) -> None:
    frame = minutes(7, days=3)
    frame = frame[frame.index.minute == 30]
    storage.store_ohlcv_data("HHH", frame, "own", "hour")
    configured = PandasDataBacktesting.using(storage, timestep=timestep)
    ours = configured(datetime_start=START, datetime_end=END, show_progress_bar=False)
    assert {data.timestep for data in ours._data_store.values()} == {"hour"}


def test_two_sources_of_one_series_are_an_error_that_names_them(storage: DuckDBDataStorage) -> None:
    storage.store_ohlcv_data("AAA", minutes(9), "other", "minute")
    with pytest.raises(AmbiguousSeriesError, match=r"(?s)other.*own|own.*other"):
        opened(PandasDataBacktesting.using(storage, assets=["AAA"]))
    assert len(opened(PandasDataBacktesting.using(storage, source="other"))._data_store) == 1


def test_assets_come_from_several_sources_each_from_its_own(storage: DuckDBDataStorage) -> None:
    pair = (Asset("BTC", "crypto"), Asset("USDT", "crypto"))
    storage.store_ohlcv_data(pair, minutes(8), "ccxt", "minute", exchange="binance")
    storage.store_ohlcv_data("AAA", minutes(9), "other", "minute")
    source = opened(PandasDataBacktesting.using(storage, assets={"own": ["BBB"], "other": "AAA", "ccxt": [pair]}))
    assert list(source._data_store) == [(Asset("BBB"), DOLLAR), (Asset("AAA"), DOLLAR), pair]
    source._datetime = END
    seen = source.get_historical_prices(Asset("AAA"), 5, timestep="minute").df["close"]
    assert list(seen) == list(minutes(9).loc[:END]["close"].iloc[-5:])  # of the other source, not of the first


def test_one_asset_of_two_sources_cannot_be_held_twice(storage: DuckDBDataStorage) -> None:
    storage.store_ohlcv_data("AAA", minutes(9), "other", "minute")
    with pytest.raises(ValueError, match=r"(?s)AAA.*own.*AAA.*other.*only one of them"):
        opened(PandasDataBacktesting.using(storage, assets={"own": ["AAA"], "other": ["AAA"]}))


def test_one_pair_on_two_exchanges_cannot_be_held_twice(storage: DuckDBDataStorage) -> None:
    pair = (Asset("BTC", "crypto"), Asset("USDT", "crypto"))
    for seed, exchange in enumerate(("binance", "kraken")):
        storage.store_ohlcv_data(pair, minutes(seed), "ccxt", "minute", exchange=exchange)
    with pytest.raises(ValueError, match=r"(?s)binance.*kraken"):
        opened(PandasDataBacktesting.using(storage, source="ccxt"))


def test_sources_are_named_once(storage: DuckDBDataStorage) -> None:
    with pytest.raises(ValueError, match="leave source='own' out"):
        PandasDataBacktesting.using(storage, source="own", assets={"own": ["AAA"]})


def test_without_using_it_is_lumibots_own(storage: DuckDBDataStorage) -> None:
    data = Data(Asset("AAA"), minutes(0), quote=DOLLAR)
    source = opened(PandasDataBacktesting, pandas_data=[data])
    assert source._data_store == {(Asset("AAA"), DOLLAR): data}


@pytest.mark.parametrize("how", ["argument", "environment"])
def test_switched_off_it_gives_lumibot_the_full_frames(
    storage: DuckDBDataStorage, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    if how == "environment":
        monkeypatch.setenv("LUMIBOT_USE_DUCKDB", "false")
    settings = {"use_duckdb": False} if how == "argument" else {}
    source = opened(PandasDataBacktesting.using(storage), **settings)
    assert {type(data) for data in source._data_store.values()} == {Data}
    plain = opened(LumibotPandasDataBacktesting, pandas_data=[Data(Asset("AAA"), minutes(0), quote=DOLLAR)])
    source._datetime = plain._datetime = START + dt.timedelta(hours=3)
    left, right = (each.get_historical_prices(Asset("AAA"), 30, "5min").df for each in (source, plain))
    pd.testing.assert_frame_equal(left, right)


def test_a_switch_that_is_neither_on_nor_off_is_refused(
    storage: DuckDBDataStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LUMIBOT_USE_DUCKDB", "maybe")
    with pytest.raises(ValueError, match="LUMIBOT_USE_DUCKDB must be true or false, not 'maybe'"):
        opened(PandasDataBacktesting.using(storage))


def test_nothing_is_loaded_before_a_strategy_asks(storage: DuckDBDataStorage) -> None:
    source = opened(PandasDataBacktesting.using(storage))
    assert source.budget.statistics.rows_loaded <= 3 * 2, "a row of each, to learn the columns"
    source._datetime = START + dt.timedelta(minutes=30)
    source.get_historical_prices(Asset("BBB"), 10, "minute")
    assert source.budget.bytes_held() > 0
    assert source._data_store[Asset("CCC"), DOLLAR]._aligned.windows.recent.nbytes == 0


def test_windows_stay_within_max_memory(storage: DuckDBDataStorage) -> None:
    """By the budget's own count, and by what NumPy has allocated in fact."""
    limit = 100_000
    with arrays_counted() as arrays:
        source = opened(PandasDataBacktesting.using(storage, max_memory=limit))
        for minute in range(0, 2_000, 40):
            source._datetime = START + dt.timedelta(minutes=minute)
            for symbol in ("AAA", "BBB", "CCC"):
                source.get_historical_prices(Asset(symbol), 600, "minute")
                source.get_historical_prices(Asset(symbol), 5, "day")
            assert source.budget.bytes_held() <= limit
            if minute % 1_000 == 960:
                assert limit / 4 < bytes_in_windows(source.budget, arrays) <= limit * 1.02
    assert source.budget.statistics.evictions > 0


def test_bars_that_come_from_the_store_cannot_be_replaced_in_place(storage: DuckDBDataStorage) -> None:
    data = next(iter(opened(PandasDataBacktesting.using(storage))._data_store.values()))
    with pytest.raises(TypeError, match=r"AAA.*come from the store and cannot be replaced"):
        data.df = minutes(5)


def test_writing_into_a_frame_changes_no_later_answer(storage: DuckDBDataStorage) -> None:
    source = opened(PandasDataBacktesting.using(storage))
    source._datetime = START + dt.timedelta(hours=2)
    first = source.get_historical_prices(Asset("AAA"), 20, "minute").df
    expected = first["close"].tolist()[1:]
    first.loc[first.index, "close"] = -1.0
    source._datetime += dt.timedelta(minutes=1)
    assert source.get_historical_prices(Asset("AAA"), 20, "minute").df["close"].tolist()[:-1] == expected


def test_a_restatement_during_the_backtest_is_not_seen(storage: DuckDBDataStorage) -> None:
    source = opened(PandasDataBacktesting.using(storage))
    source._datetime = START + dt.timedelta(minutes=5)
    source.get_historical_prices(Asset("AAA"), 5, "minute")
    storage.store_ohlcv_data("AAA", minutes(77), "own", "minute")
    source._datetime = END - dt.timedelta(hours=1)
    seen = source.get_historical_prices(Asset("AAA"), 30, "minute").df["close"]
    assert seen.tolist() == minutes(0)["close"].loc[seen.index].tolist()
    renewed = opened(PandasDataBacktesting.using(storage))
    renewed._datetime = source._datetime
    later = renewed.get_historical_prices(Asset("AAA"), 30, "minute").df["close"]
    assert later.tolist() == minutes(77)["close"].loc[later.index].tolist()


def test_as_of_runs_a_backtest_on_history_as_it_stood(storage: DuckDBDataStorage) -> None:
    before = dt.datetime.now(dt.timezone.utc)
    storage.store_ohlcv_data("AAA", minutes(77), "own", "minute")
    source = opened(PandasDataBacktesting.using(storage, assets=["AAA"], as_of=before))
    source._datetime = END
    seen = source.get_historical_prices(Asset("AAA"), 30, "minute").df["close"]
    assert seen.tolist() == minutes(0)["close"].loc[seen.index].tolist()


def test_a_snapshot_runs_a_backtest_on_what_it_has(storage: DuckDBDataStorage) -> None:
    storage.snapshot("before")
    storage.store_ohlcv_data("AAA", minutes(77), "own", "minute")
    storage.store_ohlcv_data("LATER", minutes(1), "own", "minute")
    source = opened(PandasDataBacktesting.using(storage, as_of="before"))
    assert {asset.symbol for asset, _ in source.pandas_data} == {"AAA", "BBB", "CCC"}
    source._datetime = END
    seen = source.get_historical_prices(Asset("AAA"), 30, "minute").df["close"]
    assert seen.tolist() == minutes(0)["close"].loc[seen.index].tolist()
    with pytest.raises(SeriesNotFoundError, match=r"LATER stock.* were not stored yet as of before"):
        opened(PandasDataBacktesting.using(storage, assets=["LATER"], as_of="before"))
    with pytest.raises(SeriesNotFoundError, match="none of the minute bars in the store was there as of 2001-01-01"):
        opened(PandasDataBacktesting.using(storage, as_of="2001-01-01"))


def test_threads_get_the_same_answers(storage: DuckDBDataStorage) -> None:
    source = opened(PandasDataBacktesting.using(storage, max_memory=500_000))
    source._datetime = START + dt.timedelta(days=8, hours=2)
    questions = [
        (symbol, length, step)
        for symbol in ("AAA", "BBB", "CCC")
        for length in (5, 60, 700)
        for step in ("minute", "5min", "hour", "day")
    ]
    expected = {each: source.get_historical_prices(Asset(each[0]), *each[1:]).df for each in questions}
    wrong: list[Any] = []

    def ask(offset: int) -> None:
        for number in range(3 * len(questions)):
            each = questions[(number * 7 + offset) % len(questions)]
            answer = source.get_historical_prices(Asset(each[0]), *each[1:]).df
            if not answer.equals(expected[each]):
                wrong.append(each)

    threads = [threading.Thread(target=ask, args=(offset,)) for offset in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_get_bars_of_many_assets_goes_through_lumibots_threads(storage: DuckDBDataStorage) -> None:
    source = opened(PandasDataBacktesting.using(storage))
    source._datetime = START + dt.timedelta(days=3)
    bars = source.get_bars([Asset("AAA"), Asset("BBB"), Asset("CCC")], 50, "5min")
    assert {asset.symbol: len(each.df) for asset, each in bars.items()} == {"AAA": 50, "BBB": 50, "CCC": 50}
    source.shutdown()


def test_a_series_that_begins_after_the_backtest_ends_answers_like_lumibots(storage: DuckDBDataStorage) -> None:
    late = minutes(6, days=5, start="2024-06-03")
    storage.store_ohlcv_data("LATE", late, "own", "minute")
    frames = {"AAA": minutes(0), "LATE": late}
    theirs = opened(
        LumibotPandasDataBacktesting,
        pandas_data=[Data(Asset(symbol), frame, quote=DOLLAR) for symbol, frame in frames.items()],
    )
    ours = opened(PandasDataBacktesting.using(storage, assets=list(frames)))
    for source in (theirs, ours):
        source._datetime = START + dt.timedelta(hours=1)
    for step in ("minute", "5min", "day"):
        answers = [source.get_historical_prices(Asset("LATE"), 5, step) for source in (theirs, ours)]
        assert answers == [None, None]
    assert [source.get_last_price(Asset("LATE")) for source in (theirs, ours)] == [None, None]


def test_the_file_is_closed_after_much_was_read(storage: DuckDBDataStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    source = opened(PandasDataBacktesting.using(storage, assets="AAA"))
    closed: list[int] = []
    monkeypatch.setattr(DuckDBDataStorage, "close", lambda _: closed.append(storage.counters.usage().bytes_read))
    monkeypatch.setattr(enhanced_data_source, "_MUCH", 1_000)
    source.let_go()
    for _ in range(3):
        storage.read_bars(storage.pin("AAA"), remember=False)
        source.let_go()
        source.let_go()
    assert len(closed) >= 3
    assert len(set(closed)) == len(closed)


def test_without_data_the_days_are_lumibots(storage: DuckDBDataStorage) -> None:
    settings = {"datetime_start": START, "datetime_end": END, "show_progress_bar": False}
    ours = PandasDataBacktesting.using(storage, assets="AAA")(**settings)
    expected = LumibotPandasDataBacktesting(**settings).get_trading_days_pandas()
    pd.testing.assert_frame_equal(ours.get_trading_days_pandas(), expected)


def test_the_minutes_of_a_backtest_are_made_when_something_looks_at_them(storage: DuckDBDataStorage) -> None:
    source = opened(PandasDataBacktesting.using(storage, assets="AAA"))
    source.get_historical_prices("AAA", 5, "minute")
    source.get_trading_days_pandas()
    assert "index" not in vars(source.clock_times)
    times = source._date_index
    assert isinstance(times, pd.DatetimeIndex)
    assert source._date_index is times
    assert len(times) == len(source.clock_times)
