"""Updates of candles from other exchanges than Binance, as their messages reach ccxt."""

from __future__ import annotations

import math
from typing import Any
from unittest import mock

import ccxt
import pytest

from lumibot_duckdb.live.streams.ccxt_connection import CandleUpdates, CcxtConnection
from lumibot_duckdb.live.streams.streamed_candles import Candle

pytestmark = pytest.mark.xdist_group("ccxt_streams")

START = 1_700_000_040
NUMBERS = ("1.5", "2.5", "1.25", "2", "10.5")
MILLISECONDS = str(START * 1000)
KRAKEN = {
    "channel": "ohlc",
    "type": "update",
    "data": [
        {
            "symbol": "BTC/USDT",
            **dict(zip(("open", "high", "low", "close", "volume"), map(float, NUMBERS), strict=True)),
            "interval_begin": "2023-11-14T22:14:00.000000000Z",
            "interval": 1,
        }
    ],
}
OKX = {
    "arg": {"channel": "candle1m", "instId": "BTC-USDT"},
    "data": [[MILLISECONDS, *NUMBERS, "0", "0", "0"]],
}
BYBIT = {
    "topic": "kline.1.BTCUSDT",
    "type": "snapshot",
    "data": [{"start": START * 1000, **dict(zip(("open", "high", "low", "close", "volume"), NUMBERS, strict=True))}],
}
KUCOIN = {
    "type": "message",
    "topic": "/market/candles:BTC-USDT_1min",
    "subject": "trade.candles.update",
    "data": {
        "symbol": "BTC-USDT",
        "candles": [str(START), NUMBERS[0], NUMBERS[3], NUMBERS[1], NUMBERS[2], NUMBERS[4], "0"],
        "time": START * 10**9,
    },
}
BITGET = {
    "action": "update",
    "arg": {"instType": "SPOT", "channel": "candle1m", "instId": "BTCUSDT"},
    "data": [[MILLISECONDS, *NUMBERS, "0", "0"]],
}


@pytest.mark.parametrize(
    ("exchange_id", "market", "message"),
    [
        ("kraken", "XBTUSDT", KRAKEN),
        ("okx", "BTC-USDT", OKX),
        ("bybit", "BTCUSDT", BYBIT),
        ("kucoin", "BTC-USDT", KUCOIN),
        ("bitget", "BTCUSDT", BITGET),
    ],
)
def test_updates_of_an_exchange(exchange_id: str, market: str, message: Any) -> None:
    """Each exchange has code of its own in ccxt, which has to use the cache that it finds."""
    source = getattr(ccxt, exchange_id)()
    names = {"id": market, "symbol": "BTC/USDT", "base": "BTC", "quote": "USDT", "type": "spot", "spot": True}
    source.set_markets([source.safe_market_structure({**names, "info": {"wsname": "BTC/USDT"}})])
    on_update = mock.Mock()
    connection = CcxtConnection(source, ["BTC/USDT"], "1m", on_update)
    client = mock.Mock(url="wss://spot.example", subscriptions={})
    connection._exchange.handle_message(client, message)
    assert connection.take_updates("BTC/USDT") == [Candle(START, 1.5, 2.5, 1.25, 2.0, 10.5)]
    assert connection.take_updates("BTC/USDT") == []
    on_update.assert_called_once_with()


def test_a_message_that_is_no_candle_is_ignored() -> None:
    on_update = mock.Mock()
    updates = CandleUpdates(on_update)
    for numbers in (
        [1, 2, 3, 4, "x"],
        [1, 2, 3, None, 5],
        [1, 2, 0, 1, 5],
        [1, 2, 3, math.inf, 5],
        [1, 2, 3, 4, -5],
        [1],
    ):
        updates.append([START * 1000, *numbers])
    updates.append([None, 1, 2, 3, 4, 5])
    assert not on_update.called
    updates.append([START * 1000, 1, 2, 3, 4, None])
    (candle,) = updates.take()
    assert candle.start == START
    assert math.isnan(candle.volume)


def test_updates_that_arrive_together_are_all_seen() -> None:
    """ccxt's own cache changes a candle in place, so the last update would be all that is left of several."""
    updates = CandleUpdates(lambda: None)
    for volume in (1, 3, 2):
        updates.append([START * 1000, 1, 1, 1, 1, volume])
    assert [candle.volume for candle in updates.take()] == [1, 3, 2]
    assert updates[-1][5] == 2
