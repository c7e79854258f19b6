"""Another exchange: Coinbase returns at most 300 candles, newest first, and none beyond the requested range."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pandas as pd
from lumibot.entities import Asset

from parity.ground import silence
from parity.harness import Request, ask, assert_same_answer
from sources.ccxt.coinbase_server import CoinbaseServer
from sources.ccxt.market import moment, spring
from sources.ccxt.sides import both_sides

EXCHANGE = "coinbaseexchange"
USD = Asset("USD", "forex")
SPAN = (moment("2023-03-11 20:00"), moment("2023-03-12 20:00"))


def answers(folder: Path, minutes: pd.DataFrame, **settings: Any) -> tuple[list[Any], list[Any], CoinbaseServer]:
    """Return the answers of both classes on Coinbase.

    A second run of ours gives the same. It requests again what lies outside of the candles, as Lumibot's does, no more.
    """
    coin = Asset("BTC", "crypto")
    asked = [
        Request(SPAN[1], kind, coin, USD, length, "minute", shift, *SPAN)  # type: ignore[arg-type]
        for kind, length, shift in (
            ("history", 60, None),
            ("history", None, dt.timedelta(minutes=-1)),
            ("last_price", 1, None),
            ("between_dates", 1, None),
        )
    ]
    with CoinbaseServer({"BTC-USD": minutes}) as server, silence():
        found, requests = [], []
        theirs, ours = both_sides(folder, EXCHANGE)
        for side in (theirs, theirs, ours, ours):
            server.requests.clear()
            with side.entered(server):
                source = side.source(*SPAN, **settings)
                found.append([ask(source, request) for request in asked])
            requests.append(len(server.requests))
    assert 0 < requests[3] <= requests[1]
    assert requests[3] < requests[2]
    for request, once, again in zip(asked, found[2], found[3], strict=True):
        assert_same_answer(request, once, again)
    return found[0], found[2], server


def test_the_same_answers_from_coinbase(tmp_path: Path) -> None:
    theirs, ours, _ = answers(tmp_path, spring().minutes["GAPS"].tz_convert("UTC"))
    for left, right in zip(theirs, ours, strict=True):
        assert_same_answer(Request(SPAN[1], "history", Asset("BTC")), left, right)
    assert len(theirs[1].value.df) > 100


def test_a_coin_seldom_traded_is_downloaded_to_its_end_where_lumibot_gives_up(tmp_path: Path) -> None:
    """Lumibot continues after the last candle of a page, and allows as many pages as there would be without gaps."""
    minutes = spring().minutes["BTC"].tz_convert("UTC").iloc[::160]
    theirs, ours, _ = answers(tmp_path, minutes)
    assert theirs[0].error is RuntimeError
    assert ours[2].value == minutes.loc[: pd.Timestamp(SPAN[1]), "close"].iloc[-1].round(3)  # type: ignore[misc]
