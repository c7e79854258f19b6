"""The requests of our CCXT source, and those that it does not send, by the loopback server's log."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pandas as pd
import pytest
from lumibot.backtesting import CcxtBacktesting as LumibotCcxtBacktesting
from lumibot.data_sources import CcxtBacktestingData as LumibotCcxtBacktestingData
from lumibot.entities import Asset
from lumibot.tools import CcxtCacheDB

from lumibot_duckdb import DuckDBDataStorage, clock
from lumibot_duckdb.backtesting import CcxtBacktesting, CcxtBacktestingData
from lumibot_duckdb.sources.ccxt import client as provider_module
from lumibot_duckdb.sources.ccxt.cache_emulation import AS_CACHED, CandleFile
from lumibot_duckdb.sources.ccxt.markets import series_of
from lumibot_duckdb.sources.ccxt.price_rounding import CandleNumbers
from lumibot_duckdb.sources.retry_policy import RetryPolicy
from lumibot_duckdb.sources.shared.downloaded_series import Delivery, DownloadedSeries
from lumibot_duckdb.sources.shared.errors import ProviderError, ProviderUnavailableError, UnknownMarketError
from lumibot_duckdb.storage.api import TimeRange
from parity.ground import silence
from parity.harness import assert_same_frame
from sources.ccxt.binance_server import INFO, KLINES, BinanceServer
from sources.ccxt.market import moment
from sources.ccxt.sides import Side
from sources.ccxt.test_client import DAY, START, minutes
from wire.loopback import Answer, Fault

BITCOIN = (Asset("BTC", "crypto"), Asset("USDT", "crypto"))
LATE = (Asset("LATE", "crypto"), Asset("USDT", "crypto"))
SPAN = ("2023-03-12 12:00", "2023-03-14 12:00")


@pytest.fixture(scope="module")
def listed() -> dict[str, pd.DataFrame]:
    days = 12
    return {
        # Listed before the first hour that a backtest needs; otherwise each run would request what precedes it.
        "BTC": minutes((days + 10) * 1_440, START - 13 * DAY),
        "LATE": minutes((days - 5) * 1_440, START + 2 * DAY, seed=2),
    }


@pytest.fixture
def server(listed: dict[str, pd.DataFrame]) -> Iterator[BinanceServer]:
    server = BinanceServer()
    for coin, bars in listed.items():
        server.list_market(coin, "USDT", bars)
    with server:
        yield server


@pytest.fixture
def ours(tmp_path: Path) -> Side:
    return Side(CcxtBacktesting, tmp_path / "ours")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provider_module, "RetryPolicy", lambda: RetryPolicy(0.02, 0.01, 0.05, 3))


def frames(
    side: Side, server: BinanceServer, span: tuple[str, str] = SPAN, pair: Any = BITCOIN, **settings: Any
) -> Any:
    """Return all minutes and all hours that a new source has at the end of a span."""
    with side.entered(server), silence():
        source = side.source(*map(moment, span), **settings)
        source._datetime = moment(span[1])
        bars = [source.get_historical_prices(pair, None, step) for step in ("minute", "hour")]
        return [None if each is None else each.df for each in bars]


def asked(server: BinanceServer, interval: str = "1m") -> list[tuple[str, int]]:
    """Return the market and the start (epoch seconds) of each request for candles."""
    return [
        (request.query["symbol"], int(request.query["startTime"]) // 1000)
        for request in server.asked(KLINES)
        if request.query["interval"] == interval
    ]


def epoch(text: str) -> int:
    return int(pd.Timestamp(text, tz="UTC").timestamp())


def at(time: str) -> Any:
    """Set our clock (UTC)."""
    return mock.patch.object(clock, "utc_now", return_value=pd.Timestamp(time, tz="UTC").to_pydatetime())


def test_a_backtest_asks_for_whole_days_from_three_hundred_candles_before_it(server: BinanceServer, ours: Side) -> None:
    found = frames(ours, server)
    assert asked(server) == [("BTCUSDT", time) for time in range(epoch("2023-03-12"), epoch("2023-03-15"), 60_000)]
    assert asked(server, "1h") == [("BTCUSDT", epoch("2023-02-28"))]
    first = moment(SPAN[0]) - dt.timedelta(minutes=300)
    assert found[0].index[0] == first


def test_the_second_run_asks_for_nothing(server: BinanceServer, ours: Side) -> None:
    first = frames(ours, server)
    before = len(server.requests)
    for left, right in zip(first, frames(ours, server), strict=True):
        assert_same_frame(left, right, "the second run")
    assert len(server.requests) == before


def test_a_longer_run_asks_for_the_new_stretch(server: BinanceServer, ours: Side) -> None:
    frames(ours, server)
    server.requests.clear()
    frames(ours, server, (SPAN[0], "2023-03-15 20:00"))
    # 20:00 in New York is the next day in UTC, and the last minute of a backtest is not part of it
    assert asked(server) == [("BTCUSDT", time) for time in (epoch("2023-03-15"), epoch("2023-03-15") + 60_000)]
    assert asked(server, "1h") == [("BTCUSDT", epoch("2023-03-15"))]


def test_markets_are_requested_once_and_only_for_a_download(server: BinanceServer, ours: Side) -> None:
    with ours.entered(server):
        source = ours.source(*map(moment, SPAN))
        assert not server.requests
        for pair in (BITCOIN, LATE):
            for step in ("minute", "hour", "day"):
                source.get_historical_prices(pair, 2, step)
                source.get_last_price(pair, step)
    assert len(server.asked(INFO)) == 1


def test_stored_candles_need_no_network(server: BinanceServer, ours: Side) -> None:
    expected = frames(ours, server)
    server.__exit__(None, None, None)
    with mock.patch.object(provider_module.CcxtProvider, "of", side_effect=AssertionError("no exchange is needed")):
        for left, right in zip(expected, frames(ours, server), strict=True):
            assert_same_frame(left, right, "without a network")


def requested_in_a_run(side: Side, server: BinanceServer, span: tuple[str, str], pair: Any, time: str) -> int:
    """Return how many pages a backtest requests at a time (UTC)."""
    server.requests.clear()
    with at(time):
        frames(side, server, span, pair)
    return len(server.asked(KLINES))


def test_a_market_listed_in_mid_range_is_asked_for_before_its_listing_until_two_responses_agree(
    server: BinanceServer, ours: Side
) -> None:
    """As by Lumibot in each run; but not for ever, if the exchange has nothing a month later either."""
    span = ("2023-03-10 12:00", "2023-03-13 12:00")
    with at("2023-05-01"):
        (found, _) = frames(ours, server, span, LATE)
    assert found.index[0].timestamp() == START + 2 * DAY
    assert asked(server)[:2] == [("LATEUSDT", epoch("2023-03-10")), ("LATEUSDT", START + 2 * DAY + 60_000)]
    for time, pages in (("2023-05-01 00:01", 2), ("2023-05-30", 2), ("2023-06-02", 2), ("2023-06-02 00:01", 0)):
        assert requested_in_a_run(ours, server, span, LATE, time) == pages, time


def test_a_market_without_candles_is_asked_for_until_two_responses_agree(server: BinanceServer, ours: Side) -> None:
    span = ("2023-03-09 12:00", "2023-03-10 12:00")
    with at("2023-05-01"):
        assert frames(ours, server, span, LATE) == [None, None]
    for time, asks in (("2023-05-01 00:01", True), ("2023-06-02", True), ("2023-06-02 00:01", False)):
        assert bool(requested_in_a_run(ours, server, span, LATE, time)) == asks, time


def served(server: BinanceServer, bars: pd.DataFrame) -> None:
    server.list_market("BTC", "USDT", bars)


@pytest.mark.parametrize("missing", ["the end", "the beginning", "both"])
def test_what_the_exchange_lacked_in_one_run_is_there_in_the_next(
    missing: str, server: BinanceServer, ours: Side, tmp_path: Path, listed: dict[str, pd.DataFrame]
) -> None:
    """Thirty hours, for example because of an outage; Lumibot requests them again in each run."""
    whole, span = listed["BTC"], ("2023-03-10 20:00", "2023-03-13 19:00")  # New York
    starts = whole.index
    begins, ends = pd.Timestamp("2023-03-12 07:00", tz="UTC"), pd.Timestamp("2023-03-12 18:00", tz="UTC")
    kept = slice(begins if missing != "the end" else starts[0], ends if missing != "the beginning" else starts[-1])

    def run(side: Side) -> list[Any]:
        try:
            return frames(side, server, span)
        except (IndexError, ValueError) as error:  # Lumibot's class fails without a candle before the start
            return [type(error)]

    theirs = Side(LumibotCcxtBacktesting, tmp_path / "theirs")
    for bars in (whole.loc[kept], whole, whole):
        served(server, bars)
        assert_same_answers(run(theirs), run(ours), missing)
    server.requests.clear()
    run(ours)
    assert not server.requests


def assert_same_answers(expected: list[Any], found: list[Any], what: str) -> None:
    assert len(expected) == len(found), what
    for left, right in zip(expected, found, strict=True):
        if isinstance(left, pd.DataFrame):
            assert_same_frame(left, right, what)
        else:
            assert left == right, what


def test_what_arrived_before_a_failure_is_not_requested_again(server: BinanceServer, ours: Side) -> None:
    expected = frames(Side(CcxtBacktesting, ours.folder.parent / "undisturbed"), server)
    server.requests.clear()
    server.faults.append(Fault(KLINES, times=2, delay=0.0))
    server.faults.append(Fault(KLINES, times=3, answer=Answer({}, 502)))
    with pytest.raises(ProviderUnavailableError):
        frames(ours, server)
    failed_at = asked(server)[-1]
    before = len(server.requests)
    for left, right in zip(expected, frames(ours, server), strict=True):
        assert_same_frame(left, right, "after a failure")
    assert asked(server)[before - 3 :][0] == failed_at  # three requests were for the markets
    assert failed_at == ("BTCUSDT", epoch("2023-03-12") + 120_000)


def test_the_candle_that_is_still_open_is_seen_and_not_stored(server: BinanceServer, ours: Side) -> None:
    """Now is in the middle of a minute; what will be in its candle is not known yet."""
    now = epoch("2023-03-13 10:00:30")
    span = ("2023-03-13 03:00", "2023-03-13 12:00")  # New York
    with at("2023-03-13 10:00:30"), ours.entered(server):
        source = ours.source(*map(moment, span))
        source._datetime = moment(span[1])
        seen = source.get_historical_prices(BITCOIN, 3, "minute").df
    assert seen.index[-1].timestamp() == epoch("2023-03-13 10:00")
    assert max(time for _, time in asked(server)) <= now
    key = DuckDBDataStorage(ours.store).list_series()[0].key
    stored = DuckDBDataStorage(ours.store).read_pandas(DuckDBDataStorage(ours.store).pin(key))
    assert stored.index[-1].timestamp() == epoch("2023-03-13 09:59")


# -- the store ------------------------------------------------------------------------------------------------


def test_candles_are_stored_as_the_exchange_gave_them(
    server: BinanceServer, ours: Side, listed: dict[str, pd.DataFrame]
) -> None:
    frames(ours, server)
    storage = DuckDBDataStorage(ours.store)
    stored = storage.get_historical_prices(BITCOIN, timeframe="minute", source="ccxt")
    expected = listed["BTC"].loc[stored.index[0].tz_convert("UTC") : stored.index[-1].tz_convert("UTC")]  # type: ignore[misc]
    assert stored.to_numpy().tolist() == expected.to_numpy().tolist()
    published = storage.sql(
        "SELECT DISTINCT asset_symbol, asset_type, exchange, timeframe, source FROM ohlcv_data ORDER BY timeframe"
    )
    assert [tuple(row.values()) for row in published.to_pylist()] == [
        ("BTC/USDT", "crypto", "binance", step, "ccxt") for step in ("hour", "minute")
    ]


def test_two_exchanges_are_never_mixed(server: BinanceServer, ours: Side) -> None:
    frames(ours, server)
    server.requests.clear()
    frames(Side(CcxtBacktesting, ours.folder, "binanceus"), server)
    assert len(server.asked(KLINES)) > 1
    assert {series.key.asset.exchange for series in DuckDBDataStorage(ours.store).list_series()} == {
        "binance",
        "binanceus",
    }


def test_as_of_reads_what_was_known_and_asks_nothing(server: BinanceServer, ours: Side) -> None:
    (expected, _) = frames(ours, server, ("2023-03-12 12:00", "2023-03-13 12:00"))
    then = dt.datetime.now(dt.timezone.utc)
    frames(ours, server, ("2023-03-12 12:00", "2023-03-16 12:00"))
    before = len(server.requests)
    past = Side(CcxtBacktesting.using(ours.store, as_of=then), ours.folder)
    (found, _) = frames(past, server, ("2023-03-12 12:00", "2023-03-16 12:00"))
    assert found.index[-1].timestamp() == epoch("2023-03-13 23:59")
    assert_same_frame(expected, found.loc[: expected.index[-1]], "as of then")
    assert len(server.requests) == before


# -- refusals -------------------------------------------------------------------------------------------------


def test_an_exchange_that_does_not_exist_is_refused_at_once(server: BinanceServer, ours: Side) -> None:
    with ours.entered(server), pytest.raises(ProviderError, match="knows no exchange 'binanse'"):
        ours.source(*map(moment, SPAN), exchange_id="binanse")


def test_an_unknown_market_is_refused_on_every_request(server: BinanceServer, ours: Side) -> None:
    with ours.entered(server), silence():
        source = ours.source(*map(moment, SPAN))
        for _ in range(2):
            with pytest.raises(UnknownMarketError, match="Binance has no market BTC/EUR"):
                source.get_last_price(Asset("BTC", "crypto"), quote=Asset("EUR", "forex"))
    assert len(server.asked(INFO)) == 1


# -- beside Lumibot's class -----------------------------------------------------------------------------------


def test_ours_are_lumibots_classes_where_lumibot_asks() -> None:
    assert issubclass(CcxtBacktesting, LumibotCcxtBacktesting)
    assert CcxtBacktesting == LumibotCcxtBacktesting
    assert CcxtBacktestingData == LumibotCcxtBacktestingData
    assert CcxtBacktesting.using("somewhere.duckdb").__name__ == "CcxtBacktesting"
    assert CcxtBacktesting != LumibotCcxtBacktestingData


def test_constructed_as_lumibot_constructs_it(server: BinanceServer, ours: Side) -> None:
    start, end = map(moment, SPAN)
    with ours.entered(server):
        theirs = LumibotCcxtBacktestingData(
            start, end, exchange_id="binance", max_data_download_limit=77, auto_adjust=True
        )
        source = CcxtBacktestingData(start, end, exchange_id="binance", max_data_download_limit=77, auto_adjust=True)
    unlike = {"cache_db", "backtesting_started"}
    for name in vars(theirs).keys() - unlike:
        kinds = (type(vars(theirs)[name]), type(vars(source)[name]))
        assert kinds[0] is kinds[1], name
        if kinds[0] in (str, int, bool, float, dict, type(None), dt.datetime):
            assert vars(theirs)[name] == vars(source)[name], name
    assert source.cache_db.max_download_limit == theirs.cache_db.max_download_limit == 77
    assert source.cache_db.exchange_id == theirs.cache_db.exchange_id


@pytest.mark.parametrize("how", ["keyword", "environment"])
def test_without_duckdb_it_is_lumibots_class(
    how: str, server: BinanceServer, ours: Side, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = Side(LumibotCcxtBacktesting, ours.folder.parent / "theirs")
    expected = frames(theirs, server)
    with mock.patch("parity.ground.FOREIGN", ()):
        if how == "environment":
            monkeypatch.setenv("LUMIBOT_USE_DUCKDB", "false")
        found = frames(ours, server, **({"use_duckdb": False} if how == "keyword" else {}))
    for left, right in zip(expected, found, strict=True):
        assert_same_frame(left, right, how)
    files = {file.relative_to(side.folder) for side in (theirs, ours) for file in side.folder.rglob("*.duckdb")}
    assert files == {Path("lumibot/binance/BTC_USDT_1m.duckdb"), Path("lumibot/binance/BTC_USDT_1h.duckdb")}


def test_a_cache_of_ones_own_is_used_as_lumibot_uses_it(server: BinanceServer, ours: Side) -> None:
    index = pd.date_range("2023-03-12", periods=3, freq="h", name="datetime")
    own = mock.Mock(spec=CcxtCacheDB)
    own.download_ohlcv.return_value = pd.DataFrame({"close": [1.0, 2.0, 3.0]}, index=index)
    with ours.entered(server):
        source = ours.source(*map(moment, SPAN))
        source.cache_db = own
        assert source.get_last_price(BITCOIN, "hour") == 3.0
    assert not server.requests


# -- the candle of today ---------------------------------------------------------------------------------------


def todays_cache(side: Side, server: BinanceServer) -> Any:
    """Return the candles of a new backtest of the last days. The side must be entered."""
    now = pd.Timestamp.now("America/New_York").to_pydatetime()
    return side.source(now - dt.timedelta(days=4), now).cache_db


def days_until_today(count: int) -> pd.DataFrame:
    """Return one minute a day, which is also the candle of its day."""
    today = pd.Timestamp.now("UTC").normalize()
    index = pd.date_range(end=today, periods=count, freq="D").as_unit("ns")
    close = pd.Series(range(100, 100 + count), index=index, dtype="float64")
    return pd.DataFrame({"open": close, "high": close + 1, "low": close - 1, "close": close, "volume": 2.5})


def naive_days_ago(days: int) -> dt.datetime:
    return (pd.Timestamp.now("UTC") - pd.Timedelta(days=days)).tz_localize(None).to_pydatetime()


def test_todays_candle_is_seen_once_when_another_process_has_stored_it(ours: Side) -> None:
    with BinanceServer() as server, ours.entered(server), silence():
        server.list_market("BTC", "USDT", days_until_today(40))
        cache = todays_cache(ours, server)
        before = cache.download_ohlcv("BTC/USDT", "1d", naive_days_ago(3), None)
        storage = DuckDBDataStorage(ours.store)
        (info,) = storage.list_series()
        assert storage.read_pandas(storage.pin(info.key)).index[-1].date() < before.index[-1].date(), "today's is open"
        closed = days_until_today(1).assign(close=7.0)
        key = info.key
        storage.store_ohlcv_data(key.asset, closed, key.source, key.timeframe, adjustment=key.adjustment)
        after = cache.download_ohlcv("BTC/USDT", "1d", naive_days_ago(9), None)
    assert after.index.is_unique
    assert after.index[-1] == before.index[-1]
    assert after["close"].iloc[-1] == 7.0
    assert after["close"].iloc[:-1].tolist() == list(range(140 - len(after), 139))


def test_todays_candle_that_repeats_an_earlier_one_is_dropped_as_in_lumibot(tmp_path: Path) -> None:
    sides = (Side(LumibotCcxtBacktesting, tmp_path / "theirs"), Side(CcxtBacktesting, tmp_path / "ours"))
    found = []
    bars = days_until_today(40)
    bars.iloc[-1] = bars.iloc[-3]
    now = naive_days_ago(0)
    with BinanceServer() as server:
        server.list_market("BTC", "USDT", bars)
        for side in sides:
            with side.entered(server), silence():
                cache = todays_cache(side, server)
                found.append([cache.download_ohlcv("BTC/USDT", "1d", naive_days_ago(days), now) for days in (5, 9)])
    for theirs, ours in zip(*found, strict=True):
        assert_same_frame(theirs, ours, "today's candle")
    # The first download drops today's candle. The second one is of the days before, and of today alone, so it is kept.
    assert [len(frame) for frame in found[0]] == [4, 9]


def test_candles_that_are_imported_during_a_backtest_are_kept_as_they_are(tmp_path: Path) -> None:
    """Lumibot's cache has dropped repeated candles already; those that it has are not looked through again."""
    storage = DuckDBDataStorage(tmp_path)
    key = series_of("BTC/USDT", "binance", "day")
    file = CandleFile(DownloadedSeries(storage, key), "BTC/USDT", "1d", CandleNumbers("BTC/USDT", exact=False))
    assert file.as_cached == []
    index = pd.date_range("2024-01-01", periods=4, freq="D", tz="UTC")
    alike = pd.DataFrame(dict.fromkeys(("open", "high", "low", "close"), 5.0), index=index).assign(volume=1.0)
    imported = TimeRange(epoch("2024-01-01"), epoch("2024-01-05"))
    note = {AS_CACHED: [[imported.start, imported.end]]}
    storage.store_ohlcv_data(key.asset, alike, key.source, key.timeframe, covered=imported, metadata=note)
    nothing = alike.iloc[:0]
    file.series.ensure(
        TimeRange(imported.start, imported.end + DAY), lambda pieces: [Delivery(piece, nothing, {}) for piece in pieces]
    )
    file.add_download(dt.datetime(2024, 1, 1), dt.datetime(2024, 1, 4))
    view = file.view(imported)
    assert view is not None
    assert view.facts.rows == 4


def test_a_dropped_candle_is_neither_in_the_times_nor_in_the_bars_of_a_view(tmp_path: Path) -> None:
    """Today's, which is not stored, either."""
    storage = DuckDBDataStorage(tmp_path)
    key = series_of("BTC/USDT", "binance", "day")
    file = CandleFile(DownloadedSeries(storage, key), "BTC/USDT", "1d", CandleNumbers("BTC/USDT", exact=False))
    alike = days_until_today(3).assign(open=5.0, high=5.0, low=5.0, close=5.0)
    first, *_, last = alike.index
    within = TimeRange(int(first.timestamp()), int(last.timestamp()) + DAY)
    file.series.ensure(within, lambda pieces: [Delivery(piece, alike, {}) for piece in pieces])
    file.add_download(first.tz_localize(None).to_pydatetime(), last.tz_localize(None).to_pydatetime())
    view = file.view(within)
    assert view is not None
    assert view.times().tolist() == view.bars(within).times.tolist() == [within.start]
