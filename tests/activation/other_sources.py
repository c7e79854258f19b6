"""Backtests on Lumibot's sources without a counterpart of ours, each against servers on this machine.

Importing this module loads none of our modules that change Lumibot, so a process can run them without us.
"""

from __future__ import annotations

import datetime as dt
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any
from unittest import mock

import pandas as pd
from lumibot.backtesting import (
    DataBentoDataBacktesting,
    InteractiveBrokersRESTBacktesting,
    PandasDataBacktesting,
    PolymarketBacktesting,
    ThetaDataBacktesting,
)
from lumibot.entities import Asset
from lumibot.tools import data_downloader_queue_client, databento_helper_polars, ibkr_helper, thetadata_helper

from activation.databento_server import DatabentoServer, databento_redirected_to
from activation.downloader_server import DownloaderServer
from activation.polymarket_server import PolymarketServer
from calendars import schedules_kept
from parity.backtests import BacktestResult, run
from parity.ground import environment, only_loopback, silence
from parity.series import NEW_YORK, walk
from parity.strategies import ChainBuyer, Crossing, ManyHorizons
from sources.yahoo.ground import yahoo_at
from sources.yahoo.market import new_york_days
from sources.yahoo.market import walk as daily_walk
from sources.yahoo.server import Instrument, YahooServer

NOW = pd.Timestamp("2023-03-17 20:00", tz=NEW_YORK).tz_convert("UTC")
MEASURED = {"benchmark_asset": "SPY", "risk_free_rate": None}  # both come from Yahoo on every source
SPAN = ("2023-03-07", "2023-03-10")
CHAIN: dict[str, Any] = {
    "expirations": ["2023-03-03", "2023-03-17", "2023-03-24"],
    "strikes": [float(strike) for strike in range(90, 115)],
}
RAIN, NO_RAIN = "111", "222"

Requests = list[tuple[str, list[tuple[str, str]]]]

# Requests with this in their path have these parameters, which depend on the clock: until now.
CLOCKED = {"/v8/finance/chart/": ("period1", "period2"), "v2/hist/stock/split": ("end_date",)}


@dataclass(frozen=True)
class Ground:
    """The environment of a backtest: the arguments of `run_backtest`, and how to list the provider's requests."""

    settings: dict[str, Any]
    asked: Callable[[], Requests]


@dataclass(frozen=True)
class Run:
    """The outcome of a backtest: its result, the requests made for it, Lumibot's cache files, and the stores.

    The result is without its strategy; of that there is the class of its source, its benchmark and its risk-free rate.
    """

    result: BacktestResult
    source_class: type
    benchmark: pd.DataFrame
    rate: float
    requests: dict[str, Requests]
    files: list[str]
    stores: list[str]


@cache
def around_the_clock() -> pd.DatetimeIndex:
    minutes = pd.date_range("2023-02-26", "2023-03-11", freq="1min", tz=NEW_YORK)
    return minutes[minutes.hour != 17]


@cache
def stocks() -> dict[str, pd.DataFrame]:
    days = new_york_days("2023-02-13", "2023-03-17")
    opened = [pd.date_range(f"{day.date()} 09:30", periods=390, freq="1min", tz=NEW_YORK) for day in days]
    minutes = opened[0].append(opened[1:])
    return {"QQQ": walk(1, minutes), "SPY": walk(2, minutes)}


@cache
def listed() -> dict[str, Instrument]:
    """Return what the Yahoo server has: the stocks' dividends, the benchmark, the risk-free rate."""
    days = new_york_days("2023-01-03", "2023-03-17")
    funds = {
        symbol: Instrument(daily_walk(days, seed), kind="ETF", dividends={dt.date(2023, 3, 8): 0.5})
        for seed, symbol in enumerate(stocks())
    }
    return {**funds, "^IRX": Instrument(daily_walk(days, 7, price=5.0), kind="INDEX")}


# -- the grounds ----------------------------------------------------------------------------------------------


