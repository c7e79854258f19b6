"""The sources and settings of Lumibot's example strategies, and servers with the bars that they request."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
from lumibot.entities import Asset

from lumibot_duckdb.demo.market import crypto_bars
from parity.examples import EXAMPLES, LEFT_OUT, Example
from sources.alpaca import sides as alpaca_sides
from sources.alpaca.market import served
from sources.alpaca.server import AlpacaServer
from sources.alpaca.sides import CONFIG, IN_THE_ENVIRONMENT
from sources.ccxt import sides as ccxt_sides
from sources.ccxt.binance_server import BinanceServer
from sources.ccxt.market import DOLLAR as TETHER
from sources.ccxt.market import PRICES, spring
from sources.polygon import sides as polygon_sides
from sources.polygon.market import examples, list_options
from sources.polygon.server import KEY
from sources.yahoo import sides as yahoo_sides
from sources.yahoo.market import new_york_days, walk
from sources.yahoo.server import Instrument, YahooServer

# -- Yahoo ----------------------------------------------------------------------------------------------------

# What the example strategies ask for, and what they are worth.
YAHOO_SYMBOLS = {
    "SPY": 400.0,
    "QQQ": 300.0,
    "TLT": 100.0,
    "VEU": 55.0,
    "AGG": 98.0,
    "TQQQ": 25.0,
    "UPRO": 40.0,
    "UDOW": 55.0,
    "TMF": 8.0,
    "UGL": 60.0,
    "DIG": 35.0,
    "ES=F": 4000.0,
}

ON_DAYS: dict[str, Example] = {
    "buy_and_hold": Example("stock_buy_and_hold", "BuyAndHold", "2023-03-03", "2023-03-20"),
    "bracket": Example("stock_bracket", "StockBracket", "2023-03-03", "2023-04-20", fills=2),
    "oco": Example("stock_oco", "StockOco", "2023-03-03", "2023-04-20", fills=2),
    "limit_and_trailing": Example(
        "stock_limit_and_trailing_stops", "LimitAndTrailingStop", "2023-03-03", "2023-04-20", fills=2
    ),
    "momentum": Example("stock_momentum", "Momentum", "2023-03-03", "2023-04-07", fills=3),
    "diversified_leverage": Example(
        "stock_diversified_leverage", "DiversifiedLeverage", "2023-03-03", "2023-04-15", fills=8
    ),
    "classic_60_40": EXAMPLES["classic_60_40"],
    "drift_rebalancer": EXAMPLES["drift_rebalancer"],
    "simple_start": EXAMPLES["simple_start"],
    "schedule_function": EXAMPLES["schedule_function"],
    "lifecycle_logger": EXAMPLES["lifecycle_logger"],
}


def moment(text: str) -> pd.Timestamp:
    return pd.Timestamp(text, tz="America/New_York").tz_convert("UTC")


@contextmanager
def yahoo_served() -> Iterator[YahooServer]:
    days = new_york_days("2021-06-01", "2023-06-30")
    paid = {day.date(): 0.4 for day in days[10::25]}
    instruments = {
        symbol: Instrument(walk(days, seed, price=price), dividends=paid)
        for seed, (symbol, price) in enumerate(YAHOO_SYMBOLS.items())
    }
    with YahooServer(instruments=instruments) as server:
        server.now = moment("2023-06-30 20:00")
        yield server


# -- Alpaca ---------------------------------------------------------------------------------------------------

MINUTES: dict[str, Any] = {"config": CONFIG, "timestep": "minute", "full_window": True, "history_before_start": True}
DAYS: dict[str, Any] = {"config": CONFIG, "timestep": "day", "full_window": True, "warm_up_trading_days": 15}
NOT_ON_ALPACA = {**LEFT_OUT, "forex_hold_to_expiry": "trades currencies, which Alpaca does not have"}
AROUND_THE_CLOCK = ("crypto", "ccxt", "lifecycle", "broker_functions")
# Lumibot has no day around the clock on which the clocks go forward, which is when this one runs elsewhere.
# Backtests on Alpaca begin at midnight, so those that look every few seconds are short.
OTHER_SPANS = {
    "crypto_important_functions": ("2023-03-13", "2023-03-13 00:25"),
    "broker_functions": ("2023-03-03", "2023-03-03 02:00"),
}
BY_DAYS = ("options_hold_to_expiry",)  # an option is bought in a bar in which it traded, and this one looks once a day


def on_alpaca(name: str) -> Example:
    """Return an example as it runs on Alpaca."""
    example = EXAMPLES[name]
    around_the_clock = any(word in f"{example.module} {example.config}" for word in AROUND_THE_CLOCK)
    settings = DAYS if name in BY_DAYS else MINUTES
    start, end = OTHER_SPANS.get(name, (example.start, example.end))
    keywords = {**settings, **({"market": "24/7"} if around_the_clock else {}), **example.keywords}
    return replace(example, start=start, end=end, keywords=keywords)


ON_ALPACA = {name: on_alpaca(name) for name, example in EXAMPLES.items() if example.module not in NOT_ON_ALPACA}


@contextmanager
def alpaca_served() -> Iterator[AlpacaServer]:
    market = examples()
    market = replace(market, bars=dict(market.bars), contracts=list(market.contracts))
    list_options(market, "SPY", [dt.date(2023, 3, 10)], [385.0, 386.0, 387.0], often=0.3, quiet=0)
    with served(market) as server:
        yield server


# -- exchanges ------------------------------------------------------------------------------------------------

ETH = Asset("ETH", "crypto")
BINANCE: dict[str, Any] = {"exchange_id": "binance", "quote_asset": TETHER}
REBALANCED = {
    "portfolio_weights": [
        {"base_asset": Asset("BTC", "crypto"), "weight": Decimal("0.5")},
        {"base_asset": ETH, "weight": Decimal("0.5")},
    ]
}
ON_BINANCE = {
    "crypto_50_50": replace(EXAMPLES["crypto_50_50"], parameters=REBALANCED),
    "crypto_important_functions": replace(
        EXAMPLES["crypto_important_functions"], start="2023-03-12 04:00", end="2023-03-12 04:20"
    ),
    "lifecycle_logger": EXAMPLES["lifecycle_logger"],
}
ON_DAYS_OF_BINANCE = {
    "ccxt_example": Example(
        "ccxt_backtesting_example",
        "CcxtBacktestingExampleStrategy",
        "2023-02-01",
        "2023-02-25",
        fills=2,
        parameters={"asset": (ETH, TETHER), "cash_at_risk": 0.25, "window": 21},
        keywords={"benchmark_asset": "ETH/USDT", "analyze_backtest": True},
    )
}


def days_of_binance() -> BinanceServer:
    """Return an exchange whose prices move enough for Lumibot's own CCXT example to trade."""
    days = crypto_bars("ETH", dt.date(2022, 12, 1), dt.date(2023, 3, 1)).iloc[::60]
    days = days[~days.index.duplicated()]
    days[PRICES] = (days[PRICES] / days["open"].iloc[0] * 1_500).round(2)
    for when, to in (("2023-02-07", 0.5), ("2023-02-15", 5.0)):
        days.loc[when:, PRICES] = (days.loc[when:, PRICES] * to).round(2)  # type: ignore[misc]
    server = BinanceServer()
    server.list_market("ETH", "USDT", days)
    return server


