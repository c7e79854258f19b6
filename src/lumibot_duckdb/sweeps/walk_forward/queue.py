"""The trials of a walk-forward sweep: a search in each window, and then a test of its best parameters.

All numbers are fixed before the first trial, so that a resumed sweep has the same: window w has the numbers from
(w - 1) * stride + 1. The last of them is its test, and the ones before it are those of its search.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from lumibot_duckdb.results.records import TrialRecord, Value
from lumibot_duckdb.sweeps.search.objectives import Objective
from lumibot_duckdb.sweeps.search.sampler import Sampler
from lumibot_duckdb.sweeps.search_queue import completed
from lumibot_duckdb.sweeps.trials.trial import Trial
from lumibot_duckdb.sweeps.walk_forward.windows import Window


@dataclass
class _Search:
    """The search in one window, and its test."""

    window: Window
    sampler: Sampler
    values: dict[int, Mapping[str, Value]] = field(default_factory=dict)
    objectives: dict[int, float | None] = field(default_factory=dict)
    running: int = 0
    is_exhausted: bool = False
    is_tested: bool = False

    @property
    def is_complete(self) -> bool:
        """Whether all trials of the search have ended."""
        return self.is_exhausted and not self.running


class WalkForwardQueue:
    """The trials of all windows. The search in a window starts while the last trials of the one before it run.

    Parameters:
        windows: The windows.
        new_sampler: Returns a sampler for the search in one window.
        most: A number that no trial of a sampler exceeds.
        objective: What makes a trial the best.
    """

    def __init__(
        self,
        windows: Sequence[Window],
        new_sampler: Callable[[], Sampler],
        most: int,
        objective: Objective,
    ) -> None:
        self._searches = [_Search(window, new_sampler()) for window in windows]
        self._stride = most + 1
        self._objective = objective
        totals = [search.sampler.total for search in self._searches]
        known = [total for total in totals if total is not None]
        self.total = sum(known) + len(windows) if len(known) == len(windows) else None

    @property
    def joined_number(self) -> int:
        """The number of the record of all tests joined."""
        return len(self._searches) * self._stride + 1

    @property
    def tests(self) -> list[int]:
        """The numbers of the tests, window by window."""
        return [search.window.number * self._stride for search in self._searches]

    def next(self) -> Trial | None:
        """Return the next trial of the first window that has one."""
        for search in self._searches:
            trial = self._next_of(search)
            if trial is not None:
                return trial
        return None

    def take(self, trial: Trial, record: TrialRecord) -> TrialRecord:
        """Take the result of a trial of a search, or of a test."""
        record = completed(record, trial, self._objective)
        search, number = self._place(trial.number)
        if number == self._stride:
            return replace(record, phase="out-of-sample", window=search.window.number)
        search.running -= 1
        self._note(search, number, record.objective, trial)
        return replace(record, phase="in-sample", window=search.window.number)

    def intermediate(self, number: int, day: int, value: float) -> bool:
        """Take the value of a portfolio at the end of a day, and return whether its trial is to end. Thread-safe."""
        search, place = self._place(number)
        if place == self._stride:
            return False
        return bool(search.sampler.intermediate(place, day, value))  # type: ignore[attr-defined]  # Optuna's has it

    def know(self, trial: Trial, objective: float | None) -> None:
        """Take a trial that an earlier run has stored."""
        search, number = self._place(trial.number)
        if number == self._stride:
            search.is_tested = True
        else:
            self._note(search, number, objective, trial)

    def _note(self, search: _Search, number: int, objective: float | None, trial: Trial) -> None:
        search.sampler.tell(number, objective, trial.values)
        search.values[number], search.objectives[number] = trial.values, objective

    def _place(self, number: int) -> tuple[_Search, int]:
        """Return the search that a number of the sweep belongs to, and the number in that search."""
        index, position = divmod(number - 1, self._stride)
        return self._searches[index], position + 1

    def _next_of(self, search: _Search) -> Trial | None:
        first = (search.window.number - 1) * self._stride
        if not search.is_exhausted:
            asked = search.sampler.ask()
            if asked is not None:
                search.running += 1
                return Trial(first + asked[0], asked[1], search.window.train)
            search.is_exhausted = True
        if not search.is_complete or search.is_tested:
            return None
        search.is_tested = True
        best = self._objective.best(search.objectives.items())
        return None if best is None else Trial(first + self._stride, search.values[best], search.window.test)
