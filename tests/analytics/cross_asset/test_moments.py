"""Covariances, correlations and windows against pandas and NumPy."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hypothesis_settings import examples
from lumibot_duckdb.analytics.cross_asset import moments


@st.composite
def tables(draw: st.DrawFn, columns: int = 4, gaps: bool = True) -> np.ndarray:
    """Return columns that are random, repeat, do not change, are large, or move together; with missing values."""
    rows = draw(st.integers(0, 40))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    kinds = draw(
        st.lists(st.sampled_from(["walk", "few", "flat", "large", "same"]), min_size=columns, max_size=columns)
    )
    base = np.cumsum(rng.normal(0, 1, rows)) + 100
    makers = {
        "walk": lambda: np.cumsum(rng.normal(0, 1, rows)),
        "few": lambda: rng.choice([0.1, 0.2], rows),
        "flat": lambda: np.full(rows, 0.1),
        "large": lambda: 1e6 + rng.normal(0, 1, rows),
        "same": lambda: base * 3 + 7,
    }
    table = np.column_stack([makers[kind]() for kind in kinds])
    if gaps:
        table[rng.uniform(size=table.shape) < draw(st.sampled_from([0.0, 0.3, 0.8]))] = np.nan
    return table


def naive(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Compute each pair on its own."""
    count = table.shape[1]
    covariance, correlation = np.full((2, count, count), np.nan)
    for i in range(count):
        for j in range(count):
            rows = np.isfinite(table[:, i]) & np.isfinite(table[:, j])
            x, y = table[rows, i], table[rows, j]
            if len(x) < 2:
                continue
            changes = len(set(x)) > 1 and len(set(y)) > 1
            covariance[i, j] = np.cov(x, y)[0, 1] if changes else 0.0
            if changes:
                correlation[i, j] = np.corrcoef(x, y)[0, 1]
    return covariance, correlation


@given(table=tables())
@examples(120)
def test_all_pairs(table: np.ndarray) -> None:
    covariance, correlation = moments.pairwise(table)
    wanted = naive(table)
    np.testing.assert_allclose(covariance, wanted[0], rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(correlation, wanted[1], rtol=1e-7, atol=1e-7)
    assert not np.isinf(covariance).any()


def test_random_columns_are_those_of_pandas() -> None:
    rng = np.random.default_rng(1)
    table = rng.normal(0, 0.01, (400, 30)) + rng.normal(0, 0.01, (400, 1))
    table[rng.uniform(size=table.shape) < 0.1] = np.nan
    covariance, correlation = moments.pairwise(table)
    frame = pd.DataFrame(table)
    np.testing.assert_allclose(covariance, frame.cov(), rtol=1e-10)
    np.testing.assert_allclose(correlation, frame.corr(), rtol=1e-10)
    assert (np.diag(correlation) == 1).all()


def test_a_column_that_hardly_changes_where_the_other_one_has_values() -> None:
    x = np.array([1e9, 1e9, 5.0, 5.5, 6.0, 7.0])
    y = np.array([np.nan, np.nan, 1.0, 3.0, 2.0, 4.0])
    _, correlation = moments.pairwise(np.column_stack([x, y]))
    assert correlation[0, 1] == pytest.approx(np.corrcoef(x[2:], y[2:])[0, 1], rel=1e-12)


@given(table=tables(2, gaps=False), n=st.integers(2, 12))
@examples(100)
def test_windows(table: np.ndarray, n: int) -> None:
    found = moments.rolling(table[:, 0], table[:, 1], n)
    windows = [table[end - n : end] for end in range(n, len(table) + 1)]
    assert len(found.covariance) == len(windows)
    for place, window in enumerate(windows):
        covariance, correlation = naive(window)
        assert found.covariance[place] == pytest.approx(covariance[0, 1], rel=1e-8, abs=1e-9)
        assert found.correlation[place] == pytest.approx(correlation[0, 1], rel=1e-7, abs=1e-7, nan_ok=True)
        if len(set(window[:, 0])) > 1:
            slope, intercept = np.polyfit(window[:, 0] - window[:, 0].mean(), window[:, 1], 1)
            assert found.beta[place] == pytest.approx(slope, rel=1e-6, abs=1e-7)
            wanted = intercept - slope * window[:, 0].mean()
            assert found.alpha[place] == pytest.approx(wanted, rel=1e-6, abs=1e-6 * (1 + abs(slope * window[0, 0])))
        else:
            assert np.isnan(found.beta[place])


def test_windows_are_cut_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    table = np.random.default_rng(0).normal(size=(100, 2))
    whole = moments.rolling(*table.T, 10).correlation
    monkeypatch.setattr(moments, "_AT_ONCE", 30)
    assert moments.rolling(*table.T, 10).correlation.tolist() == whole.tolist()
