"""Forward returns and triple-barrier labels, against a plain model."""

from __future__ import annotations

from math import isfinite, log
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.market import DATA, bars_of, market, stored_frames
from hypothesis_settings import examples
from lumibot_duckdb.analytics.bars import Bars, bars_with_close
from lumibot_duckdb.panels import ForwardReturn, PanelError, Target, TripleBarrier
from lumibot_duckdb.panels.targets import UNKNOWN, checked_targets
from lumibot_duckdb.storage.api import BarArrays

Decided = tuple[float | None, int]
"""A value (None: missing), and the place of the bar that decides it."""


def plain_return(bars: Bars, place: int, target: ForwardReturn) -> Decided:
    later = place + target.bars
    if later >= len(bars) or bars.close[place] <= 0 or (target.log and bars.close[later] <= 0):
        return None, UNKNOWN
    ratio = bars.close[later] / bars.close[place]
    return (log(ratio) if target.log else ratio - 1), later


def plain_label(bars: Bars, place: int, target: TripleBarrier, volatility: Any) -> Decided:
    close, unit = bars.close[place], 1.0 if volatility is None else volatility[place]
    if close <= 0 or not isfinite(unit) or unit <= 0:
        return None, UNKNOWN
    for later in range(place + 1, place + target.bars + 1):
        if later == len(bars):
            return None, UNKNOWN
        highest, lowest = (
            (bars.high[later], bars.low[later]) if target.touch == "range" else (bars.close[later], bars.close[later])
        )
        rises = target.up is not None and highest >= close * (1 + target.up * unit)
        falls = target.down is not None and lowest <= close * (1 - target.down * unit)
        if rises and falls:
            return (1.0 if target.both == "up" else -1.0), later
        if rises or falls:
            return (1.0 if rises else -1.0), later
    return 0.0, place + target.bars


def assert_decided(target: Target, bars: Bars, outputs: Any, expected: list[Decided]) -> None:
    found = target.outcome(bars, outputs)
    values = [None if np.isnan(value) else value for value in found.values]
    assert [value is None for value in values] == [value is None for value, _ in expected]
    np.testing.assert_allclose(found.values, [np.nan if v is None else v for v, _ in expected], rtol=1e-12, atol=1e-15)
    assert found.decided_by.tolist() == [place for _, place in expected]


@given(market(), st.integers(1, 70), st.booleans())
@examples(150)
def test_forward_returns(bars: Bars, n: int, log: bool) -> None:
    target = ForwardReturn(n, log=log)
    assert_decided(target, bars, {}, [plain_return(bars, place, target) for place in range(len(bars))])


distances = st.sampled_from([None, 0.001, 0.01, 0.05, 0.5])


@st.composite
def barriers(draw: st.DrawFn) -> TripleBarrier:
    up = draw(distances)
    down = draw(distances if up is not None else distances.filter(lambda each: each is not None))
    length = draw(st.integers(1, 70))
    touch, both = draw(st.sampled_from(["range", "close"])), draw(st.sampled_from(["down", "up"]))
    return TripleBarrier(up, down, length, draw(st.sampled_from([None, 2, 5])), touch, both)


@given(market(), barriers(), st.data())
@examples(400)
def test_triple_barrier_labels(bars: Bars, target: TripleBarrier, data: st.DataObject) -> None:
    volatility = None
    if target.volatility is not None:
        drawn = st.sampled_from([np.nan, 0.0, 0.5, 1.0, 30.0])
        volatility = np.array(data.draw(st.lists(drawn, min_size=len(bars), max_size=len(bars))))
    outputs = dict.fromkeys(target.indicators, (volatility,))
    expected = [plain_label(bars, place, target, volatility) for place in range(len(bars))]
    assert_decided(target, bars, outputs, expected)


@pytest.mark.long
@pytest.mark.skipif(not DATA.exists(), reason="no real data")
@pytest.mark.parametrize("target", [TripleBarrier(0.01, 0.02, 30), TripleBarrier(None, 0.001, 90, touch="close")])
def test_labels_of_real_bars(target: TripleBarrier) -> None:
    for symbol, _, table in stored_frames():
        bars = bars_of(table.dropna())
        expected = [plain_label(bars, place, target, None) for place in range(len(bars))]
        found = target.outcome(bars, {})
        assert found.decided_by.tolist() == [place for _, place in expected], symbol
        np.testing.assert_array_equal(found.values, [np.nan if value is None else value for value, _ in expected])


def flat(*closes: float, high: list[float] | None = None, low: list[float] | None = None) -> Bars:
    close = np.array(closes, float)
    columns = {"close": close, "high": np.array(high or close), "low": np.array(low or close)}
    return Bars(np.arange(len(close)) * 60, columns)


def labels(target: TripleBarrier, bars: Bars) -> list[float | None]:
    return [None if np.isnan(value) else float(value) for value in target.outcome(bars, {}).values]


