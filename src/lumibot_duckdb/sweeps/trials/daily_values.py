"""The value of a portfolio at the end of each day, while its backtest runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

from lumibot_duckdb.lumibot_contract import strategy_access


def report_daily_values(report: Callable[[int, float], None]) -> None:
    """Call `report` with the number of each day (from 0) and the value at its end, when the next day begins."""
    strategy_access.wrap_iterations(_Days(report).note)


class _Days:
    def __init__(self, report: Callable[[int, float], None]) -> None:
        self._report = report
        self._day: date | None = None
        self._number = 0
        self._value: float | None = None

    def note(self, row: Mapping[str, Any]) -> None:
        """Take the statistics of an iteration."""
        when, value = row.get("datetime"), row.get("portfolio_value")
        if when is None or value is None:
            return
        if self._day is not None and when.date() != self._day and self._value is not None:
            self._report(self._number, self._value)
            self._number += 1
        self._day, self._value = when.date(), float(value)
