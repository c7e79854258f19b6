"""Points the clients of a side's process at loopback servers, as `parity/*_sides.py` does in a test's own process.

Python imports this at its start in every process that has this folder on its path. Only base addresses are changed,
sleeps left out, and schedules of exchanges worked out once; caches and the store lie where the environment says, as for
anybody.
"""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from datetime import datetime, timezone
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

_stack = ExitStack()  # to the end of the process


def _polygon(url: str) -> None:
    from sources.polygon.loopback_client import client_redirected_to

    _stack.enter_context(client_redirected_to(url))


def _alpaca(url: str) -> None:
    from lumibot.backtesting.alpaca_backtesting import AlpacaBacktesting

    from sources.alpaca.loopback_client import clients_redirected_to

    _stack.enter_context(mock.patch.object(AlpacaBacktesting, "ALPACA_MAX_REQUESTS_PER_MINUTE", 1_000_000))
    _stack.enter_context(clients_redirected_to(url))


def _ccxt(url: str) -> None:
    from lumibot.tools import ccxt_data_store

    from sources.ccxt.exchanges import exchange_redirected_to

    _stack.enter_context(mock.patch.object(ccxt_data_store, "time", SimpleNamespace(sleep=lambda seconds: None)))
    _stack.enter_context(exchange_redirected_to(url))


def _yahoo(url: str) -> None:
    from lumibot.tools import yahoo_helper

    from lumibot_duckdb import clock
    from sources.yahoo.loopback_client import yfinance_redirected_to

    now = datetime.fromtimestamp(float(os.environ["TEST_NOW"]), timezone.utc)
    helper = yahoo_helper.YahooHelper
    _stack.enter_context(mock.patch.object(helper, "sleep_and_get_proxy", staticmethod(lambda: None)))
    _stack.enter_context(mock.patch.object(yahoo_helper, "time", SimpleNamespace(sleep=lambda seconds: None)))
    _stack.enter_context(mock.patch.object(clock, "utc_now", return_value=now))
    _stack.enter_context(yfinance_redirected_to(url, Path(os.environ["LUMIBOT_CACHE_FOLDER"], "yfinance")))


if "lumibot_duckdb.comparison.worker" in sys.orig_argv:
    from calendars import schedules_kept
    from parity.ground import only_loopback

    for redirect in (_polygon, _alpaca, _ccxt, _yahoo):
        if address := os.environ.get(f"TEST{redirect.__name__.upper()}"):
            redirect(address)
    _stack.enter_context(schedules_kept())
    _stack.enter_context(only_loopback())