def test_the_first_barrier_that_is_touched_counts() -> None:
    bars = flat(100, 100, 100, 100, high=[100, 101, 103, 100], low=[100, 100, 97, 96])
    assert labels(TripleBarrier(0.02, 0.02, 3), bars)[0] == -1  # both in one bar: the pessimistic one
    assert labels(TripleBarrier(0.02, 0.02, 3, both="up"), bars)[0] == 1
    assert labels(TripleBarrier(0.01, 0.02, 3), bars)[0] == 1  # a bar before
    assert labels(TripleBarrier(0.02, 0.02, 3, touch="close"), bars)[0] == 0
    assert labels(TripleBarrier(0.02, 0.02, 1), bars)[0] == 0  # the vertical barrier is first
    assert labels(TripleBarrier(None, 0.035, 3), bars)[0] == -1
    assert labels(TripleBarrier(0.04, None, 3), bars)[0] == 0


def test_what_is_not_decided_yet_has_no_label() -> None:
    rising = flat(100, 100, 100, 103)
    assert labels(TripleBarrier(0.02, 0.02, 3), rising) == [1, 1, 1, None]
    assert labels(TripleBarrier(0.05, 0.05, 3), rising) == [0, None, None, None]
    assert labels(TripleBarrier(0.05, 0.05, 3), flat()) == []


def test_prices_that_stay_the_same() -> None:
    halt = flat(*[100.0] * 5)
    assert labels(TripleBarrier(0.02, 0.02, 2), halt) == [0, 0, 0, None, None]
    scaled = TripleBarrier(1, 1, 2, volatility=2)
    found = scaled.outcome(halt, {scaled.indicators[0]: (np.zeros(5),)})
    assert np.isnan(found.values).all()  # both barriers would be at the price
    assert ForwardReturn(2).outcome(halt, {}).values[:3].tolist() == [0, 0, 0]


def test_prices_of_zero_or_less_have_no_target() -> None:
    bars = flat(0.0, -1.0, 2.0, 3.0, -37.0, 5.0)
    assert labels(TripleBarrier(0.5, 0.5, 1), bars) == [None, None, 1, -1, None, None]
    assert np.isnan(ForwardReturn(1).outcome(bars, {}).values).tolist() == [True, True, False, False, True, True]
    logs = ForwardReturn(1, log=True).outcome(bars, {}).values
    assert np.isnan(logs).tolist() == [True, True, False, True, True, True]


def test_missing_numbers_of_bars() -> None:
    """A bar without a close is none, and one without high or low has those of the close."""
    nan = np.nan
    table = {"close": np.array([100.0, nan, 100, 104]), "high": np.array([100.0, 200, nan, nan]), "low": [100.0] * 4}
    arrays = BarArrays(np.arange(4) * 60, {name: np.array(column, float) for name, column in table.items()})
    bars = bars_with_close(arrays, ("high", "low"), "UTC", "it")
    assert labels(TripleBarrier(0.03, 0.03, 2), bars) == [1, 1, None]
    assert TripleBarrier(0.03, 0.03, 2).outcome(bars, {}).decided_by.tolist() == [2, 2, UNKNOWN]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: ForwardReturn(0), "ForwardReturn: bars must be a whole number from 1 to 100000, not 0"),
        (lambda: ForwardReturn(2.5), "not 2.5"),  # type: ignore[arg-type]
        (lambda: ForwardReturn(True), "not True"),
        (lambda: TripleBarrier(0.1, 0.1, 0), "TripleBarrier: bars must be a whole number"),
        (lambda: TripleBarrier(0.1, 1.5, 5), "down must be a number above 0 and below 1, or None, not 1.5"),
        (lambda: TripleBarrier(-0.1, 0.1, 5), "up must be a number above 0, or None, not -0.1"),
        (lambda: TripleBarrier(float("nan"), 0.1, 5), "up must be a number above 0, or None, not nan"),
        (lambda: TripleBarrier("2%", 0.1, 5), "not '2%'"),  # type: ignore[arg-type]
        (lambda: TripleBarrier(None, None, 5), "up and down are both None"),
        (lambda: TripleBarrier(1, 2, 5, volatility=1), "volatility must be a whole number from 2 to 100000, not 1"),
        (lambda: TripleBarrier(1, 0.5, 5, touch="low"), "touch must be one of range, close, not 'low'"),  # type: ignore[arg-type]
        (lambda: TripleBarrier(1, 0.5, 5, both="no"), "both must be one of down, up, not 'no'"),  # type: ignore[arg-type]
        (lambda: checked_targets("forward_return(5)"), r"'forward_return\(5\)' is not a target: pass objects such as"),  # type: ignore[arg-type]
        (lambda: checked_targets([5]), "5 is not a target"),  # type: ignore[list-item]
    ],
)
def test_mistakes(wrong: Any, message: str) -> None:
    with pytest.raises(PanelError, match=message):
        wrong()


def test_names_differ() -> None:
    targets = [
        ForwardReturn(5),
        ForwardReturn(5, log=True),
        TripleBarrier(0.02, 0.02, 5),
        TripleBarrier(0.02, None, 5),
        TripleBarrier(None, 0.02, 5),
        TripleBarrier(0.02, 0.02, 5, 20),
        TripleBarrier(0.02, 0.02, 5, 20, "close"),
        TripleBarrier(0.02, 0.02, 5, both="up"),
    ]
    assert len({target.name for target in targets}) == len(targets)
    assert checked_targets([*targets, ForwardReturn(5)]) == tuple(targets)
