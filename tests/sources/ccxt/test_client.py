"""The loopback Binance as ccxt sees it, and how our provider handles its answers, refusals and faults."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import ccxt
import numpy as np
import pandas as pd
import pytest

from lumibot_duckdb.sources.ccxt import client as provider_module
from lumibot_duckdb.sources.ccxt.client import CcxtProvider
from lumibot_duckdb.sources.provider import BarRequest, BarResponse
from lumibot_duckdb.sources.retry_policy import RetryPolicy
from lumibot_duckdb.sources.shared.errors import ProviderError, ProviderUnavailableError, UnknownMarketError
from sources.ccxt.binance_server import INFO, KLINES, BinanceServer, too_many
from sources.ccxt.exchanges import exchange_redirected_to
from wire.loopback import Answer, Fault

START = 1_678_406_400  # 2023-03-10
HOUR, DAY = 3_600, 86_400
QUICK = RetryPolicy(limit_pause=0.02, fault_pause=0.01, longest_pause=0.05)


def minutes(count: int, first: int = START, seed: int = 1) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    index = pd.to_datetime(np.arange(count) * 60 + first, unit="s", utc=True)
    close = np.exp(np.cumsum(rng.normal(0, 1e-3, count))) / 3
    columns = {"open": close, "high": close * 1.01, "low": close * 0.99, "close": close, "volume": rng.random(count)}
    return pd.DataFrame(columns, index=index)


BITCOIN = minutes(5_000)


@pytest.fixture
def server() -> Iterator[BinanceServer]:
    server = BinanceServer()
    server.list_market("BTC", "USDT", BITCOIN)
    server.list_market("LATE", "USDT", minutes(3_000, START + 40 * HOUR, seed=2))
    with server, exchange_redirected_to(server.url):
        yield server


@pytest.fixture
def provider(server: BinanceServer) -> CcxtProvider:
    return CcxtProvider(ccxt.binance(), retry_policy=QUICK)


def request_for(start: int, end: int, symbol: str = "BTC/USDT", step: str = "minute") -> BarRequest:
    return BarRequest(symbol, step, ((start, end),), asset_type="crypto", progress=False)


def downloaded(
    provider: CcxtProvider, start: int, end: int, symbol: str = "BTC/USDT", step: str = "minute"
) -> list[BarResponse]:
    return list(provider.bars(request_for(start, end, symbol, step)))


def joined(pieces: list[BarResponse]) -> pd.DataFrame:
    for before, after in pairwise(pieces):
        assert before.end == after.start
    for piece in pieces:
        assert all(piece.start <= time.timestamp() < piece.end for time in piece.bars.index)
    return pd.concat([piece.bars for piece in pieces])


def asked(server: BinanceServer) -> list[int]:
    """Return the starts of the requested ranges (epoch seconds)."""
    return [int(request.query["startTime"]) // 1000 for request in server.asked(KLINES)]


# -- the server, as ccxt sees it ------------------------------------------------------------------------------


def test_ccxt_loads_the_markets_and_pages_of_candles(server: BinanceServer) -> None:
    exchange = ccxt.binance()
    assert sorted(exchange.load_markets()) == ["BTC/USDT", "LATE/USDT"]
    assert [request.path for request in server.requests] == [INFO, "/fapi/v1/exchangeInfo", "/dapi/v1/exchangeInfo"]
    page = exchange.fetch_ohlcv("BTC/USDT", "1m", since=START * 1000, limit=3)
    expected = [[time, *row] for time, row in zip(BITCOIN.index.as_unit("ms").asi8, BITCOIN.to_numpy(), strict=True)]
    assert page == [list(map(float, row)) for row in expected[:3]]
    assert len(exchange.fetch_ohlcv("BTC/USDT", "1m", since=START * 1000, limit=5_000)) == 1_000
    assert len(exchange.fetch_ohlcv("BTC/USDT", "1m", since=START * 1000)) == 500
    hours = exchange.fetch_ohlcv("BTC/USDT", "1h", since=START * 1000)
    assert (hours[0][4], hours[1][0]) == (BITCOIN["close"].iloc[59], (START + HOUR) * 1000)
    assert exchange.fetch_ohlcv("LATE/USDT", "1m", since=START * 1000)[0][0] == (START + 40 * HOUR) * 1000
    assert "x-mbx-used-weight-1m" in exchange.last_response_headers


def test_ccxt_understands_the_servers_refusals(server: BinanceServer) -> None:
    exchange = ccxt.binance()
    exchange.load_markets()
    exchange.markets["BTC/USDT"]["id"] = "WRONG"
    with pytest.raises(ccxt.BadSymbol):
        exchange.fetch_ohlcv("BTC/USDT")
    for status in (429, 418):
        server.faults.append(Fault(KLINES, answer=too_many(3, status)))
        with pytest.raises(ccxt.DDoSProtection):
            exchange.fetch_ohlcv("LATE/USDT")
        assert exchange.last_response_headers["Retry-After"] == "3"


# -- candles --------------------------------------------------------------------------------------------------


def test_candles_come_in_pages_as_large_as_the_exchange_allows(server: BinanceServer, provider: CcxtProvider) -> None:
    frame = joined(downloaded(provider, START, START + 2_500 * 60))
    pd.testing.assert_frame_equal(frame, BITCOIN.iloc[:2_500], check_exact=True, check_freq=False, check_names=False)
    assert asked(server) == [START, START + 1_000 * 60, START + 2_000 * 60]
    assert [request.query["limit"] for request in server.asked(KLINES)] == ["1000", "1000", "500"]
    assert all(dtype == "float64" for dtype in frame.dtypes)


def test_markets_are_loaded_once(server: BinanceServer) -> None:
    for symbol in ("BTC/USDT", "LATE/USDT"):
        downloaded(CcxtProvider.of("binance"), START, START + DAY, symbol, "hour")
    assert len(server.asked(INFO)) == 1


def test_a_coin_listed_later_is_not_requested_page_by_page(server: BinanceServer, provider: CcxtProvider) -> None:
    pieces = downloaded(provider, START - 30 * DAY, START + 3 * DAY, "LATE/USDT")
    first = START + 40 * HOUR
    assert (pieces[0].start, pieces[0].end, len(pieces[0].bars)) == (START - 30 * DAY, first, 0)
    assert len(joined(pieces)) == (START + 3 * DAY - first) // 60
    assert asked(server) == [START - 30 * DAY, *range(first + 60_000, START + 3 * DAY, 60_000)]


def test_nothing_after_the_last_candle_is_an_answer(provider: CcxtProvider) -> None:
    pieces = downloaded(provider, START + 20 * DAY, START + 21 * DAY)
    assert len(joined(pieces)) == 0
    assert pieces[-1].end == START + 21 * DAY


def test_what_comes_after_the_last_candle_is_a_piece_of_its_own(provider: CcxtProvider) -> None:
    """An exchange may be late with its newest candles: that there are none is not its last word."""
    last = START + 5_000 * 60
    pieces = downloaded(provider, START, last + 120)
    assert [(piece.start, piece.end, len(piece.bars)) for piece in pieces] == [
        (START, last, 5_000),
        (last, last + 120, 0),
    ]


def test_gaps_between_candles_are_part_of_a_piece(server: BinanceServer, provider: CcxtProvider) -> None:
    server.list_market("GAPS", "USDT", BITCOIN[(BITCOIN.index.hour % 5 != 1)])
    (piece,) = downloaded(provider, START, START + DAY, "GAPS/USDT")
    assert (piece.start, piece.end, len(piece.bars)) == (START, START + DAY, DAY // 60 - 5 * 60)


def test_what_arrived_before_an_error_is_kept(server: BinanceServer, provider: CcxtProvider) -> None:
    arriving = provider.bars(request_for(START, START + 4_000 * 60))
    server.faults.append(Fault(KLINES, times=1, delay=0))  # the first page is well
    server.faults.append(Fault(KLINES, times=5, answer=Answer({"code": -1000, "msg": "no"}, 502)))
    piece = next(arriving)
    assert (piece.start, piece.end, len(piece.bars)) == (START, START + 60_000, 1_000)
    with pytest.raises(ProviderUnavailableError, match=r"Binance is not available .* 5 times in a row"):
        next(arriving)


def test_what_arrived_before_ctrl_c_is_kept(server: BinanceServer, provider: CcxtProvider) -> None:
    exchange = provider.exchange()
    fetch, calls = exchange.fetch_ohlcv, []

    def interrupted(*arguments: Any) -> Any:
        calls.append(arguments)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return fetch(*arguments)

    exchange.fetch_ohlcv = interrupted
    arriving = provider.bars(request_for(START, START + 4_000 * 60))
    assert len(next(arriving).bars) == 2_000
    with pytest.raises(KeyboardInterrupt):
        next(arriving)


def test_long_downloads_come_in_pieces(server: BinanceServer, provider: CcxtProvider, monkeypatch: Any) -> None:
    monkeypatch.setattr(provider_module, "_PAGES_PER_RESPONSE", 2)
    pieces = downloaded(provider, START, START + 5_000 * 60)
    assert [len(piece.bars) for piece in pieces] == [2_000, 2_000, 1_000]
    joined(pieces)


# -- refusals and faults --------------------------------------------------------------------------------------


def test_an_exchange_that_does_not_exist_is_named() -> None:
    with pytest.raises(ProviderError, match="knows no exchange 'binanse'"):
        CcxtProvider.of("binanse")


def test_an_unknown_market_is_a_value_error_that_names_its_kin(provider: CcxtProvider) -> None:
    with pytest.raises(UnknownMarketError, match="Binance has no market BTC/USD; of BTC it has BTC/USDT") as caught:
        downloaded(provider, START, START + HOUR, "BTC/USD")
    assert isinstance(caught.value, ValueError)


def test_a_market_that_is_gone_since_the_markets_were_loaded(server: BinanceServer, provider: CcxtProvider) -> None:
    provider.exchange()
    del server.markets["BTCUSDT"]
    with pytest.raises(UnknownMarketError, match="does not know this market"):
        downloaded(provider, START, START + HOUR)


def test_an_exchange_without_candles_reports_it(provider: CcxtProvider) -> None:
    provider.exchange().has["fetchOHLCV"] = False
    with pytest.raises(ProviderError, match="Binance gives no candles of 1m"):
        downloaded(provider, START, START + HOUR)


def test_a_place_that_is_not_served_sends_no_further_request(server: BinanceServer, provider: CcxtProvider) -> None:
    body = {"code": 0, "msg": "Service unavailable from a restricted location according to 'b. Eligibility'"}
    server.faults.append(Fault(INFO, times=9, answer=Answer(body, 451)))
    with pytest.raises(ProviderError, match="does not serve the place"):
        downloaded(provider, START, START + HOUR)
    assert len(server.asked(INFO)) == 1


@pytest.mark.parametrize("status", [429, 418])
def test_a_rate_limit_is_waited_for_and_reported(
    status: int, server: BinanceServer, provider: CcxtProvider, caplog: pytest.LogCaptureFixture
) -> None:
    server.faults.append(Fault(KLINES, times=2, answer=too_many(0, status)))
    with caplog.at_level(logging.WARNING, "lumibot_duckdb"):
        assert len(joined(downloaded(provider, START, START + HOUR))) == 60
    assert [record.getMessage() for record in caplog.records if "rate limit of Binance" in record.getMessage()]


def test_the_wait_is_as_long_as_the_exchange_asks(server: BinanceServer, provider: CcxtProvider) -> None:
    provider.exchange()
    server.faults.append(Fault(KLINES, answer=too_many(1)))
    downloaded(provider, START, START + HOUR)
    first, second = server.asked(KLINES)
    assert second.time - first.time >= 1.0


@pytest.mark.parametrize(
    "fault",
    [
        Fault(drop=True),
        Fault(answer=Answer(b"<html>")),
        Fault(answer=Answer(b"[[1, ")),
        Fault(answer=Answer({}, 503)),
        Fault(answer=Answer({}, 504)),
    ],
    ids=["broken off", "no JSON", "half of it", "503", "504"],
)
@pytest.mark.parametrize("where", [INFO, KLINES])
def test_passing_faults_are_tried_again(
    where: str, fault: Fault, server: BinanceServer, provider: CcxtProvider
) -> None:
    server.faults.append(Fault(where, times=2, answer=fault.answer, drop=fault.drop))
    frame = joined(downloaded(provider, START, START + HOUR))
    assert len(frame) == 60
    assert len(server.asked(where)) == 3


def test_an_exchange_that_cannot_be_reached_reports_it(server: BinanceServer, provider: CcxtProvider) -> None:
    server.__exit__(None, None, None)
    with pytest.raises(ProviderUnavailableError, match="Binance could not be reached"):
        downloaded(provider, START, START + HOUR)
