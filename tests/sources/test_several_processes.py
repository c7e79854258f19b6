"""Processes that download from Yahoo, Alpaca and an exchange into one store at once, and one that is killed."""

from __future__ import annotations

import datetime as dt
import logging
import os
import signal
import threading
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from lumibot.entities import Asset

from faults.workers import start
from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.demo.market import crypto_bars, us_stock_bars
from sources.alpaca import sides as alpaca_sides
from sources.alpaca.server import AlpacaServer
from sources.ccxt import sides as ccxt_sides
from sources.ccxt.binance_server import BinanceServer
from sources.yahoo import sides as yahoo_sides
from sources.yahoo.market import new_york_days, walk
from sources.yahoo.server import Instrument, YahooServer
from wire.loopback import Fault

START, END = (pd.Timestamp(day, tz="America/New_York").to_pydatetime() for day in ("2024-03-04", "2024-03-15"))
NOW = pd.Timestamp("2024-04-02 18:00", tz="UTC")
BITCOIN = (Asset("BTC", "crypto"), Asset("USDT", "crypto"))
REQUESTS: dict[str, list[tuple[Any, str]]] = {
    "yahoo": [(Asset("SPY"), "day"), (Asset("QQQ"), "day")],
    "alpaca": [(Asset("SPY"), "minute"), (Asset("SPY"), "15min")],
    "ccxt": [(BITCOIN, "minute"), (BITCOIN, "day")],
}
SIDES = {
    "yahoo": yahoo_sides.both_sides,
    "alpaca": alpaca_sides.both_sides,
    "ccxt": ccxt_sides.both_sides,
}


@pytest.fixture(scope="module", autouse=True)
def outlines() -> None:
    """Store outlines of long series only, as other processes do."""


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, Any]]:
    days = new_york_days("2015-01-02", "2024-04-02")
    paid = {day.date(): 1.2 for day in days[10::63]}
    with YahooServer() as yahoo, AlpacaServer() as alpaca, BinanceServer() as binance:
        yahoo.instruments = {
            name: Instrument(walk(days, seed), dividends=paid) for seed, name in enumerate(("SPY", "QQQ"))
        }
        yahoo.now = NOW
        alpaca.serve("stock", "SPY", us_stock_bars("SPY", dt.date(2024, 3, 1), dt.date(2024, 3, 20)))
        binance.list_market("BTC", "USDT", crypto_bars("BTC", dt.date(2024, 2, 20), dt.date(2024, 3, 17)))
        yield {"yahoo": yahoo, "alpaca": alpaca, "ccxt": binance}


def frames(name: str, url: str, folder: Path, store: Path) -> list[pd.DataFrame]:
    """Return what a backtest on a source sees at its end, downloading what the store lacks."""
    side = SIDES[name](folder / name)[1]
    server: Any = SimpleNamespace(url=url, moment=lambda: NOW)
    storage = DuckDBDataStorage(store)
    with side.entered(server):
        source = side.source_class.using(storage)(
            **{"datetime_start": START, "datetime_end": END, "show_progress_bar": False, **side.usual}
        )
        source._datetime = END - dt.timedelta(days=1, hours=-11)
        return [source.get_historical_prices(asset, 20, timestep).df for asset, timestep in REQUESTS[name]]


def report(names: list[str], urls: dict[str, str], folder: Path, store: Path, pipe: Connection) -> None:
    """Send what a backtest on each of the sources sees, or what went wrong."""
    logging.disable(logging.CRITICAL)
    try:
        pipe.send({name: frames(name, urls[name], folder, store) for name in names})
    except Exception as error:
        pipe.send(f"{type(error).__name__}: {error}")


def test_processes_fill_one_store_and_see_what_a_run_alone_sees(servers: dict[str, Any], tmp_path: Path) -> None:
    urls = {name: server.url for name, server in servers.items()}
    store = tmp_path / "shared.duckdb"
    orders = (["yahoo", "alpaca", "ccxt"], ["ccxt", "yahoo", "alpaca"])
    running = [start(report, names, urls, tmp_path / str(number), store) for number, names in enumerate(orders)]
    alone = {name: frames(name, urls[name], tmp_path / "alone", tmp_path / "alone.duckdb") for name in urls}
    for process, pipe in running:
        assert pipe.poll(120), "a process does not finish"
        seen = pipe.recv()
        assert isinstance(seen, dict), seen
        for name, expected in alone.items():
            for left, right in zip(expected, seen[name], strict=True):
                assert len(left) == 20
                pd.testing.assert_frame_equal(left, right, check_exact=True)
        process.join(30)
        assert process.exitcode == 0
    storage = DuckDBDataStorage(store)
    assert storage.verify().sound
    for server in servers.values():
        server.requests.clear()
    for name in urls:
        frames(name, urls[name], tmp_path / "afterwards", store)
    assert [servers[name].requests for name in ("yahoo", "alpaca")] == [[], []]
    candles = [each for each in servers["ccxt"].requests if each.path.endswith("klines")]
    # As in Lumibot, each run requests the days before the first candle again.
    assert [each.query["interval"] for each in candles] == ["1d"]
    assert int(candles[0].query["startTime"]) < pd.Timestamp("2024-02-20", tz="UTC").timestamp() * 1000


def test_a_download_of_candles_that_was_killed_continues_where_it_was(servers: dict[str, Any], tmp_path: Path) -> None:
    server, store = servers["ccxt"], tmp_path / "killed.duckdb"
    expected = frames("ccxt", server.url, tmp_path / "alone", tmp_path / "alone.duckdb")
    pages = [request for request in server.asked("klines") if request.query["interval"] == "1m"]
    assert len(pages) > 10
    server.requests.clear()
    held = threading.Event()
    server.faults.append(Fault("klines", times=1_000, after=len(pages) - 2, until=held))
    process, _ = start(report, ["ccxt"], {"ccxt": server.url}, tmp_path / "killed", store)
    try:
        deadline = time.monotonic() + 60
        while not DuckDBDataStorage(store).list_series() and time.monotonic() < deadline:
            time.sleep(0.05)
        os.kill(process.pid, signal.SIGKILL)
        process.join()
    finally:
        held.set()
        server.faults.clear()
    server.requests.clear()
    for left, right in zip(expected, frames("ccxt", server.url, tmp_path / "again", store), strict=True):
        pd.testing.assert_frame_equal(left, right, check_exact=True)
    asked = [request for request in server.asked("klines") if request.query["interval"] == "1m"]
    assert 0 < len(asked) < len(pages), "what had arrived was asked for again"
