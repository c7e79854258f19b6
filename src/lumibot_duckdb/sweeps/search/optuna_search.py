"""Search with Optuna's samplers and pruners, which learn from the results so far."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from lumibot_duckdb.sweeps.search.dimensions import Dimension, Interval, Steps, is_number
from lumibot_duckdb.sweeps.search.errors import SearchError
from lumibot_duckdb.sweeps.search.optuna_parts import new_study, optuna_library, pruner_of, sampler_of
from lumibot_duckdb.sweeps.search.random_search import random_combinations
from lumibot_duckdb.sweeps.search.space import Space

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler
    from optuna.trial import Trial

    from lumibot_duckdb.results.records import Value

_MOST_REJECTED = 30
"""How many proposals in a row may be rejected before one is drawn at random."""


class OptunaSearch:
    """Tries what a sampler of Optuna proposes.

    A proposal that fails the conditions, or that was made before, is rejected: it counts as pruned, and the sampler
    makes another one. After thirty in a row, a combination is drawn at random instead. So no combination runs twice.

    With one worker, the same seed proposes the same trials. With several, proposals depend on the order in which
    results arrive, and a search that is resumed does not continue as it would have without the interruption.

    The three methods may be called from several threads.

    Args:
        space: The parameters. To Optuna, steps and lists of numbers are whole numbers in order, and other lists are
            categories.
        trials: How many trials there are, or fewer if there are not so many combinations.
        seed: The seed of the sampler. A sampler of your own keeps its seed.
        minimize: Whether the lowest objective is the best.
        sampler: A name with options, such as `tpe` or `tpe:n_startup_trials=20`, or a sampler of Optuna.
        pruner: A name with options, such as `none`, `median` or `threshold:lower=0.8`, or a pruner of Optuna.

    Attributes:
        total: How many trials there are at most.

    Raises:
        SearchError: Optuna or a package that the sampler needs is not installed, a name or an option is unknown,
            `trials` is below 1, or no combination meets the conditions.

    >>> search = OptunaSearch(Space.of_options(["fast=5:50:5", "slow=20,50,100"], ["fast < slow"]), trials=50, seed=1)
    >>> number, values = search.ask()
    >>> search.tell(number, 1.2)
    """

    def __init__(
        self,
        space: Space,
        trials: int,
        *,
        seed: int = 0,
        minimize: bool = False,
        sampler: str | BaseSampler = "tpe",
        pruner: str | BasePruner = "none",
    ) -> None:
        if trials < 1:
            raise SearchError(f"{trials} trials are too few; 1 is the least")
        if next(random_combinations(space, seed), None) is None:
            raise SearchError("no combination of the parameters meets the conditions; widen the values or a condition")
        self._optuna = optuna_library()
        self._sampler, self._seed = sampler, seed
        sampler_of(sampler, seed)  # a wrong name is an error here, not at the first trial
        self._study = new_study(pruner_of(pruner))
        self._is_started = False
        self._sign = -1.0 if minimize else 1.0
        self._codes = _Codes(space)
        self._space, self._trials = space, trials
        count = space.count()
        self.total: int | None = trials if count is None else min(trials, count)
        self._random: Iterator[dict[str, Value]] = random_combinations(space, seed)
        self._number = 0
        self._told: set[int] = set()
        self._seen: set[tuple[Any, ...]] = set()
        self._running: dict[int, Trial] = {}
        self._first_values: dict[int, float] = {}
        self._pruned: set[int] = set()
        self._lock = threading.Lock()

    def ask(self) -> tuple[int, Mapping[str, Value]] | None:
        """Return the number and the values of the next trial.

        Raises:
            ConditionError: A condition has no answer for the proposed values.
        """
        with self._lock:
            self._start()
            number = self._number + 1
            while number in self._told:
                number += 1
            if number > self._trials:
                return None
            proposal = self._proposed() or self._drawn()
            if proposal is None:
                return None
            self._number = number
            trial, values = proposal
            self._running[number] = trial
            return number, values

    def tell(self, number: int, objective: float | None, values: Mapping[str, Value] | None = None) -> None:
        """Take the result of a trial.

        A trial without a value counts as pruned if `intermediate` stopped it, and as failed otherwise. Samplers ignore
        failed ones.

        Args:
            number: Its number.
            objective: Its value; None if it has none.
            values: Its values, needed for a trial that this object has not asked.

        Raises:
            SearchError: A trial is unknown and has no values, or has values that are not in the space.
        """
        value = self._sign * objective if objective is not None and math.isfinite(objective) else None
        with self._lock:
            self._first_values.pop(number, None)
            trial = self._running.pop(number, None)
            if trial is not None:
                self._finish(trial, number, value)
            elif number not in self._told and number > self._number:
                self._add(number, value, values)

    def intermediate(self, number: int, step: int, value: float) -> bool:
        """Take the equity of a running trial, and return whether to stop the trial.

        Pruners see the equity divided by the first one that the trial has reported, and compare trials at equal steps.
        So all trials begin to report at the same point of the backtest, and go on at the same points.

        Args:
            number: The number of the trial.
            step: Where the backtest is: a whole number from 0 that grows, such as the number of finished days.
            value: The value of the portfolio there. More is better, also if the objective is minimised.
        """
        with self._lock:
            trial = self._running.get(number)
            if trial is None or not math.isfinite(value):
                return False
            first = self._first_values.setdefault(number, value)
            if first <= 0:  # growth has no meaning
                return False
            trial.report(value / first, step)
            if trial.should_prune():
                self._pruned.add(number)
                return True
            return False

    def _start(self) -> None:
        """Create the sampler. One that resumes has another seed, since with the same one it would repeat itself."""
        if not self._is_started:
            self._study.sampler = sampler_of(self._sampler, self._seed + len(self._told))
            self._is_started = True

    def _proposed(self) -> tuple[Trial, dict[str, Value]] | None:
        """Return a proposal of the sampler that is not rejected, unless too many are."""
        for _ in range(_MOST_REJECTED):
            trial = self._study.ask(self._codes.distributions)
            values = self._codes.decoded(trial.params)
            if self._is_new(trial.params) and self._space.allows(values):
                self._seen.add(self._codes.key(trial.params))
                return trial, values
            # Samplers ignore failed trials, so that TPE would propose the same again. Pruned ones it avoids.
            self._study.tell(trial, state=self._optuna.trial.TrialState.PRUNED)
        return None

    def _drawn(self) -> tuple[Trial, dict[str, Value]] | None:
        """Return a random combination that was not proposed before; None if there is none left."""
        for values in self._random:
            codes = self._codes.encoded(values)
            if codes is not None and self._is_new(codes):
                self._seen.add(self._codes.key(codes))
                self._study.enqueue_trial(codes)
                return self._study.ask(self._codes.distributions), values
        return None

    def _is_new(self, codes: Mapping[str, Any]) -> bool:
        return self._codes.key(codes) not in self._seen

    def _finish(self, trial: Trial, number: int, value: float | None) -> None:
        states = self._optuna.trial.TrialState
        if value is not None:
            self._study.tell(trial, value)
        else:
            self._study.tell(trial, state=states.PRUNED if number in self._pruned else states.FAIL)

    def _add(self, number: int, value: float | None, values: Mapping[str, Value] | None) -> None:
        """Add a trial of an earlier run."""
        if values is None:
            raise SearchError(f"trial {number} was not asked; give its values")
        codes = self._codes.encoded(values)
        if codes is None:
            raise SearchError(
                f"trial {number} was run with {dict(values)}, which is not in this search; "
                f"resume with the same parameters, or begin a sweep with another name"
            )
        self._told.add(number)
        self._seen.add(self._codes.key(codes))
        states = self._optuna.trial.TrialState
        self._study.add_trial(
            self._optuna.trial.create_trial(
                state=states.FAIL if value is None else states.COMPLETE,
                value=value,
                params=codes,
                distributions=self._codes.distributions,
            )
        )


class _Codes:
    """The values of parameters as Optuna sees them: floats of intervals, and positions of all others."""

    def __init__(self, space: Space) -> None:
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

        self.distributions: dict[str, BaseDistribution] = {}
        self._lists: dict[str, Dimension] = {}
        for name, values in space.parameters.items():
            if isinstance(values, Interval):
                self._lists[name] = values
                self.distributions[name] = FloatDistribution(values.low, values.high)
            elif isinstance(values, Steps) or all(map(is_number, values)):
                self._lists[name] = values if isinstance(values, Steps) else tuple(sorted(filter(is_number, values)))
                self.distributions[name] = IntDistribution(0, len(values) - 1)
            else:
                self._lists[name] = values
                self.distributions[name] = CategoricalDistribution(range(len(values)))

    def decoded(self, codes: Mapping[str, Any]) -> dict[str, Value]:
        """Return the values of codes."""
        return {
            name: codes[name] if isinstance(values, Interval) else values[codes[name]]
            for name, values in self._lists.items()
        }

    def encoded(self, values: Mapping[str, Value]) -> dict[str, Any] | None:
        """Return the codes of values; None if one is not in the space."""
        if set(values) != set(self.distributions):
            return None
        codes = {name: self._code(name, value) for name, value in values.items()}
        return None if None in codes.values() else codes

    def _code(self, name: str, value: Value) -> int | float | None:
        """Return the code of one value; None if it is not in the space."""
        values = self._lists[name]
        if isinstance(values, Interval):
            return float(value) if is_number(value) and values.low <= value <= values.high else None
        if isinstance(values, Steps):
            return values.position(value)
        return next((at for at, each in enumerate(values) if each == value and type(each) is type(value)), None)

    def key(self, codes: Mapping[str, Any]) -> tuple[Any, ...]:
        """Return what tells a combination from others."""
        return tuple(codes[name] for name in self.distributions)
