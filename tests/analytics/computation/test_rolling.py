"""Sums and deviations of windows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.lib.stride_tricks import sliding_window_view

from hypothesis_settings import examples
from lumibot_duckdb.analytics.computation import rolling
from lumibot_duckdb.analytics.computation.rolling import weighted_mean, window_deviation, window_mean, window_sum


@given(st.integers(0, 2**32), st.integers(1, 60), st.integers(1, 12), st.floats(1e-4, 1e4))
@examples(200)
def test_windows_are_as_if_each_were_computed_alone(seed: int, rows: int, n: int, jump: float) -> None:
    rng = np.random.default_rng(seed)
    values = np.cumsum(rng.normal(0, 1, rows)) + 100
    values[int(rng.integers(rows)) :] *= jump
    sums, deviations = window_sum(values, n), window_deviation(values, n)
    means = weighted_mean(values, n)
    assert len(sums) == len(deviations) == len(means) == rows
    assert np.isnan(means[: n - 1]).all()
    after_gap = window_mean(np.concatenate([[np.nan] * 3, values]), n)
    np.testing.assert_array_equal(after_gap, np.concatenate([[np.nan] * 3, sums / n]))
    assert np.isnan(sums[: n - 1]).all()
    assert np.isnan(deviations[: n - 1]).all()
    if rows >= n:
        windows = sliding_window_view(values, n)
        np.testing.assert_allclose(sums[n - 1 :], windows.sum(axis=1), rtol=1e-12)
        weights = np.arange(1, n + 1)
        np.testing.assert_allclose(means[n - 1 :], windows @ weights / weights.sum(), rtol=1e-12)
        scale = np.abs(windows).max(axis=1)
        assert (np.abs(deviations[n - 1 :] - windows.std(axis=1)) <= 1e-14 * scale + 1e-10 * windows.std(axis=1)).all()


@pytest.mark.parametrize("n", [1, 2, 3, 20])
def test_equal_values_have_no_deviation_after_any_fall(n: int) -> None:
    values = np.concatenate([np.linspace(1e7, 9e6, 50), np.full(60, 0.1)])
    assert (window_deviation(values, n)[-60 + n :] == 0).all()
    assert (window_sum(np.concatenate([values, np.zeros(40)]), n)[-40 + n :] == 0).all()


@pytest.mark.parametrize("n", [1, 2, 3, 20])
def test_many_blocks_are_summed_with_the_same_bits_as_few(n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(n).normal(100, 1, 9 * n * n + 5)
    assert len(values) > rolling._FEW_BLOCKS * n * n
    by_columns = [function(values, n) for function in (window_sum, weighted_mean, window_deviation)]
    monkeypatch.setattr(rolling, "_FEW_BLOCKS", len(values))
    for found, function in zip(by_columns, (window_sum, weighted_mean, window_deviation), strict=True):
        np.testing.assert_array_equal(found, function(values, n))
