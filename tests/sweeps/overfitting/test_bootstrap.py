"""Resampled days: their structure, intervals that contain the truth as often as they say, and the range of luck."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from lumibot_duckdb.comparison.trading_statistics import return_statistics
from lumibot_duckdb.sweeps.overfitting.bootstrap import interval, range_of_luck, resampled_days
from lumibot_duckdb.sweeps.overfitting.measures import MEASURES, RESAMPLED, resampled_values
from lumibot_duckdb.sweeps.overfitting.returns import FloatArray
from sweeps.overfitting import plain_model


def noise(days: int, trials: int, seed: int = 0) -> FloatArray:
    return 0.01 * np.random.default_rng(seed).standard_normal((days, trials))


def test_blocks_are_consecutive_days_of_random_length() -> None:
    places = np.concatenate(list(resampled_days(100, 400, 8.0, seed=1)))
    assert places.shape == (400, 100)
    continued = (places[:, 1:] - places[:, :-1]) % 100 == 1
    # A new block begins with a probability of 1/8, and one in a hundred of these happens to continue.
    assert continued.mean() == pytest.approx(1 - 1 / 8 * 99 / 100, abs=0.005)
    assert np.bincount(places.ravel(), minlength=100).std() < 40  # each day about 400 times
    assert (np.diff(places, axis=1) == -99).any()  # the last day is followed by the first


def test_the_seed_decides_and_the_pieces_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    returns = noise(100, 3)
    whole = [interval(returns[:, 0], "sharpe", years=1, resamples=50, seed=seed) for seed in (1, 1, 2)]
    assert whole[0] == whole[1] != whole[2]
    luck = [range_of_luck(returns, 1.0, resamples=50, seed=seed).best for seed in (1, 1, 2)]
    assert np.array_equal(luck[0], luck[1])
    assert not np.array_equal(luck[0], luck[2])
    monkeypatch.setattr("lumibot_duckdb.sweeps.overfitting.bootstrap._AT_ONCE", 700)
    assert range_of_luck(returns, 1.0, resamples=50, seed=1).best.shape == (50,)


@pytest.mark.xdist_group("statistics")  # importing quantstats takes seconds
@pytest.mark.parametrize("rate", [0.0, 0.04])
def test_measures_are_those_of_quantstats(rate: float) -> None:
    from quantstats_lumi import stats

    days = pd.date_range("2020-01-01", periods=700)
    returns = noise(700, 6, seed=4) + 0.0007
    returns[np.random.default_rng(1).random(returns.shape) < 0.3] = 0.0
    years = (days[-1] - days[0]).days / 365.25
    daily = (1 + rate) ** (1 / 365) - 1
    for column in range(6):
        series = pd.Series(returns[:, column], days)
        expected = {name: found.value for name, found in return_statistics(series, rate).items()}
        expected["calmar"] = stats.calmar(series)
        for name in RESAMPLED:
            above = returns - daily if name in ("sharpe", "sortino") else returns
            assert resampled_values(name, above.T, years)[column] == pytest.approx(expected[name], rel=1e-9), name


def test_the_drawdown_begins_with_the_value_before_the_first_day() -> None:
    paths = np.array([[-0.2, 0.1, 0.1, -0.05], [0.1, 0.1, 0.0, 0.2]])
    assert resampled_values("max_drawdown", paths, 1.0) == pytest.approx([-0.2, 0.0])
    assert resampled_values("calmar", paths, 1.0)[1] == 0.0  # there is nothing to divide by


def test_equal_returns_have_neither_volatility_nor_sharpe_ratio() -> None:
    for constant in (0.0, 0.001, 0.1, 1 / 3):
        paths = np.full((1, 77), constant)
        assert resampled_values("volatility", paths, 1.0)[0] == 0.0
        assert resampled_values("sharpe", paths, 1.0)[0] == 0.0


@pytest.mark.parametrize("name", MEASURES)
def test_sums_of_blocks_give_the_value_of_the_whole(name: str) -> None:
    returns = noise(120, 4, seed=2)
    parts = [part.reshape(12, 10, 4).sum(axis=1).sum(axis=0) for part in MEASURES[name].parts(returns)]
    assert MEASURES[name].value(parts, 120) == pytest.approx(resampled_values(name, returns.T, 1.0))


def test_a_total_loss_has_finite_measures() -> None:
    paths = noise(3, 50)
    paths[0, 20] = -1.0
    for name in RESAMPLED:
        assert np.isfinite(resampled_values(name, paths, 0.2)).all(), name
    assert resampled_values("max_drawdown", paths, 0.2)[0] == -1.0


def test_an_interval_contains_the_true_value_as_often_as_it_says() -> None:
    """A mean of 0.1 % a day with a standard deviation of 1 %: the true Sharpe ratio is 1.91 a year."""
    truth = 0.1 * 365**0.5
    inside = 0
    for seed in range(200):
        found = interval(noise(500, 1, seed)[:, 0] + 0.001, "sharpe", years=1.4, resamples=200, seed=seed)
        inside += found.low <= truth <= found.high
    assert 176 <= inside <= 198  # of 200


def test_the_quantiles_are_those_of_the_values_of_resamples() -> None:
    returns = noise(60, 1)[:, 0]
    places = np.concatenate(list(resampled_days(60, 300, 4.0, seed=9)))
    values = sorted(365**0.5 * plain_model.sharpe([float(returns[day]) for day in row]) for row in places)
    found = interval(returns, "sharpe", years=1, block=4.0, resamples=300, seed=9, confidence=0.8)
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(values, [0.1, 0.9])))
    assert (found.block, found.confidence, found.resamples) == (4.0, 0.8, 300)


def test_the_range_of_luck_is_that_of_plain_loops() -> None:
    returns = noise(60, 4, seed=5) + 0.003
    places = np.concatenate(list(resampled_days(60, 100, 4.0, seed=2)))
    centred = (returns - returns.mean(axis=0)).T.tolist()
    best = [
        max(365**0.5 * plain_model.sharpe([trial[day] for day in row]) for trial in centred) for row in places.tolist()
    ]
    found = range_of_luck(returns, 2.0, resamples=100, block=4.0, seed=2)
    assert found.best == pytest.approx(best, abs=1e-9)
    assert found.probability == (1 + sum(each >= 2.0 for each in best)) / 101
    assert found.quantile(0.5) == pytest.approx(np.median(best))


def test_luck_finds_what_the_range_says_as_often_as_it_says() -> None:
    """The probability is uniform for sweeps without an edge, also if their trials resemble each other."""
    probabilities = []
    for seed in range(240):
        returns = noise(300, 10, seed) + 2 * noise(300, 1, 1_000 + seed)
        sharpe = max(365**0.5 * plain_model.sharpe(trial) for trial in returns.T.tolist())
        probabilities.append(range_of_luck(returns, sharpe, resamples=150, seed=seed).probability)
    assert np.mean(np.array(probabilities) <= 0.05) == pytest.approx(0.05, abs=0.045)
    assert np.mean(np.array(probabilities) <= 0.5) == pytest.approx(0.5, abs=0.12)
