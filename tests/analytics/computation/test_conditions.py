"""No value depends on a later bar, and whatever the bars are, no value is infinite."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.market import REQUESTS, SHORT, bars_of, frame, market
from hypothesis_settings import examples
from lumibot_duckdb.analytics.bars import Bars, bars_with_close
from lumibot_duckdb.analytics.computation.engine import outputs
from lumibot_duckdb.analytics.computation.ta_lib_engine import TaLibEngine
from lumibot_duckdb.storage.api import BarArrays

ENGINE = TaLibEngine(pytest.importorskip("talib"))


def values_of(name: str, bars: Bars, *, short: bool = True) -> list[Any]:
    return list(outputs(ENGINE, (SHORT if short else REQUESTS)[name], bars))


@given(market(), st.data())
@examples(60)
def test_no_value_depends_on_later_bars(bars: Bars, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(bars)))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    factors = np.ones(len(bars))
    factors[place:] = rng.uniform(0.1, 10, len(bars) - place)
    later = Bars(bars.times, {name: column * factors for name, column in bars.columns.items()})
    cut = bars.chosen(slice(0, place))
    for name in SHORT:
        for now, then, alone in zip(values_of(name, bars), values_of(name, later), values_of(name, cut), strict=True):
            np.testing.assert_array_equal(now[:place], then[:place], err_msg=name)
            np.testing.assert_array_equal(now[:place], alone, err_msg=name)


@given(market(), st.data())
@examples(60)
def test_a_value_is_a_number_or_missing(bars: Bars, data: st.DataObject) -> None:
    with_gaps = {name: column.copy() for name, column in bars.columns.items()}
    for name in data.draw(st.sets(st.sampled_from(sorted(with_gaps)))):
        for _ in range(data.draw(st.integers(0, 3))):
            place = data.draw(st.integers(0, len(bars) - 1))
            with_gaps[name][place] = data.draw(st.sampled_from([np.nan, np.inf, -np.inf, 0.0, -5.0, 1e300, 1e-300]))
    stored = BarArrays(bars.times, with_gaps)
    kept = bars_with_close(stored, tuple(with_gaps), "America/New_York", "AAPL")
    assert len(kept) == np.isfinite(with_gaps["close"]).sum()
    for name in SHORT:
        for values in values_of(name, kept):
            assert values.dtype == np.float64
            assert len(values) == len(kept)
            assert not np.isinf(values).any(), name


@pytest.mark.parametrize("name", SHORT)
@pytest.mark.parametrize("rows", [0, 1, 2])
def test_short_series_have_no_values_yet(name: str, rows: int) -> None:
    for values in values_of(name, bars_of(frame(60)).chosen(slice(0, rows)), short=False):
        assert len(values) == rows
        if name not in ("vwap_session", "obv", "drawdown", "psar"):
            assert np.isnan(values).all()


CONSTANT = {
    "rsi": 0.0, "cci": 0.0, "williams_r": 0.0, "mfi": 0.0, "natr": 0.0, "atr": 0.0, "roc": 0.0, "momentum": 0.0,
    "trix": 0.0, "drawdown": 0.0, "volatility": 0.0, "parkinson": 0.0, "garman_klass": 0.0, "zscore": np.nan,
    "sma": 10.1, "ema": 10.1, "wma": 10.1, "dema": 10.1, "tema": 10.1, "hma": 10.1, "kama": 10.1, "vwap": np.nan,
    "vwap_session": np.nan, "obv": 0.0, "psar": 10.1,
}  # fmt: skip


@pytest.mark.parametrize("name", [*CONSTANT, "stochastic", "fast_stochastic", "stoch_rsi", "bollinger", "adx"])
def test_constant_prices_without_volume(name: str) -> None:
    rows = 400
    columns = {each: np.full(rows, 10.1) for each in ("open", "high", "low", "close")} | {"volume": np.zeros(rows)}
    bars = Bars(1_704_205_800 + 60 * np.arange(rows), columns)
    last = [values[-1] for values in values_of(name, bars, short=False)]
    if name == "bollinger":
        np.testing.assert_allclose(last, [10.1, 10.1, 10.1, np.nan, 0.0], atol=1e-12)
    else:
        np.testing.assert_allclose(last, CONSTANT.get(name, 0.0), atol=1e-12)


@pytest.mark.parametrize("name", ["sma", "wma", "hma", "stochastic", "fast_stochastic"])
@pytest.mark.parametrize("fall", [1.0, 1e-3, 1e-6])
def test_what_was_before_the_windows_changes_nothing(name: str, fall: float) -> None:
    """Also after a crash, which a running sum never forgets."""
    bars = frame(400)
    bars.iloc[300:, :4] *= fall
    whole, later = (values_of(name, bars_of(each), short=False) for each in (bars, bars[310:]))
    for one, other in zip(whole, later, strict=True):
        known = np.isfinite(other)
        assert known.sum() > 50
        np.testing.assert_allclose(one[310:][known], other[known], rtol=1e-11, atol=1e-12 * np.nanmax(other))


@pytest.mark.parametrize("name", ["stochastic", "fast_stochastic", "stoch_rsi", "williams_r", "cci"])
def test_oscillators_are_exactly_zero_in_a_halt(name: str) -> None:
    bars = frame(600)
    bars.iloc[200:400, :4] = bars["close"].iloc[200]
    for seed in range(3):
        bars.iloc[:200, :4] = frame(200, seed=seed).iloc[:, :4]
        for values in values_of(name, bars_of(bars), short=False):
            assert (values[250:400] == 0).all()


def test_what_is_missing_in_a_bar() -> None:
    bars = bars_of(frame(60))
    columns = {name: column.copy() for name, column in bars.columns.items()}
    columns["high"][30] = columns["low"][31] = np.nan
    columns["close"][40] = np.inf
    columns["volume"][45] = np.nan
    kept = bars_with_close(BarArrays(bars.times, columns), tuple(columns), "UTC", "AAPL")
    assert len(kept) == 59
    assert (kept.high[30], kept.low[31]) == (kept.close[30], kept.close[31])
    # A missing volume counts as none.
    none = {name: column.copy() for name, column in kept.columns.items()}
    none["volume"][44] = 0.0
    for name in ("mfi", "obv", "vwap", "vwap_session"):
        (values,), (same,) = values_of(name, kept), values_of(name, Bars(kept.times, none))
        np.testing.assert_array_equal(values, same)
    none["volume"][:30] = np.nan
    for name, first in (("mfi", 30), ("obv", 30), ("vwap", 30)):
        (values,) = values_of(name, Bars(kept.times, none))
        assert np.flatnonzero(np.isfinite(values))[0] == first, name
    assert not np.isnan(values_of("rsi", kept, short=False)[0][14:]).any()
    closes = bars_with_close(
        BarArrays(bars.times, {"close": bars.close}), ("high", "low", "close", "volume"), "UTC", "A"
    )
    for name in ("obv", "mfi", "vwap", "vwap_session"):
        assert np.isnan(values_of(name, closes)[0]).all()
    np.testing.assert_allclose(
        values_of("donchian", closes)[2][2:], [max(bars.close[i - 2 : i + 1]) for i in range(2, 60)]
    )
