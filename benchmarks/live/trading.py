"""A strategy in Lumibot's live executor, on `AlpacaData`, which times its own iterations."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.bars import SYMBOLS
from benchmarks.live.broker import DAY
from benchmarks.live.faults import STATES

_BARS = 100
_UNTIMED = 3
"""Iterations at first, which import modules and fill caches."""
_MINUTE = dt.timedelta(minutes=1)


def trade(url: str, folder: str, recording: str, state: str, seconds: float, warm_up: bool = False) -> dict[str, Any]:
    """Trade for some seconds; return the times of each iteration in seconds, and what became of the bars.

    Parameters:
        url: the broker.
        folder: where the store, the results and Lumibot's caches are.
        recording: "none", "bars", or "session", which are bars and what the strategy sees.
        state: of the store, a name in `STATES`.
        seconds: how long.
        warm_up: whether the history comes from the store, which is filled first.
    """
    from sources.alpaca.loopback_client import clients_redirected_to

    store = Path(folder) / "bars.duckdb"
    with ExitStack() as entered:
        entered.enter_context(clients_redirected_to(url))
        clock = entered.enter_context(_market_clock())
        if warm_up:
            _fill(store)
        counts = entered.enter_context(_recorded(store, recording, warm_up))
        strategy = _strategy()
        executor = strategy._executor
        wall: list[float] = []

        def step() -> None:
            clock.let_pass(minutes=1)
            executor.cron_count = executor.cron_count_target = 1
            started = time.perf_counter()
            executor._on_trading_iteration()
            wall.append(time.perf_counter() - started)

        def session() -> None:
            for _ in range(_UNTIMED):
                step()
            with STATES[state](store):
                end = time.perf_counter() + seconds
                while time.perf_counter() < end:
                    step()

        executor._run_trading_session = session
        executor.run()
        return {
            "first": wall[0],
            "wall": wall[_UNTIMED:],
            "cpu": strategy.cpu[_UNTIMED:],
            "read": strategy.reads[_UNTIMED * SYMBOLS :],
            "counts": counts(),
        }


@contextmanager
def _market_clock() -> Iterator[Any]:
    """Set the time to the morning of the day that is traded."""
    from zoneinfo import ZoneInfo

    from lumibot.data_sources import alpaca_data

    from live.reads.moments import set_clock

    morning = dt.datetime.combine(DAY, dt.time(9, 40, 1), ZoneInfo("America/New_York"))
    with set_clock(morning, alpaca_data) as clock:
        yield clock


@contextmanager
def _recorded(store: Path, recording: str, warm_up: bool) -> Iterator[Callable[[], dict[str, int]]]:
    """Record live trading, or do not; yield what counts the bars."""
    if recording == "none":
        yield dict
        return
    from lumibot_duckdb import live

    active = live.activate(store, warm_up=warm_up, backfill=False, sessions=recording == "session")
    assert active is not None

    def counts() -> dict[str, int]:
        active.recorder.flush()
        return {**asdict(active.recorder.counts), "lost": active.recorder.lost}

    try:
        yield counts
    finally:
        live.deactivate()


def _fill(store: Path) -> None:
    """Record the history that a strategy reads."""
    with _recorded(store, "bars", warm_up=False):
        source = _source()
        for asset in _assets():
            assert source.get_historical_prices(asset, _BARS, "minute") is not None


def _source() -> Any:
    from lumibot.data_sources.alpaca_data import AlpacaData

    from sources.alpaca.sides import CONFIG

    return AlpacaData(dict(CONFIG), delay=0)  # of a plan with the latest bars


def _assets() -> list[Any]:
    from lumibot.entities import Asset

    from lumibot_duckdb.demo.market import symbol_names

    return [Asset(symbol) for symbol in symbol_names(SYMBOLS)]


def _strategy() -> Any:
    """Return a strategy that compares means of its symbols' last bars."""
    from lumibot.strategies import Strategy

    from live.live_loop import USD, Market, MarketBroker

    class Rising(Strategy):  # type: ignore[misc]
        def initialize(self) -> None:
            self.sleeptime = "1M"
            self.assets = _assets()
            self.cpu: list[float] = []
            self.reads: list[float] = []

        def on_trading_iteration(self) -> None:
            used = time.thread_time()
            for asset in self.assets:
                started = time.perf_counter()
                closes = self.get_historical_prices(asset, _BARS, "minute").df["close"]
                self.reads.append(time.perf_counter() - started)
                assert len(closes) == _BARS
                self.vars.rising = closes.iloc[-20:].mean() > closes.mean()
            self.cpu.append(time.thread_time() - used)

    broker = MarketBroker(Market(dt.datetime(2024, 3, 12, tzinfo=dt.timezone.utc), 1))
    broker.data_source = _source()
    return Rising(broker=broker, quote_asset=USD, risk_free_rate=0.0, benchmark_asset=None)
