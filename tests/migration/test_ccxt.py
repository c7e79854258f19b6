"""Lumibot's CCXT files brought into a store: backtests on it, offline, are those of Lumibot on its own cache."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd
import pytest
from lumibot.entities import Asset

from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.migration.ccxt import CcxtReader
from migration.moving import moved, snapshot
from parity.ccxt_market import DOLLAR, moment, spring
from parity.ccxt_sides import Side, both_sides
from parity.harness import assert_same_frame
from wire.binance_server import KLINES, BinanceServer

COINS = ["BTC", "TINY", "HALF", "GAPS", "IDLE", "NULL"]
# Of the days from the 9th to the 13th, the last two first, so that what is alike in both is twice in the file.
SPANS = [("2023-03-12 07:13", "2023-03-13 16:00"), ("2023-03-10 07:13", "2023-03-11 12:00")]
WHOLE = ("2023-03-10 07:13", "2023-03-13 16:00")


@pytest.fixture(scope="module")
def server() -> Iterator[BinanceServer]:
    with spring().server() as server:
        yield server


@pytest.fixture(scope="module")
def sides(server: BinanceServer, tmp_path_factory: pytest.TempPathFactory) -> tuple[Side, Side]:
    """Return Lumibot's side with a cache of its own making, and ours with a store into which that was brought."""
    theirs, ours = both_sides(tmp_path_factory.mktemp("ccxt"))
    for span in [*SPANS, WHOLE]:
        for coin in COINS:
            frames(theirs, server, coin, "minute", *span)
    frames(theirs, server, "BTC", "hour", *WHOLE)
    frames(theirs, server, "BTC", "day", *WHOLE)
    cache = theirs.folder / "lumibot"
    before = snapshot(cache)
    assert moved(CcxtReader(cache), DuckDBDataStorage(ours.store)) == {}
    assert snapshot(cache) == before
    return theirs, ours


def frames(side: Side, server: BinanceServer, coin: str, timestep: str, start: str, end: str) -> list[Any]:
    """Return what a source over a span gives for a coin at some moments, and the last prices there."""
    with side.entered(server):
        source = side.source(moment(start), moment(end))
        asset, found = Asset(coin, "crypto"), []
        for at in pd.date_range(start, end, periods=4, tz="America/New_York"):
            source._datetime = at.to_pydatetime().replace(second=0)
            bars = source.get_historical_prices(asset, 300, timestep, quote=DOLLAR)
            found += [None if bars is None else bars.df, source.get_last_price(asset, timestep, quote=DOLLAR)]
        return found


@pytest.mark.parametrize(("coin", "timestep"), [*((coin, "minute") for coin in COINS), ("BTC", "hour"), ("BTC", "day")])
def test_frames_and_prices_are_those_of_lumibot(
    coin: str, timestep: str, sides: tuple[Side, Side], server: BinanceServer
) -> None:
    theirs, ours = sides
    before = len(server.asked(KLINES))
    expected = frames(theirs, server, coin, timestep, *WHOLE)
    asked = len(server.asked(KLINES)) - before
    before = len(server.asked(KLINES))
    actual = frames(ours, server, coin, timestep, *WHOLE)
    for left, right in zip(expected, actual, strict=True):
        if isinstance(left, pd.DataFrame):
            assert_same_frame(left, right, f"{coin} {timestep}")
        else:
            assert repr(left) == repr(right)
    # Lumibot, too, asks each time for what its file lacks: before the listing, and after the last candle that it kept.
    assert len(server.asked(KLINES)) - before == (
        asked if (coin, timestep) in (("IDLE", "minute"), ("BTC", "day")) else 0
    )
