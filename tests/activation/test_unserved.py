"""A backtest on a source that we have nothing for is named before it does any work, and once."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from lumibot.backtesting import PandasDataBacktesting, PolymarketBacktesting, YahooDataBacktesting
from lumibot.data_sources import DataSourceBacktesting, PandasData
from lumibot.strategies import Strategy
from lumibot.traders import Trader

import lumibot_duckdb.backtesting as ours
from activation.activated import activated
from lumibot_duckdb import deactivate
from lumibot_duckdb.activation import unserved
from lumibot_duckdb.activation.unserved import is_served

SPAN = dt.datetime(2024, 1, 8), dt.datetime(2024, 1, 20)


class StoppedError(Exception):
    """Work has begun."""


class OfTheUser(PolymarketBacktesting):
    """Downloads bars as soon as it is constructed."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise StoppedError


class Subclass(PandasDataBacktesting):
    """A user's subclass of a class that is replaced."""


class Nothing(Strategy):
    """A strategy that is never run."""


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    messages: list[str] = []
    monkeypatch.setattr(unserved, "_say", messages.append)
    monkeypatch.setattr(unserved, "_reported", set())
    monkeypatch.delenv(unserved.CHOICE, raising=False)
    with activated():
        yield messages


def message(name: str) -> str:
    return f"lumibot-duckdb does not serve {name}: this backtest runs on Lumibot's own class, and nothing is stored"


@pytest.mark.parametrize(
    "kind", [ours.YahooDataBacktesting, ours.ProviderDataBacktesting, YahooDataBacktesting, PandasData, Subclass]
)
def test_sources_that_are_served(kind: type) -> None:
    assert is_served(kind)


@pytest.mark.parametrize("kind", [PolymarketBacktesting, OfTheUser, DataSourceBacktesting, object])
def test_sources_that_are_not(kind: type) -> None:
    assert not is_served(kind)


def test_a_backtest_is_named_before_its_source_is_constructed_and_once(said: list[str]) -> None:
    for _ in range(2):
        with pytest.raises(StoppedError):
            Nothing.run_backtest(OfTheUser, *SPAN)
        assert said == [message("OfTheUser")]


def test_so_is_one_that_the_environment_chooses(said: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lumibot.strategies._strategy._get_backtesting_class", lambda _: OfTheUser)
    for chosen in ("Polymarket", "yahoo"):
        monkeypatch.setenv(unserved.CHOICE, chosen)
        with pytest.raises(StoppedError):
            Nothing.run_backtest(YahooDataBacktesting, *SPAN)
    assert said == [message("BACKTESTING_DATA_SOURCE=Polymarket")]


def run_with(source: Any) -> None:
    """Run a trader with a strategy on a source; it fails when it begins."""
    trader = Trader(backtest=True)
    trader._strategies = [SimpleNamespace(broker=SimpleNamespace(data_source=source))]
    with pytest.raises(AttributeError):
        trader.run_all()


def test_a_source_that_the_script_constructs_is_named_when_the_run_begins(said: list[str]) -> None:
    run_with(object.__new__(OfTheUser))
    assert said == [message("OfTheUser")]


def test_neither_our_sources_nor_those_of_live_trading_are_named(said: list[str]) -> None:
    for source in (object.__new__(Subclass), object.__new__(ours.YahooDataBacktesting), SimpleNamespace()):
        run_with(source)
    assert said == []


def test_nothing_is_said_when_it_is_not_active(said: list[str]) -> None:
    deactivate()
    with pytest.raises(StoppedError):
        Nothing.run_backtest(OfTheUser, *SPAN)
    assert said == []