@contextmanager
def downloader(folder: Path) -> Iterator[DownloaderServer]:
    """Point Lumibot at a downloader on this machine, and keep its caches in a folder."""
    thetadata, broker = thetadata_helper, ibkr_helper
    with ExitStack() as stack:
        server = stack.enter_context(DownloaderServer(minutes=stocks(), **CHAIN))
        address = {"DATADOWNLOADER_BASE_URL": server.url, "DATADOWNLOADER_API_KEY": "loopback"}
        stack.enter_context(mock.patch.dict("os.environ", address))
        # The client keeps the address that it was made with; the other is read from the environment at import.
        stack.enter_context(mock.patch.object(data_downloader_queue_client, "_queue_client", None))
        stack.enter_context(mock.patch.object(thetadata, "REMOTE_DOWNLOADER_ENABLED", True))
        for module in (thetadata, broker):
            stack.enter_context(mock.patch.object(module, "LUMIBOT_CACHE_FOLDER", str(folder)))
        for module, remembered in (
            (thetadata, "_event_cache_memory"),
            (broker, "_IBKR_EQUITY_ACTIONS_CACHE"),
            (broker, "_IBKR_EQUITY_BASIS_CACHE"),
            (broker, "_RUNTIME_CONID_CACHE"),
        ):
            stack.enter_context(mock.patch.dict(getattr(module, remembered), clear=True))
        yield server


@contextmanager
def theta_data(folder: Path) -> Iterator[Ground]:
    # Without a downloader Lumibot ends every ThetaTerminal on the machine; with one it must not, and must not here.
    with mock.patch.object(ThetaDataBacktesting, "kill_processes_by_name") as killed, downloader(folder) as server:
        yield Ground({}, server.submitted)
    killed.assert_not_called()


@contextmanager
def interactive_brokers(folder: Path) -> Iterator[Ground]:
    """It asks Yahoo, by Lumibot's helper, for the corporate actions up to the present."""
    now = mock.patch.object(ibkr_helper, "_ibkr_history_now_utc", NOW.to_pydatetime)
    with now, downloader(folder) as server:
        yield Ground({}, server.submitted)


@contextmanager
def databento(folder: Path) -> Iterator[Ground]:
    march = walk(3, around_the_clock())
    with (
        DatabentoServer(minutes={"MESH3": march, "MESM3": march + 20}) as server,
        databento_redirected_to(server.url),
        mock.patch.object(databento_helper_polars, "LUMIBOT_DATABENTO_CACHE_FOLDER", str(folder)),
        mock.patch.dict(databento_helper_polars._INSTRUMENT_DEFINITION_CACHE, clear=True),
    ):
        yield Ground({"api_key": "loopback"}, server.logged)


@contextmanager
def polymarket(folder: Path) -> Iterator[Ground]:
    chance = (walk(4, around_the_clock())["close"] / 250).round(4)
    with PolymarketServer(slug="rain", prices={RAIN: chance, NO_RAIN: 1 - chance}) as server:
        markets = [{"slug": "rain", "outcome": "Yes"}, {"slug": "rain", "outcome": "No"}]
        settings = {"config": {"CLOB_URL": server.url, "GAMMA_URL": server.url}, "markets": markets}
        yield Ground(settings, server.logged)


def _steady(requests: Requests) -> Requests:
    """Leave out what depends on the clock."""
    return [
        (path, [(name, value) for name, value in query if not any(k in path and name in v for k, v in CLOCKED.items())])
        for path, query in requests
    ]


# -- the sources ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Other:
    """A source: its class, its name in the environment, the environment that it runs in, and what is traded."""

    source_class: Any
    name: str
    ground: Callable[[Path], AbstractContextManager[Ground]]
    assets: list[tuple[str, str]]
    market: str = "NYSE"


