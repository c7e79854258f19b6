"""The two Yahoo sources, for a process that sends no request to Yahoo."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from importlib import import_module
from typing import Any
from unittest import mock

from benchmarks.sides import new_york
from benchmarks.yahoo.bars import END, START

OPPONENT = "Lumibot's YahooDataBacktesting"
_MODULES = {"lumibot": "lumibot.backtesting", "duckdb": "lumibot_duckdb.backtesting"}
_READERS = {"lumibot": "lumibot.tools.yahoo_helper", "duckdb": "lumibot_duckdb.duckdb_storage"}


def source_class(side: str) -> Any:
    """Import what a script of this side imports, and its reader of bars; return its data source class."""
    for module in ("lumibot.strategies", "lumibot.entities", _READERS[side]):
        import_module(module)
    return import_module(_MODULES[side]).YahooDataBacktesting


def make_source(side: str) -> Any:
    """Return a data source for a backtest over the year."""
    return source_class(side)(datetime_start=new_york(START), datetime_end=new_york(END), show_progress_bar=False)


def mornings(first: str, days: int) -> Iterator[datetime]:
    """Yield the opening times of `days` weekdays, the clock of a daily backtest."""
    day = new_york(first).date()
    while days > 0:
        if day.weekday() < 5:
            days -= 1
            yield new_york(day.isoformat()) + timedelta(hours=9, minutes=30)
        day += timedelta(days=1)


@contextmanager
def nothing_asked() -> Iterator[None]:
    """Refuse requests to Yahoo, and fail at the end if anything sent one, because Lumibot swallows the error."""
    from curl_cffi.requests import Session

    asked: list[str] = []

    def refused(session: Any, method: str, url: str, **settings: Any) -> Any:
        asked.append(url)
        raise ConnectionError(f"a benchmark tried to reach {url}")

    with mock.patch.object(Session, "request", refused):
        yield
    if asked:
        raise AssertionError(f"a benchmark tried to reach {asked[0]}")
