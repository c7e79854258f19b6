"""What a process needs, besides the clients, when the store stands in for the providers.

No keys, since nobody looks at them; no pauses, since they are manners towards a provider; and time that stands still,
so that our own sources take what is stored for all there is.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from typing import Any

import lumibot.credentials  # it must have seen the environment as it is: with a key in it, it would start a broker
from lumibot.backtesting import AlpacaBacktesting as LumibotAlpacaBacktesting
from lumibot.strategies import _strategy
from lumibot.tools import ccxt_data_store, polygon_helper, yahoo_helper

from lumibot_duckdb.sources.alpaca import chains as alpaca_chains
from lumibot_duckdb.sources.shared.enhanced_data_source import EnhancedDataSourceBacktesting
from lumibot_duckdb.sources.shared.replacing import replaced

PLACEHOLDER = "no-key-is-needed-here"
_POLYGON = "POLYGON_API_KEY"
_ALPACA = ("ALPACA_API_KEY", "ALPACA_API_SECRET")
_ALPACA_TOKEN = "ALPACA_OAUTH_TOKEN"
_AS_MANY_AS_THERE_ARE = 10**9


class _TimeWithoutPauses:
    """The module `time`, but nobody sleeps."""

    def sleep(self, seconds: float) -> None:
        """Return at once."""

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)


@contextmanager
def of_a_stored_provider(as_of: datetime) -> Iterator[None]:
    """Let sources be made without keys, do without pauses, and read our own ones as of a moment."""
    unhurried = _TimeWithoutPauses()
    with ExitStack() as conditions:
        for name in _missing_keys():
            conditions.enter_context(_in_the_environment(name))
        # Lumibot's modules have taken over what the environment said when they were imported.
        for module in (lumibot.credentials, _strategy, polygon_helper):
            if not getattr(module, _POLYGON):
                conditions.enter_context(replaced(module, _POLYGON, PLACEHOLDER))
        for module in (yahoo_helper, ccxt_data_store, polygon_helper):
            conditions.enter_context(replaced(module, "time", unhurried))
        requests_a_minute = "ALPACA_MAX_REQUESTS_PER_MINUTE"
        conditions.enter_context(replaced(LumibotAlpacaBacktesting, requests_a_minute, _AS_MANY_AS_THERE_ARE))
        conditions.enter_context(replaced(EnhancedDataSourceBacktesting, "everyones_as_of", as_of))
        conditions.enter_context(replaced(alpaca_chains, "GOOD_FOR", timedelta.max))
        yield


def _missing_keys() -> list[str]:
    """Return which of the variables that Lumibot's sources insist on are not set."""
    names = [_POLYGON]
    if not (_is_set(_ALPACA_TOKEN) or all(map(_is_set, _ALPACA))):
        names += _ALPACA
    return [name for name in names if not _is_set(name)]


def _is_set(name: str) -> bool:
    return bool(os.environ.get(name, "").strip())


@contextmanager
def _in_the_environment(name: str) -> Iterator[None]:
    before = os.environ.get(name)
    os.environ[name] = PLACEHOLDER
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = before
