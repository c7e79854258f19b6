"""The probability of backtest overfitting: a plain model, a published example, and simulations."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hypothesis_settings import examples
from lumibot_duckdb.sweeps.overfitting.cross_validation import CrossValidation, cross_validate
from lumibot_duckdb.sweeps.overfitting.returns import FloatArray, NotEnoughError
from sweeps.overfitting import plain_model


def noise(days: int, trials: int, seed: int = 0) -> FloatArray:
    return 0.01 * np.random.default_rng(seed).standard_normal((days, trials))


def check(found: CrossValidation, returns: FloatArray, blocks: int, sign: int = 1) -> None:
    expected = plain_model.splits(returns.T.tolist(), blocks, sign)
    assert len(found.rank) == len(expected) == math.comb(blocks, blocks // 2)
    assert found.in_sample == pytest.approx([each[0] for each in expected], abs=1e-7)
    assert found.out_of_sample == pytest.approx([each[1] for each in expected], abs=1e-7)
    assert found.rank == pytest.approx([each[2] for each in expected])
    logits = [math.log(each[2] / (1 - each[2])) for each in expected]
    assert found.logits == pytest.approx(logits, abs=1e-9)
    assert found.probability == pytest.approx(sum(each <= 1e-9 for each in logits) / len(logits))
    assert found.loss == pytest.approx(sum(each[3] < 0 for each in expected) / len(expected), abs=1e-9)


@examples(60)
@given(st.integers(40, 95), st.integers(2, 6), st.sampled_from([4, 6]), st.integers(0, 10**6), st.booleans())
def test_the_values_are_those_of_plain_loops(days: int, trials: int, blocks: int, seed: int, minimize: bool) -> None:
    returns = noise(days, trials, seed)
    returns[:, 0] += 0.002
    found = cross_validate(returns, blocks=blocks, minimize=minimize)
    assert found.blocks == min(blocks, days // 20 * 2)
    check(found, returns, found.blocks, -1 if minimize else 1)


def test_splits_computed_in_several_pieces_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    returns = noise(100, 5)
    monkeypatch.setattr("lumibot_duckdb.sweeps.overfitting.cross_validation._AT_ONCE", 37)
    check(cross_validate(returns, blocks=8), returns, 8)


def test_the_first_days_that_are_left_over_do_not_count() -> None:
    returns = noise(160, 4)
    longer = np.vstack([np.full((9, 4), 0.5), returns])
    assert np.array_equal(cross_validate(longer).rank, cross_validate(returns).rank)


def test_equal_trials_share_their_rank() -> None:
    returns = noise(80, 3)
    returns[:, 2] = returns[:, 1] = returns[:, 0]
    found = cross_validate(returns, blocks=4)
    assert set(found.rank) == {0.5}
    assert found.probability == 1.0


def test_trials_that_are_equally_good_on_the_whole() -> None:
    """The example of the R package pbo (its vignette): 100 trials of 2,400 days, all with the same Sharpe ratio.

    What is good on one half of the days is bad on the other. The package finds a probability of overfitting of 1, a
    probability of loss of 1, and an R² of 0.97.
    """
    returns = noise(2_400, 100, seed=765)
    returns = (returns - returns.mean(axis=0)) / returns.std(axis=0, ddof=1) / 252**0.5 - 0.03 / 252
    found = cross_validate(returns, blocks=8)
    assert found.probability == 1.0
    assert found.loss == 1.0
    assert np.corrcoef(found.in_sample, found.out_of_sample)[0, 1] ** 2 == pytest.approx(0.97, abs=0.03)
    assert found.degradation is not None
    assert found.degradation[0] == pytest.approx(-1, abs=0.1)


def test_choosing_among_useless_trials_is_drawing_lots() -> None:
    probabilities = [cross_validate(noise(480, 20, seed), blocks=8).probability for seed in range(60)]
    assert np.mean(probabilities) == pytest.approx(0.5, abs=0.06)


def test_a_trial_with_an_edge_is_chosen_again() -> None:
    returns = noise(1_500, 100)
    returns[:, 42] += 0.0025
    found = cross_validate(returns)
    assert len(found.rank) == 12_870
    assert found.probability < 0.01
    assert found.loss < 0.01


def test_other_measures_rank_by_themselves() -> None:
    """The trial that is best by its volatility, or by its return, is another one than by the Sharpe ratio."""
    returns = noise(400, 10)
    returns[:, 3] *= 0.2
    returns[:, 6] = 3 * returns[:, 6] + 0.012
    returns[:, 8] += 0.008
    assert np.median(cross_validate(returns, measure="volatility", minimize=True).in_sample) < 0.06
    assert cross_validate(returns, measure="total_return").probability < 0.05
    sharpe, growth = (cross_validate(returns, measure=name) for name in ("sharpe", "total_return"))
    assert np.median(growth.in_sample) == pytest.approx(np.prod(1 + returns[:, 6]) ** 0.5 - 1, rel=0.3)
    assert np.median(sharpe.in_sample) == pytest.approx(365**0.5 * plain_model.sharpe(list(returns[:, 8])), rel=0.2)


def test_half_a_period_without_trades_counts_as_nothing_earned() -> None:
    returns = noise(160, 3)
    returns[:80, 0] = 0.0
    found = cross_validate(returns, blocks=4)
    check(found, returns, 4)
    assert np.isfinite(found.in_sample).all()
    assert np.isfinite(found.out_of_sample).all()


def test_short_backtests_have_fewer_blocks() -> None:
    assert [cross_validate(noise(days, 3)).blocks for days in (40, 79, 80, 159, 160)] == [4, 6, 8, 14, 16]


@pytest.mark.parametrize("blocks", [3, 2, 22, -4, 0])
def test_a_wrong_number_of_blocks_is_an_error(blocks: int) -> None:
    with pytest.raises(ValueError, match=rf"blocks is {blocks}: choose an even number from 4 to 20"):
        cross_validate(noise(500, 4), blocks=blocks)


@pytest.mark.parametrize(
    ("days", "trials", "reason"), [(39, 4, "39 days are too few: at least 40"), (100, 1, "only one trial can be")]
)
def test_too_few_days_or_trials_are_a_reason(days: int, trials: int, reason: str) -> None:
    with pytest.raises(NotEnoughError, match=reason):
        cross_validate(noise(days, trials))
