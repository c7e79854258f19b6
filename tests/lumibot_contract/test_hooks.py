"""The adapters: their hooks have the parameters of Lumibot's, and their own names are not Lumibot's."""

from __future__ import annotations

from inspect import Parameter, signature
from typing import Any

import pytest

from lumibot_duckdb.lumibot_contract.alpaca_hooks import AlpacaHooks
from lumibot_duckdb.lumibot_contract.ccxt_hooks import CcxtCacheHooks, CcxtHooks
from lumibot_duckdb.lumibot_contract.own_bars_hooks import OwnBarsHooks
from lumibot_duckdb.lumibot_contract.pandas_data_hooks import PandasDataHooks
from lumibot_duckdb.lumibot_contract.polygon_hooks import PolygonHooks
from lumibot_duckdb.lumibot_contract.yahoo_hooks import YahooHooks

_ADAPTERS = (AlpacaHooks, CcxtCacheHooks, CcxtHooks, OwnBarsHooks, PandasDataHooks, PolygonHooks, YahooHooks)
_OVERRIDDEN = {"get_historical_prices"}


def _lumibots(adapter: type) -> tuple[type, ...]:
    return tuple(each for each in adapter.__mro__ if each.__module__.startswith("lumibot."))


def _hooks() -> list[tuple[type, str]]:
    return [(each, name) for each in _ADAPTERS for name in vars(each) if _is_hook(each, name)]


def _is_hook(adapter: type, name: str) -> bool:
    return not name.startswith(("__", "_abc")) and any(name in vars(each) for each in _lumibots(adapter))


def _parameters(method: Any) -> list[tuple[str, bool]]:
    """Return the parameters and whether each has a default."""
    return [(each.name, each.default is not Parameter.empty) for each in signature(method).parameters.values()]


def test_there_are_hooks() -> None:
    assert len(_hooks()) > 15


@pytest.mark.parametrize(("adapter", "name"), _hooks())
def test_a_hook_takes_what_lumibots_takes(adapter: type, name: str) -> None:
    theirs = next(vars(each)[name] for each in _lumibots(adapter) if name in vars(each))
    ours = _parameters(vars(adapter)[name])
    if ("request", False) in ours:  # `request` is passed on by keyword
        return
    assert ours == _parameters(theirs)


@pytest.mark.parametrize("adapter", _ADAPTERS)
def test_public_names_are_new_ones(adapter: type) -> None:
    public = {name for name in vars(adapter) if not name.startswith("_")} - _OVERRIDDEN
    taken = {name for each in _lumibots(adapter) for name in public if hasattr(each, name)}
    assert not taken
