"""What the report of a sweep is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from lumibot_duckdb.results.records import SweepRecord, Value
from lumibot_duckdb.sweeps.overfitting import Assessment, assess
from lumibot_duckdb.sweeps.walk_forward.out_of_sample import Stability

if TYPE_CHECKING:
    import pandas as pd

BEST = 10
"""Of so many trials, the report shows the equity."""


@dataclass(frozen=True)
class Window:
    """A window of a walk-forward sweep.

    Attributes:
        number: Its number, from 1.
        train: The first and the last day of the search; None if no trial of it has daily returns.
        test: The first and the last day of the test; None if there was none, or it failed.
        parameters: The searched parameters that were best in sample; empty if no trial had a value.
        in_sample: The objective of these in the search; None if it has no value.
        out_of_sample: The objective of these in the test; None if it has no value.
    """

    number: int
    train: tuple[date, date] | None
    test: tuple[date, date] | None
    parameters: Mapping[str, Value]
    in_sample: float | None
    out_of_sample: float | None


@dataclass(frozen=True)
class WalkForwardReport:
    """What a walk-forward sweep has besides the search of its last window.

    Attributes:
        windows: The windows, in their order.
        stability: How stable the chosen parameters are.
        equity: The out-of-sample equity of all windows, one after another, with tz-aware times; None before the end.
        daily_returns: The daily returns of that equity.
    """

    windows: Sequence[Window]
    stability: Sequence[Stability] = ()
    equity: pd.Series[float] | None = None
    daily_returns: pd.Series[float] | None = None


@dataclass(frozen=True)
class SweepReport:
    """A sweep and its trials, in the form in which the report needs them.

    The frames have the numbers of the trials as their index, in the same order.

    Attributes:
        sweep: The sweep.
        objective: What it optimises: a name in `trading_statistics.STYLES`, or another one.
        minimize: Whether low values of the objective are good.
        trials: The columns `status` (see `results.records.Status`), `objective` and `seconds`, which may be missing,
            and `error`: one line, or None.
        parameters: A column for each searched parameter.
        statistics: A column for each name in `trading_statistics.STYLES`, as far as there are any.
        equity: The value of the portfolio, with tz-aware times, at least of `charted_trials`.
        daily_returns: A row for each day, and a column for each trial that has any.
        walk_forward: The windows of a walk-forward sweep; the trials are those of the search in its last window then.
        failed: The trials whose failures are listed, with the columns of `trials` (default: `trials`).
        risk_free: The risk-free rate of a year that the statistics have deducted (0.05 is 5 %).
        others: How many trials of earlier sweeps over the same days the user has chosen from, too.
    """

    sweep: SweepRecord
    objective: str
    minimize: bool
    trials: pd.DataFrame
    parameters: pd.DataFrame
    statistics: pd.DataFrame
    equity: Mapping[int, pd.Series[float]]
    daily_returns: pd.DataFrame
    walk_forward: WalkForwardReport | None = None
    failed: pd.DataFrame | None = None
    risk_free: float = 0.0
    others: int = 0

    @cached_property
    def ranking(self) -> list[int]:
        """The complete trials that have an objective, the best one first."""
        return ranking(self.trials, self.minimize)

    @cached_property
    def assessment(self) -> Assessment | None:
        """Whether the best trial is luck; None if there is no best trial. Pruned trials count as tried."""
        if not self.ranking:
            return None
        complete = self.trials.index[self.trials["status"] == "complete"]
        pruned = int((self.trials["status"] == "pruned").sum())
        return assess(
            self.daily_returns.reindex(columns=complete),
            self.ranking[0],
            objective=self.objective,
            minimize=self.minimize,
            risk_free=self.risk_free,
            others=pruned + self.others,
        )

    @cached_property
    def assessment_of_tests(self) -> Assessment | None:
        """Whether the tests of all windows are luck: nothing was chosen by them. None if they have no returns."""
        returns = None if self.walk_forward is None else self.walk_forward.daily_returns
        return None if returns is None else assess(returns.to_frame("tests"), risk_free=self.risk_free)


def ranking(trials: pd.DataFrame, minimize: bool) -> list[int]:
    """Return the numbers of the complete trials with an objective, the best one first; of equal ones, the earlier."""
    import pandas as pd

    objective = pd.to_numeric(trials.loc[trials["status"] == "complete", "objective"])
    finite = objective[np.isfinite(objective.to_numpy(dtype=float))]
    ordered = finite.sort_index().sort_values(ascending=minimize, kind="stable")
    return [int(number) for number in ordered.index]


def charted_trials(trials: pd.DataFrame, minimize: bool = False) -> list[int]:
    """Return the trials whose equity the report shows: the ten best ones, and the median one.

    Args:
        trials: The frame of `SweepReport.trials`.
        minimize: Whether low values of the objective are good.

    Example:
        >>> import pandas as pd
        >>> objectives = {number: number % 20 for number in range(1, 40)}
        >>> trials = pd.DataFrame({"status": "complete", "objective": objectives})
        >>> charted_trials(trials)
        [19, 39, 18, 38, 17, 37, 16, 36, 15, 35, 30]
    """
    ranked = ranking(trials, minimize)
    return list(dict.fromkeys([*ranked[:BEST], *(ranked[len(ranked) // 2 :][:1])]))


def listed(values: Mapping[str, Any]) -> str:
    """Return parameters as one text: "fast=5, slow=20"."""
    return ", ".join(f"{name}={value}" for name, value in values.items())
