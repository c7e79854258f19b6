"""A backtest has the parameters of its session, except for those of which only a text was stored."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest
from lumibot.entities import Asset

from lumibot_duckdb.live.replay.backtest import _pause_of, changed_parameters, changed_sleeptime, exact_parameters
from lumibot_duckdb.live.session.recording import _is_exact


class Own:
    parameters = {"asset": Asset("SPY"), "until": date(2024, 6, 3), "n": 5}  # noqa: RUF012


@pytest.mark.parametrize(
    ("value", "stored", "exact"),
    [(5, 5, True), (5.0, 5, False), ("x", "x", True), ([1, {"a": None}], [1, {"a": None}], True), ((1,), [1], False)],
)
def test_what_is_stored_exactly(value: Any, stored: Any, exact: bool) -> None:
    assert _is_exact(value, stored) is exact


def test_only_exact_parameters_are_restored() -> None:
    from lumibot_duckdb.comparison.parameters import parameter_values

    stored = parameter_values(
        {"asset": Asset("QQQ"), "until": date(2024, 6, 3), "n": 7, "key": "[hidden]"}, frozenset()
    )
    settings = {"parameters": stored, "inexact_parameters": ["asset", "until", "key"]}
    assert exact_parameters(settings) == {"n": 7}
    assert changed_parameters(Own, settings) == ["asset"]
    assert exact_parameters({}) == {}
    assert changed_parameters(object, {}) == []


@pytest.mark.parametrize(
    ("sleeptime", "pause"),
    [
        ("1M", {"minutes": 1}),
        ("30S", {"minutes": 1}),
        ("90 s", {"seconds": 90}),
        ("5", {"minutes": 5}),
        ("2H", {"hours": 2}),
        ("1D", {"days": 1}),
        ("2.0", {"minutes": 2}),
        ("each full moon", {"days": 1}),
    ],
)
def test_the_pause_between_iterations(sleeptime: str, pause: dict[str, int]) -> None:
    assert _pause_of({"sleeptime": sleeptime}) == timedelta(**pause)


@pytest.mark.parametrize(
    ("sleeptime", "backtest", "changed"),
    [("1M", "5M", True), ("60S", "1M", False), ("5", "5m", False), ("each full moon", "1M", False), ("", "", False)],
)
def test_another_sleeptime_is_noticed(sleeptime: str, backtest: str, changed: bool) -> None:
    assert changed_sleeptime(backtest, {"sleeptime": sleeptime}) is changed
