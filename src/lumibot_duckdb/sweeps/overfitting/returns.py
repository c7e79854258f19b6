"""The daily returns of a sweep's trials as a matrix without gaps."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

FloatArray: TypeAlias = "np.ndarray[Any, np.dtype[np.float64]]"

FEWEST_DAYS = 30
"""With fewer days, no statistic says anything about luck."""
MOST_MISSING = 0.1
"""A trial that lacks a larger part of the days is left out. Otherwise, the days that it lacks are left out for all."""
_FLAT = 1e-12
"""Daily returns that differ by less are equal: they come from rounding."""

_NO_RETURNS = "it has no daily returns"
_LACKING = f"it lacks more than {100 * MOST_MISSING:.0f} % of the days"
_LARGEST = 1e6
"""A return of a day above this is an error, and its powers would not be finite."""
_UNUSABLE = "its value fell below zero, or rose from zero"
_FLAT_REASON = "its daily returns are all equal"


class NotEnoughError(ValueError):
    """There are too few returns or trials for a statistic, or too extreme ones. The message is the reason."""


@dataclass(frozen=True)
class DailyReturns:
    """Daily returns of trials that can be compared.

    Attributes:
        values: Days by trials, in time order: finite, without missing values, and no two trials have the same returns.
        labels: The trials.
        years: From the first to the last day, as quantstats counts them: a year has 365.25 days.
        alias: For each trial whose returns equal those of an earlier one, that trial.
        left_out: The trials that cannot be compared, by reason.
    """

    values: FloatArray
    labels: Sequence[Hashable]
    years: float
    alias: Mapping[Hashable, Hashable]
    left_out: Mapping[str, Sequence[Hashable]]

    @property
    def days(self) -> int:
        """How many days there are."""
        return int(self.values.shape[0])

    def reason(self, label: Hashable) -> str | None:
        """Return why a trial was left out; None if it was not."""
        return next((reason for reason, labels in self.left_out.items() if label in labels), None)

    def column(self, label: Hashable) -> FloatArray:
        """Return the returns of a trial that was not left out."""
        return self.values[:, list(self.labels).index(self.alias.get(label, label))]


def prepare(frame: pd.DataFrame) -> DailyReturns:
    """Return daily returns (days by trials; the index has the days) as a matrix without gaps.

    The same days count for all trials:

    - Trials are left out that have no returns, lack more than a tenth of the days, have a return below -100 % or above
      a million, or whose returns are all equal.
    - Then, days are left out which any other trial lacks.
    - Trials with exactly the same returns count once: they differ in a parameter that has no effect.
    """
    ordered = frame.sort_index()
    labels: list[Hashable] = list(ordered.columns)
    values = np.asarray(ordered.to_numpy(dtype=np.float64, na_value=np.nan)) + 0.0  # no negative zeros
    left_out: dict[str, list[Hashable]] = defaultdict(list)
    there = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        unusable = np.any((values > _LARGEST) | (values < -1), axis=0).tolist()
    kept: list[int] = []
    for place, label in enumerate(labels):
        present = there[:, place].mean() if len(values) else 0.0
        reason = (
            _NO_RETURNS if not present
            else _UNUSABLE if unusable[place]
            else _LACKING if present < 1 - MOST_MISSING
            else ""
        )  # fmt: skip
        if reason:
            left_out[reason].append(label)
        else:
            kept.append(place)
    whole = there[:, kept].all(axis=1)
    values, days = values[whole][:, kept], ordered.index[whole]
    distinct, alias = _distinct(values, [labels[place] for place in kept], left_out)
    return DailyReturns(
        np.ascontiguousarray(values[:, list(distinct)]),
        list(distinct.values()),
        _years(days),
        alias,
        dict(left_out),
    )


def _distinct(
    values: FloatArray, labels: Sequence[Hashable], left_out: dict[str, list[Hashable]]
) -> tuple[dict[int, Hashable], dict[Hashable, Hashable]]:
    """Return the columns whose values vary and differ from those of all earlier ones, and which equal earlier ones."""
    found: dict[int, Hashable] = {}
    alias: dict[Hashable, Hashable] = {}
    first: dict[bytes, Hashable] = {}
    flat = np.ptp(values, axis=0) < _FLAT if len(values) else np.ones(len(labels), bool)
    for place, label in enumerate(labels):
        if flat[place]:
            left_out[_FLAT_REASON].append(label)
            continue
        earlier = first.setdefault(values[:, place].tobytes(), label)
        if earlier is label:
            found[place] = label
        else:
            alias[label] = earlier
    return found, alias


def _years(days: pd.Index[Any]) -> float:
    import pandas as pd

    if len(days) < 2:
        return 0.0
    if not isinstance(days, pd.DatetimeIndex):
        days = pd.DatetimeIndex(pd.to_datetime(days))
    return float((days[-1] - days[0]).total_seconds() / (365.25 * 86_400))
