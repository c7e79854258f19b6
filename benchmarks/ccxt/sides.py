"""The two CCXT sources, for a process that reaches no other machine."""

from __future__ import annotations

from datetime import datetime, timedelta
from importlib import import_module
from typing import Any
from unittest import mock

from benchmarks.ccxt.bars import END, EXCHANGE, QUOTE, START
from benchmarks.sides import new_york
from lumibot_duckdb.demo.market import symbol_names

OPPONENT = "Lumibot's CcxtBacktesting"
_MODULES = {"lumibot": "lumibot.backtesting", "duckdb": "lumibot_duckdb.backtesting"}


def source_class(side: str) -> Any:
    """Import what a script of this side imports, and its reader of candles; return its data source class."""
    for module in ("lumibot.strategies", "lumibot.entities", "ccxt", "duckdb", "pyarrow"):
        import_module(module)
    return import_module(_MODULES[side]).CcxtBacktesting


def make_source(side: str, start: str = START) -> Any:
    """Return a data source up to the end of the year. Lumibot's loads markets first; here there are none."""
    import ccxt

    with mock.patch.object(ccxt.Exchange, "load_markets", return_value={}):
        return source_class(side)(new_york(start), new_york(END), exchange_id=EXCHANGE, show_progress_bar=False)


def pairs(count: int) -> list[Any]:
    """Return the first `count` coins, each with its quote."""
    from lumibot.entities import Asset

    return [(Asset(coin, "crypto"), Asset(QUOTE, "crypto")) for coin in symbol_names(count)]


def clock(day: str, minutes: int) -> list[datetime]:
    """Return `minutes` minutes, beginning at midnight of a day."""
    return [new_york(day) + timedelta(minutes=minute) for minute in range(minutes)]
