"""Lumibot's Yahoo pickles brought into a store: backtests on it, offline, are those of Lumibot on its own cache."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pandas as pd
import pytest
from lumibot.tools import YahooHelper, yahoo_helper

from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.backtesting.yahoo_history import YahooHistory
from lumibot_duckdb.migration.yahoo import YahooReader
from lumibot_duckdb.providers.yahoo import YahooProvider
from migration.moving import moved, snapshot, written_at
from parity.backtests import BacktestResult, run
from parity.yahoo_market import made_up, new_york_days, walk, with_minutes
from parity.yahoo_sides import Side, both_sides
from wire.yahoo_server import Instrument, YahooServer

NEW_YORK = "America/New_York"
SATURDAY = pd.Timestamp("2024-06-29 12:00", tz=NEW_YORK).tz_convert("UTC")
SYMBOLS = ["AAA", "FUND", "BTC-USD", "ES=F", "GAPS", "^GSPC", "VOD.L", "7203.T", "SILENT", "YOUNG"]


def saturday() -> dt.datetime:
    return SATURDAY.tz_convert(NEW_YORK).to_pydatetime()


@pytest.fixture(scope="module")
def server() -> Iterator[YahooServer]:
    instruments = made_up(dt.date(2024, 6, 28))
    days = new_york_days("2024-05-01", "2024-06-28").date
    with_minutes(instruments["AAA"], 1, days[-6:], ("09:30", "16:00"))
    with_minutes(instruments["VOD.L"], 2, days[-6:], ("08:00", "16:30"))
    instruments["^IRX"] = Instrument(walk(new_york_days("2021-06-28", "2024-06-28"), 77, price=5.0))
    instruments["SPY"] = Instrument(walk(new_york_days("2021-06-28", "2024-06-28"), 78, price=400.0))
    with YahooServer(instruments=instruments) as server:
        server.now = SATURDAY
        yield server


@pytest.fixture(scope="module")
def sides(server: YahooServer, tmp_path_factory: pytest.TempPathFactory) -> tuple[Side, Side]:
    """Return Lumibot's side with a cache of its own making, and ours with a store into which that was brought."""
    theirs, ours = both_sides(tmp_path_factory.mktemp("yahoo"))
    with theirs.entered(server), mock.patch.object(yahoo_helper, "get_lumibot_datetime", saturday):
        for symbol in [*SYMBOLS, "SPY", "^IRX"]:
            YahooHelper.get_symbol_data(symbol, last_needed_datetime=SATURDAY.to_pydatetime())
        for symbol in ("AAA", "VOD.L"):
            YahooHelper.get_symbol_data(symbol, interval="1m")
    cache = theirs.folder / "cache"
    cache.mkdir()
    (theirs.folder / "lumibot").rename(cache / "yahoo")
    (theirs.folder / "lumibot").symlink_to(cache / "yahoo")
    written_at(cache, server.moment())
    before = snapshot(cache)
    assert moved(YahooReader(cache), DuckDBDataStorage(ours.store)) == {}
    assert snapshot(cache) == before
    return theirs, ours


def asked(
    server: YahooServer, side: Side, strategy: Any, parameters: Any, **settings: Any
) -> tuple[BacktestResult, int]:
    before = len(server.requests)
    with side.entered(server):
        result = run(
            strategy, side.source_class, side.folder / "run", "2024-02-01", "2024-05-31", parameters, **settings
        )
    return result, len(server.requests) - before


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_the_history_is_the_one_that_lumibot_has(symbol: str, sides: tuple[Side, Side], server: YahooServer) -> None:
    theirs, ours = sides
    before = len(server.requests)
    with theirs.entered(server):
        last_needed = SATURDAY.to_pydatetime() - dt.timedelta(days=2)
        expected = YahooHelper.fetch_symbol_data(symbol, last_needed_datetime=last_needed)
    with ours.entered(server):
        history = YahooHistory(DuckDBDataStorage(ours.store), YahooProvider(), symbol)
        history.have(last_needed)
        pd.testing.assert_frame_equal(history.frame(), expected, check_exact=True, check_freq=False)
    assert len(server.requests) == before
