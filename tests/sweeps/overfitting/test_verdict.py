"""The verdict names what speaks against the best trial, and warns if it may be luck."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lumibot_duckdb.comparison.trading_statistics import Statistic
from lumibot_duckdb.sweeps.overfitting import Assessment, assess, verdict
from lumibot_duckdb.sweeps.overfitting.verdict import out_of_sample_verdict


@pytest.fixture(scope="module")
def found() -> Assessment:
    returns = 0.01 * np.random.default_rng(0).standard_normal((200, 8))
    return assess(pd.DataFrame(returns, pd.date_range("2024-01-01", periods=200)), resamples=50, blocks=4)


def with_values(
    found: Assessment, luck: float, deflated: float | None, overfitting: float = 0.1, spread: float = 0.5
) -> Assessment:
    assert found.luck is not None
    assert found.selection is not None
    ranks = np.where(np.arange(100) < 100 * overfitting, 0.2, 0.8)
    return replace(
        found,
        luck=replace(found.luck, probability=luck, spread=np.linspace(0.0, 1.0, 100)),
        deflated_sharpe=Statistic(None, "too extreme") if deflated is None else Statistic(deflated),
        expected_maximum=Statistic(0.7),
        spread=Statistic(spread),
        sharpe=Statistic(1.2),
        selection=replace(found.selection, rank=ranks),
    )


@pytest.mark.parametrize(
    ("values", "mood", "headline"),
    [
        ({"luck": 0.3, "deflated": 0.4}, "bad", "The best of 8 trials is within the range of luck."),
        ({"luck": 0.3, "deflated": None}, "bad", "The best of 8 trials is within the range of luck."),
        ({"luck": 0.3, "deflated": 0.4, "spread": 2.0}, "bad", "The best of 8 trials is within the range of luck."),
        ({"luck": 0.3, "deflated": 0.96}, "bad", "The best of 8 trials may be luck."),
        ({"luck": 0.051, "deflated": 0.96}, "bad", "The best of 8 trials may be luck."),
        ({"luck": 0.01, "deflated": 0.94}, "bad", "The best of 8 trials may be luck."),
        ({"luck": 0.01, "deflated": None}, "bad", "The best of 8 trials may be luck."),
        ({"luck": 0.01, "deflated": 0.4, "spread": 2.0}, "good", "The best of 8 trials is beyond the range of luck."),
        ({"luck": 0.05, "deflated": 0.95}, "good", "The best of 8 trials is beyond the range of luck."),
        (
            {"luck": 0.01, "deflated": 0.99, "overfitting": 0.4},
            "bad",
            "The best of 8 trials is beyond the range of luck, but its parameters are not.",
        ),
    ],
)
def test_the_headline_says_what_the_tests_say(
    values: dict[str, Any], mood: str, headline: str, found: Assessment
) -> None:
    judged = verdict(with_values(found, **values))
    assert (judged.mood, judged.headline) == (mood, headline)
    assert judged.warning.startswith(headline) if mood == "bad" else judged.warning == ""


def test_the_sentences_give_the_numbers(found: Assessment) -> None:
    judged = verdict(with_values(found, 0.3, 0.4, 0.62))
    assert list(judged.sentences) == [
        "Its Sharpe ratio is 1.20, but without any edge at all, the best of such a sweep reaches that in 30 of 100 "
        "cases.",
        "Luck is expected to show 0.70 as the best of trials that differ as much as these. The true Sharpe ratio is "
        "above that with a probability of 40 %, less than the 95 % that are usually required.",
        "The parameters that were best on one half of the days were in the worse half of the trials on the other days "
        "in 62 of 100 cases: choosing the best is hardly better than drawing lots.",
        "Before you trade it, test it on days that this sweep has not seen (--walk-forward), use more days, or try "
        "fewer values of parameters.",
    ]
    strict = verdict(with_values(found, 0.001, 0.4, 0.0, spread=2.0)).sentences
    assert strict[0].endswith("without any edge, the best of such a sweep reaches that in less than 1 of 100 cases.")
    assert strict[2].startswith("That is strict here, since it takes all differences between trials for luck")
    assert strict[3].endswith("in less than 1 of 100 cases.")
    missing = verdict(with_values(found, 0.01, None)).sentences
    assert missing[1] == "There is no deflated Sharpe ratio: too extreme."


@pytest.mark.parametrize(("mean", "mood"), [(0.0, "bad"), (0.004, "good")])
def test_a_single_trial_was_not_chosen(mean: float, mood: str) -> None:
    returns = mean + 0.01 * np.random.default_rng(1).standard_normal(300)
    single = assess(pd.DataFrame({1: returns}, pd.date_range("2024-01-01", periods=300)), resamples=50)
    judged = verdict(single)
    assert judged.mood == mood
    assert "Nothing was chosen, since there is one trial only." in judged.sentences[0]
    tests = out_of_sample_verdict(single)
    assert tests.mood == mood
    assert f"Sharpe ratio of {single.sharpe.value:.2f} in its test, 300 days in all" in tests.sentences[0]


def test_without_enough_returns_nothing_is_said() -> None:
    empty = assess(pd.DataFrame({1: [0.1], 2: [0.2]}, pd.date_range("2024-01-01", periods=1)))
    for judged in (verdict(empty), out_of_sample_verdict(empty)):
        assert judged.mood == "unknown"
        assert list(judged.sentences) == ["No trial has daily returns that vary."]
        assert judged.warning == ""


def test_a_walk_forward_sweep_is_not_told_to_walk_forward(found: Assessment) -> None:
    weak = with_values(found, 0.3, 0.4)
    assert "--walk-forward" in verdict(weak).warning
    assert "--walk-forward" not in verdict(weak, has_tests=True).warning
    assert verdict(weak, has_tests=True).sentences[-1].startswith("What the searches before it earned")
