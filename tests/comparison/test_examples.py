"""`lumibot-duckdb compare` on every example strategy that ships with Lumibot and can run, on all four sources."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from comparison.example import example_of
from comparison.ground import compare, on_ground
from parity.alpaca_market import served
from parity.alpaca_sides import IN_THE_ENVIRONMENT
from parity.ccxt_market import spring
from parity.examples import EXAMPLES
from parity.polygon_market import examples, list_options
from parity.test_alpaca_strategies import LEFT_OUT_HERE
from parity.test_ccxt_strategies import RUN_ON_BINANCE, server_of_lumibots_own
from parity.test_yahoo_strategies import ON_DAYS, SYMBOLS, moment
from parity.yahoo_market import new_york_days, walk
from wire.yahoo_server import Instrument, YahooServer

SCRIPT = Path(__file__).with_name("example.py")
ON_EACH = {
    "polygon": list(EXAMPLES),
    "yahoo": list(ON_DAYS),
    "alpaca": [name for name, example in EXAMPLES.items() if example.module not in LEFT_OUT_HERE],
    "ccxt": list(RUN_ON_BINANCE),
}
YAHOO_NOW = moment("2023-06-30 20:00")


@contextmanager
def polygon() -> Iterator[dict[str, str]]:
    with examples().served() as server:
        yield {"TEST_POLYGON": server.url, "POLYGON_WAIT_SECONDS_RETRY": "1", "POLYGON_MAX_RETRY_ATTEMPTS": "1"}


@contextmanager
def yahoo() -> Iterator[dict[str, str]]:
    days = new_york_days("2021-06-01", "2023-06-30")
    paid = {day.date(): 0.4 for day in days[10::25]}
    instruments = {
        symbol: Instrument(walk(days, seed, price=price), dividends=paid)
        for seed, (symbol, price) in enumerate(SYMBOLS.items())
    }
    with YahooServer(instruments=instruments) as server:
        server.now = YAHOO_NOW
        yield {"TEST_YAHOO": server.url, "TEST_NOW": str(YAHOO_NOW.timestamp())}


@contextmanager
def alpaca() -> Iterator[dict[str, str]]:
    market = examples()
    market = replace(market, bars=dict(market.bars), contracts=list(market.contracts))
    list_options(market, "SPY", [dt.date(2023, 3, 10)], [385.0, 386.0, 387.0], often=0.3, quiet=0)
    with served(market) as server:
        yield {"TEST_ALPACA": server.url, **IN_THE_ENVIRONMENT}


@contextmanager
def ccxt() -> Iterator[dict[str, str]]:
    with spring().server() as server:
        yield {"TEST_CCXT": server.url}


SERVED: dict[str, Callable[[], Any]] = {"polygon": polygon, "yahoo": yahoo, "alpaca": alpaca, "ccxt": ccxt}


@pytest.fixture(scope="module", params=list(SERVED))
def source(request: pytest.FixtureRequest) -> Iterator[tuple[str, dict[str, str]]]:
    with SERVED[request.param]() as settings:
        yield request.param, settings


@pytest.mark.again
@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_gives_the_same(name: str, source: tuple[str, dict[str, str]], tmp_path: Path) -> None:
    where, settings = source
    if (where, name) == ("ccxt", "ccxt_example"):
        pytest.skip("has a market of its own, below")
    if name not in ON_EACH[where]:
        pytest.skip(f"does not run on {where}, see parity/test_{where}_strategies.py")
    assert_compared(where, name, settings, tmp_path)


@pytest.mark.again
def test_lumibots_own_example_of_ccxt_gives_the_same(tmp_path: Path) -> None:
    with server_of_lumibots_own() as server:
        assert_compared("ccxt", "ccxt_example", {"TEST_CCXT": server.url}, tmp_path)


def assert_compared(where: str, name: str, settings: dict[str, str], folder: Path) -> None:
    """Compare an example; it must be identical, with enough trades for that to say something."""
    with on_ground(folder, settings):
        answer = compare(SCRIPT, where, name)
    assert answer.code == 0, answer.out + answer.err
    said = re.search(r"^identical: ([\d,]+) fills? with", answer.out, re.MULTILINE)
    assert said is not None, answer.out
    example, _ = example_of(where, name)
    assert int(said[1].replace(",", "")) >= example.fills