@dataclass(frozen=True)
class Way:
    """A strategy and its parameters, and how it is started: by the source's class, or by its name."""

    strategy: Any
    parameters: dict[str, Any]
    by_name: bool

    def backtest(self, other: Other, folder: Path) -> Run:
        """Run it on a source, in a new folder."""
        cached = folder / "cache"
        said = {"BACKTESTING_DATA_SOURCE": other.name} if self.by_name else {}
        given = PandasDataBacktesting if self.by_name else other.source_class
        # Their own assets for each: Lumibot writes multipliers on them.
        parameters = {"assets": [Asset(symbol, kind) for symbol, kind in other.assets], "market": other.market}
        with (
            YahooServer(instruments=listed(), now=NOW) as yahoo,
            yahoo_at(yahoo, folder / "yahoo"),
            other.ground(cached) as ground,
            environment({**said, "LUMIBOT_DUCKDB_PATH": str(folder / "store.duckdb")}),
            only_loopback(),
        ):
            settings = {**MEASURED, **ground.settings}
            result = run(self.strategy, given, folder / "run", *SPAN, {**self.parameters, **parameters}, **settings)
            strategy = result.strategy
            return Run(
                result=replace(result, strategy=None),
                source_class=type(strategy.broker.data_source),
                benchmark=strategy._benchmark_returns_df,
                rate=float(strategy.risk_free_rate),
                requests={"provider": _steady(ground.asked()), "yahoo": _steady(yahoo.logged())},
                files=sorted(str(path.relative_to(cached)) for path in cached.rglob("*")),
                stores=[str(path) for path in folder.rglob("*.duckdb*")],
            )


OTHERS = {
    other.name: other
    for other in (
        Other(ThetaDataBacktesting, "thetadata", theta_data, [("QQQ", "stock"), ("SPY", "stock")]),
        Other(InteractiveBrokersRESTBacktesting, "ibkr", interactive_brokers, [("QQQ", "stock"), ("SPY", "stock")]),
        Other(DataBentoDataBacktesting, "databento", databento, [("MES", "cont_future")], "us_futures"),
        Other(
            PolymarketBacktesting,
            "polymarket",
            polymarket,
            [(RAIN, "prediction_contract"), (NO_RAIN, "prediction_contract")],
            "24/7",
        ),
    )
}
PACKAGES = ("lumibot_duckdb.backtesting", "lumibot_duckdb.sources", "lumibot_duckdb.windows")
OURS = ("lumibot_duckdb.backtesting", "lumibot_duckdb.activation.activation", "sources.yahoo.sides")
STEPS = [(20, "minute"), (6, "5 minutes"), (4, "hour"), (3, "day")]
WAYS = {
    "minutes": Way(Crossing, {"sleeptime": "1H", "length": 6}, by_name=True),
    "days": Way(Crossing, {"sleeptime": "1D", "step": "day", "length": 5}, by_name=False),
    "all steps": Way(ManyHorizons, {"sleeptime": "12H", "requests": STEPS}, by_name=True),
    "options": Way(ChainBuyer, {"sleeptime": "4H"}, by_name=True),
}


def backtests(
    folder: Path, wanted: Iterable[tuple[str, str]], active: bool
) -> tuple[dict[tuple[str, str], Run], list[str]]:
    """Run these, by source and way, with us or without; return them and the names of our modules in the process."""
    with silence(), schedules_kept(), ExitStack() as stack:
        if active:
            stack.enter_context(import_module("activation.activated").activated())
            use_ours(folder / "ours")
        runs = {(name, way): WAYS[way].backtest(OTHERS[name], folder / name / way) for name, way in wanted}
    return runs, sorted(name for name in sys.modules if name.startswith(PACKAGES))


def use_ours(folder: Path) -> None:
    """Load all our sources and backtest on one, which wraps parts of Lumibot permanently."""
    ours, activation, sides = (import_module(name) for name in OURS)
    for name in activation.LUMIBOT_MODULES:
        getattr(ours, name)
    side = sides.Side(ours.YahooDataBacktesting, folder)
    parameters = {"assets": [Asset("QQQ")], **WAYS["days"].parameters}
    with YahooServer(instruments=listed(), now=NOW) as yahoo, side.entered(yahoo):
        run(Crossing, side.source_class, folder / "run", *SPAN, parameters, **MEASURED)
    assert side.store.exists()
