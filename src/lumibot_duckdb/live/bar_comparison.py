"""Compares recorded bars of a series with those that its provider returns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from lumibot_duckdb.storage.api import EpochSeconds
from lumibot_duckdb.storage.times import bar_starts

EXAMPLES = 5
"""Of how many bars the differences are kept."""


@dataclass(frozen=True)
class DifferentValue:
    """A value that differs: the start of the bar, its column, and both values."""

    start: EpochSeconds
    column: str
    stored: float
    returned: float


@dataclass(frozen=True)
class BarComparison:
    """What comparing bars found.

    Attributes:
        compared: How many bars both have.
        different: How many of them differ.
        values: What differs in the first of these, bar by bar.
        missing: Starts of bars that the provider has and the store lacks.
        extra: Starts of bars that the store has and the provider lacks.
        lacking: Columns that the provider has and the store lacks.
    """

    compared: int
    different: int = 0
    values: tuple[DifferentValue, ...] = ()
    missing: tuple[EpochSeconds, ...] = ()
    extra: tuple[EpochSeconds, ...] = ()
    lacking: tuple[str, ...] = ()

    @property
    def equal(self) -> bool:
        """Whether both have the same bars, with the same values in the columns that the store has."""
        return not (self.different or self.missing or self.extra)

    @property
    def all_different(self) -> bool:
        """Whether both have bars at the same times, and all of them differ."""
        return self.different == self.compared and not (self.missing or self.extra)


def compared_bars(stored: pd.DataFrame, returned: pd.DataFrame) -> BarComparison:
    """Compare the bars of a range.

    Parameters:
        stored: the stored bars, indexed by tz-aware bar starts.
        returned: the provider's.
    """
    ours, theirs = _by_start(stored), _by_start(returned)
    common = ours.index.intersection(theirs.index)
    columns = [name for name in theirs.columns if name in ours.columns]
    before, after = (_numbers(frame.loc[common, columns]) for frame in (ours, theirs))
    differs = ~((before == after) | (np.isnan(before) & np.isnan(after)))
    different = np.flatnonzero(differs.any(axis=1))
    values = [
        DifferentValue(int(common[row]), columns[column], float(before[row, column]), float(after[row, column]))
        for row in different[:EXAMPLES]
        for column in np.flatnonzero(differs[row])
    ]
    return BarComparison(
        compared=len(common),
        different=len(different),
        values=tuple(values),
        missing=_starts(theirs.index.difference(common)),
        extra=_starts(ours.index.difference(common)),
        lacking=tuple(str(name) for name in theirs.columns if name not in ours.columns and theirs[name].notna().any()),
    )


def joined_bars(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return the bars of several responses in one frame."""
    filled = [frame for frame in frames if len(frame)]
    if not filled:
        nothing: pd.DataFrame = pd.DataFrame(index=pd.DatetimeIndex([], tz="UTC"))
        return nothing
    whole = pd.concat(filled).sort_index()
    once: pd.DataFrame = whole[~whole.index.duplicated(keep="last")]
    return once


def _by_start(frame: pd.DataFrame) -> pd.DataFrame:
    by_start: pd.DataFrame = frame.set_axis(pd.Index(bar_starts(frame)), axis=0)
    return by_start


def _numbers(frame: pd.DataFrame) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    numbers: np.ndarray[tuple[int, int], np.dtype[np.float64]] = frame.to_numpy(dtype=np.float64, na_value=np.nan)
    return numbers


def _starts(index: pd.Index[int]) -> tuple[EpochSeconds, ...]:
    return tuple(int(start) for start in index)