# -- all of them ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ground:
    """A source: the name of its class, Lumibot's word for it, a server, and the examples that run on it.

    `entered(folder, server)` keeps Lumibot's caches and our store in a folder. `settings` apply to every backtest.
    """

    class_name: str
    word: str
    served: Callable[[], AbstractContextManager[Any]]
    entered: Callable[[Path, Any], AbstractContextManager[None]]
    runs: Mapping[str, Example]
    settings: Mapping[str, Any]


def _on_alpacas_ground(folder: Path, server: AlpacaServer) -> AbstractContextManager[None]:
    return alpaca_sides.Side(None, folder).entered(server, **IN_THE_ENVIRONMENT)


GROUNDS = {
    "polygon": Ground(
        "PolygonDataBacktesting",
        "polygon",
        lambda: examples().served(),
        lambda folder, server: polygon_sides.Side(None, folder).entered(server),
        EXAMPLES,
        {"polygon_api_key": KEY},
    ),
    "yahoo": Ground(
        "YahooDataBacktesting",
        "yahoo",
        yahoo_served,
        lambda folder, server: yahoo_sides.Side(None, folder).entered(server),
        ON_DAYS,
        {},
    ),
    "alpaca": Ground("AlpacaBacktesting", "alpaca", alpaca_served, _on_alpacas_ground, ON_ALPACA, {}),
    "ccxt": Ground(
        "CcxtBacktesting",
        "ccxt",
        lambda: spring().server(),
        lambda folder, server: ccxt_sides.Side(None, folder).entered(server),
        ON_BINANCE,
        BINANCE,
    ),
    "ccxt days": Ground(
        "CcxtBacktesting",
        "ccxt",
        days_of_binance,
        lambda folder, server: ccxt_sides.Side(None, folder).entered(server),
        ON_DAYS_OF_BINANCE,
        BINANCE,
    ),
}
