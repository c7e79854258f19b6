"""The risk-free rate with which Lumibot computed a backtest's statistics."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

from lumibot_duckdb.lumibot_contract import strategy_access

_noted: WeakKeyDictionary[Any, float] = WeakKeyDictionary()
_installed = False


def note_risk_free_rates() -> None:
    """Note each rate that Lumibot reads from now on, because reading it again may download it. Idempotent.

    Call it after our sources are activated, so that the rates they serve are noted too.
    """
    global _installed
    if _installed:
        return
    _installed = True
    strategy_access.wrap_risk_free_rate(_noting)


def risk_free_rate_of(strategy: Any) -> float:
    """Return the rate that Lumibot read last; else the one that the strategy was given; else 0."""
    if strategy in _noted:
        return _noted[strategy]
    return strategy_access.given_risk_free_rate(strategy) or 0.0


def _noting(read: Any) -> Any:
    def noted(strategy: Any) -> Any:
        rate = read(strategy)
        _noted[strategy] = float(rate or 0.0)
        return rate

    return noted
