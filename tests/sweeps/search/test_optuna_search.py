"""Search with Optuna."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hypothesis_settings import examples
from lumibot_duckdb.sweeps.search.dimensions import Interval
from lumibot_duckdb.sweeps.search.errors import ConditionError, SearchError
from lumibot_duckdb.sweeps.search.optuna_search import OptunaSearch
from lumibot_duckdb.sweeps.search.space import Space

optuna: Any = pytest.importorskip("optuna")
pytestmark = pytest.mark.xdist_group("optuna")  # it is imported once

SPACE = Space.of_options(["fast=5:50:5", "slow=20,100,50", "stop=0.01:0.2", "average=sma,ema"], ["fast < slow"])
Trials = list[tuple[int, Mapping[str, Any]]]


def run(search: OptunaSearch, objective: Callable[[Mapping[str, Any]], float | None], most: int = 1_000) -> Trials:
    """Return the trials of a search with one worker."""
    trials: Trials = []
    while len(trials) < most and (trial := search.ask()):
        trials.append(trial)
        search.tell(trial[0], objective(trial[1]))
    return trials


def growth(values: Mapping[str, Any]) -> float:
    """Return an objective that is 0 at fast=25 and stop=0.05, and below zero elsewhere."""
    return -(((values["fast"] - 25) / 10) ** 2) - ((values["stop"] - 0.05) / 0.05) ** 2


def states(search: OptunaSearch) -> list[str]:
    return [trial.state.name for trial in search._study.trials]


@pytest.mark.parametrize("sampler", ["tpe", "tpe:multivariate=true,n_startup_trials=5", "qmc", "nsgaii", "random"])
def test_proposals_are_allowed_and_repeatable(sampler: str) -> None:
    first, again, other = (run(OptunaSearch(SPACE, 20, seed=seed, sampler=sampler), growth) for seed in (3, 3, 4))
    assert first == again
    assert first != other
    assert [number for number, _ in first] == list(range(1, 21))
    assert len({tuple(values.items()) for _, values in first}) == 20
    for _, values in first:
        assert values["fast"] in range(5, 51, 5)
        assert values["slow"] in (20, 50, 100)
        assert 0.01 <= values["stop"] <= 0.2
        assert values["average"] in ("sma", "ema")
        assert values["fast"] < values["slow"]
        assert [type(value) for value in values.values()] == [int, int, float, str]


@pytest.mark.parametrize("minimize", [False, True])
def test_it_learns_in_the_direction_of_the_objective(minimize: bool) -> None:
    sign = -1 if minimize else 1
    trials = run(OptunaSearch(SPACE, 60, seed=1, minimize=minimize), lambda values: sign * growth(values))
    found = [growth(values) for _, values in trials]
    assert sum(found[-20:]) / 20 > sum(found[:10]) / 10 + 1


@examples(40)
@given(
    st.integers(1, 4),
    st.lists(st.integers(0, 9), min_size=1, max_size=4, unique=True),
    st.lists(st.sampled_from(["x", "y", None, True, 1, 0.5]), min_size=1, max_size=3, unique_by=repr),
    st.sampled_from([[], ["a < b"], ["a + b == 5", "a != 2"]]),
    st.integers(1, 40),
)
def test_all_combinations_run_once_at_most(
    a: int, b: list[int], c: list[Any], conditions: list[str], trials: int
) -> None:
    space = Space.of_values({"a": range(a), "b": b, "c": c}, conditions)
    allowed = [tuple(map(repr, values.values())) for values in space.combinations()]
    if not allowed:
        with pytest.raises(SearchError, match="no combination of the parameters meets the conditions"):
            OptunaSearch(space, trials)
        return
    search = OptunaSearch(space, trials, sampler="random")
    assert search.total == min(trials, len(allowed))
    found = [tuple(map(repr, values.values())) for _, values in run(search, lambda values: 1.0)]
    assert len(found) == len(set(found)) == search.total
    assert set(found) <= set(allowed)
    assert search.ask() is None


def test_rejected_proposals_teach_the_sampler() -> None:
    """The best values are just outside of what the condition allows. Without learning, nearly all would be rejected."""
    space = Space.of_options(["fast=2:40:2", "slow=10:200:10"], ["fast * 2 < slow"])
    search = OptunaSearch(space, 40, seed=1)
    trials = run(search, lambda values: -abs(values["fast"] - 30) - abs(values["slow"] - 60) / 3)
    assert len(trials) == 40
    assert states(search).count("PRUNED") < 80


def test_conditions_that_few_combinations_meet() -> None:
    space = Space.of_options(["a=1:1000:1", "b=1:1000:1", "c=0.0:1.0"], ["a == 77", "b > 900"])
    for _, values in run(OptunaSearch(space, 6, sampler="random"), lambda values: 0.0):
        assert values["a"] == 77
        assert values["b"] > 900


def test_a_resumed_search_goes_on_after_what_is_stored() -> None:
    stored = run(OptunaSearch(SPACE, 30, seed=1), growth, most=12)
    search = OptunaSearch(SPACE, 30, seed=1)
    for number, values in stored:
        search.tell(number, growth(values) if number != 5 else None, values)
    assert states(search) == ["FAIL" if number == 5 else "COMPLETE" for number, _ in stored]
    more = run(search, growth)
    assert [number for number, _ in more] == list(range(13, 31))
    combinations = [tuple(values.items()) for _, values in [*stored, *more]]
    assert len(set(combinations)) == 30
    # It has learned from what is stored, so that it does not begin with a random phase.
    assert sum(growth(values) for _, values in more) / 18 > sum(growth(values) for _, values in stored[:10]) / 10


def test_a_resumed_search_fills_gaps() -> None:
    """A sweep that was interrupted has stored what had finished."""
    space = Space.of_options(["a=1:9:1"])
    search = OptunaSearch(space, 9)
    for number, value in ((2, 4), (3, 8)):
        search.tell(number, 1.0, {"a": value})
    trials = run(search, lambda values: 1.0)
    assert [number for number, _ in trials] == [1, 4, 5, 6, 7, 8, 9]
    assert sorted(values["a"] for _, values in trials) == [1, 2, 3, 5, 6, 7, 9]


@pytest.mark.parametrize(
    "values",
    [
        {"fast": 7, "slow": 20, "stop": 0.1, "average": "sma"},
        {"fast": 5, "slow": 21, "stop": 0.1, "average": "sma"},
        {"fast": 5, "slow": 20, "stop": 0.3, "average": "sma"},
        {"fast": 5, "slow": 20, "stop": True, "average": "sma"},
        {"fast": 5, "slow": 20, "stop": 0.1, "average": "wma"},
        {"fast": 5, "slow": 20, "stop": 0.1},
    ],
)
def test_a_search_with_other_parameters_cannot_be_resumed(values: dict[str, Any]) -> None:
    search = OptunaSearch(SPACE, 5)
    with pytest.raises(SearchError, match=r"trial 1 was run with .* which is not in this search"):
        search.tell(1, 0.5, values)


def test_a_stored_trial_needs_its_values() -> None:
    with pytest.raises(SearchError, match="trial 4 was not asked; give its values"):
        OptunaSearch(SPACE, 5).tell(4, 0.5)


def test_trials_without_a_value_count_as_failed() -> None:
    search = OptunaSearch(Space.of_options(["a=0.0:1.0"]), 10)
    for objective in (None, float("nan"), float("inf"), 2.0):
        trial = search.ask()
        assert trial is not None
        search.tell(trial[0], objective)
    assert states(search) == ["FAIL", "FAIL", "FAIL", "COMPLETE"]


@pytest.mark.parametrize("minimize", [False, True])
def test_a_trial_that_loses_is_pruned(minimize: bool) -> None:
    search = OptunaSearch(Space.of_options(["a=1:100:1"]), 10, minimize=minimize, pruner="threshold:lower=0.8")
    (number, _), (other, _) = search.ask(), search.ask()  # type: ignore[misc]
    assert not search.intermediate(number, 0, 50_000.0)
    assert not search.intermediate(number, 1, float("nan"))
    assert not search.intermediate(number, 2, 40_001.0)
    assert not search.intermediate(other, 0, 100.0)
    assert not search.intermediate(other, 1, 81.0)
    assert search.intermediate(number, 3, 39_999.0)
    search.tell(number, None)
    search.tell(other, 3.0)
    assert states(search) == ["PRUNED", "COMPLETE"]
    assert not search.intermediate(number, 4, 1.0)  # it has ended
    assert not search.intermediate(99, 0, 1.0)


def test_a_trial_that_begins_with_nothing_is_not_pruned() -> None:
    search = OptunaSearch(Space.of_options(["a=1:100:1"]), 10, pruner="threshold:lower=0.8")
    number, _ = search.ask()  # type: ignore[misc]
    assert not any(search.intermediate(number, step, value) for step, value in enumerate((0.0, 5.0, -5.0)))


def test_a_trial_below_the_median_is_pruned() -> None:
    search = OptunaSearch(Space.of_options(["a=1:100:1"]), 20, pruner="median:n_startup_trials=3,n_warmup_steps=2")
    for growth_a_step in (10, 20, 30):
        number, _ = search.ask()  # type: ignore[misc]
        assert not any(search.intermediate(number, step, 100 + growth_a_step * step) for step in range(4))
        search.tell(number, 1.0)
    number, _ = search.ask()  # type: ignore[misc]
    values = [1_000.0, 100.0, 1_410.0, 1_610.0]  # with another budget; still warming up when it is low
    assert not any(search.intermediate(number, step, value) for step, value in enumerate(values))
    number, _ = search.ask()  # type: ignore[misc]
    assert [search.intermediate(number, step, 100 + 15 * step) for step in range(3)] == [False, False, True]


def test_several_threads() -> None:
    search = OptunaSearch(SPACE, 60, seed=1, pruner="median")

    def work(worker: int) -> Trials:
        def objective(values: Mapping[str, Any]) -> float | None:
            return None if values["average"] == "sma" else growth(values)

        trials: Trials = []
        while trial := search.ask():
            trials.append(trial)
            for step in range(5):
                search.intermediate(trial[0], step, 100 + step * growth(trial[1]))
            search.tell(trial[0], objective(trial[1]))
        return trials

    with ThreadPoolExecutor(4) as pool:
        trials = [trial for found in pool.map(work, range(4)) for trial in found]
    assert sorted(number for number, _ in trials) == list(range(1, 61))
    assert len({tuple(values.items()) for _, values in trials}) == 60


def test_samplers_and_pruners_of_ones_own() -> None:
    class Lowest(optuna.samplers.RandomSampler):  # type: ignore[misc]
        def sample_independent(self, study: Any, trial: Any, name: str, distribution: Any) -> Any:
            return distribution.low

    search = OptunaSearch(
        Space.of_options(["a=3:9:3", "b=0.5:1.0"]), 1, sampler=Lowest(), pruner=optuna.pruners.ThresholdPruner(lower=1)
    )
    assert search.ask() == (1, {"a": 3, "b": 0.5})
    assert not search.intermediate(1, 0, 100.0)
    assert search.intermediate(1, 1, 99.0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sampler": "tpf"}, "unknown sampler tpf; did you mean tpe?"),
        ({"sampler": "tpe:n_startup=5"}, "tpe has no option n_startup; did you mean n_startup_trials?"),
        ({"sampler": "tpe:n_startup_trials=few"}, "n_startup_trials must be int, not 'few'"),
        ({"sampler": "tpe:n_startup_trials=2.5"}, "n_startup_trials must be int, not 2.5"),
        ({"sampler": "tpe:gamma=5"}, "tpe has no option gamma"),
        ({"sampler": "tpe:seed=5"}, "tpe has no option seed"),
        ({"sampler": "tpe:group"}, "expected NAME=VALUE instead of group"),
        ({"pruner": "mean"}, "unknown pruner mean; did you mean median?"),
        ({"pruner": "patient"}, "patient needs patience, as in patient:patience=5"),
        ({"pruner": "threshold"}, "threshold: Either lower or upper must be specified"),
        ({"pruner": "median:n_startup_trials=-1"}, "cannot be negative"),
        ({"trials": 0}, "0 trials are too few"),
    ],
)
def test_what_is_wrong_is_said(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(SearchError) as raised:
        OptunaSearch(SPACE, **{"trials": 5, **arguments})
    assert message in str(raised.value)


@pytest.mark.parametrize(
    "pruner",
    ["none", "median", "percentile", "percentile:percentile=10.0", "halving", "hyperband", "patient:patience=3"],
)
def test_pruners_by_name(pruner: str) -> None:
    search = OptunaSearch(SPACE, 5, pruner=pruner)
    number, _ = search.ask()  # type: ignore[misc]
    assert not search.intermediate(number, 0, 1.0)


def test_packages_that_are_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lumibot_duckdb.sweeps.search.optuna_parts.find_spec", lambda name: None)
    with pytest.raises(SearchError, match="the sampler cmaes needs cmaes; pip install cmaes"):
        OptunaSearch(SPACE, 5, sampler="cmaes")
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(SearchError, match=r"Optuna is not installed; pip install 'lumibot-duckdb\[optuna\]'"):
        OptunaSearch(SPACE, 5)


def test_nothing_is_printed(capfd: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder) -> None:
    before = optuna.logging.get_verbosity()
    search = OptunaSearch(SPACE, 3, sampler="qmc", pruner="median")
    run(search, growth)
    assert capfd.readouterr().err == ""
    assert optuna.logging.get_verbosity() == before
    assert [str(each.message) for each in recwarn] == []


def test_a_condition_without_an_answer() -> None:
    search = OptunaSearch(Space.of_values({"a": Interval(0, 1), "b": [None, 1]}, "a < 2 and (a < 0.001 or b < 5)"), 99)
    with pytest.raises(ConditionError, match=r"with a=.*, b=None"):
        run(search, lambda values: 1.0)
