"""What a file of an old cache holds, as things that can store themselves and compare themselves with the store."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from lumibot_duckdb.sources.shared.old_cache.errors import ConflictError
from lumibot_duckdb.storage.api import DataStorageInterface, SeriesKey, SeriesPin, TimeRange
from lumibot_duckdb.storage.bars import coverage
from lumibot_duckdb.storage.bars.input_checks import check_bars
from lumibot_duckdb.storage.errors import SeriesNotFoundError
from lumibot_duckdb.storage.times import Int64Array
from lumibot_duckdb.storage.times import bar_starts as starts_of


class CacheContent(ABC):
    """One thing that a cache file holds."""

    @property
    @abstractmethod
    def label(self) -> str:
        """Name of it that people read."""

    @property
    @abstractmethod
    def rows(self) -> int:
        """How many bars, splits or contracts it has."""

    @abstractmethod
    def new_rows(self, storage: DataStorageInterface) -> int:
        """Return how many of them `write` would add to the store."""

    @abstractmethod
    def check(self, storage: DataStorageInterface) -> int | None:
        """Raise what speaks against storing it, and write nothing; return the version of the series that was looked at.

        That is None where there is none. Raises `ConflictError` if the store has other values, `InvalidBarsError` if it
        would refuse them.
        """

    @abstractmethod
    def write(self, storage: DataStorageInterface, metadata: Mapping[str, Any], checked: int | None) -> int:
        """Store it once it was checked, and return how many rows the store did not have before.

        `metadata` says where it came from, `checked` is what `check` returned. What is stored already is never
        replaced. Raises storage errors as they come.
        """

    def store(self, storage: DataStorageInterface, metadata: Mapping[str, Any]) -> int:
        """Check it and store it; see `check` and `write`."""
        return self.write(storage, metadata, self.check(storage))

    @abstractmethod
    def difference(self, storage: DataStorageInterface) -> str | None:
        """Return None if the store gives all of it back, to the bit; else the first difference, in words."""

    def only_in_file(self, storage: DataStorageInterface) -> str:
        """Say what of it was left out since the store had other values there on purpose; "" if nothing was."""
        return ""


@dataclass(frozen=True)
class LeftOut(CacheContent):
    """A part of a file that is not brought in, though the rest is. A file that has such is never deleted.

    `damaged` says that it cannot be read, or was refused, so that somebody should look at it.
    """

    what: str
    damaged: bool = False

    @property
    def label(self) -> str:
        """What it is, and why it is left out."""
        return self.what

    @property
    def rows(self) -> int:
        """None that would be stored."""
        return 0

    def new_rows(self, storage: DataStorageInterface) -> int:
        """None either."""
        return 0

    def check(self, storage: DataStorageInterface) -> int | None:
        """Find nothing against leaving it out."""
        return None

    def write(self, storage: DataStorageInterface, metadata: Mapping[str, Any], checked: int | None) -> int:
        """Do nothing."""
        return 0

    def difference(self, storage: DataStorageInterface) -> str | None:
        """There is nothing that the store could give back."""
        return None


@dataclass(frozen=True)
class CachedBars(CacheContent):
    """Bars of one series, as its source would have stored them.

    `bars` is a frame that the storage takes (tz-aware index of bar starts), `covered` the ranges that the provider
    answered for, those without a bar included, `asked_at` (tz-aware) when it did, at the latest. `metadata` is what
    the source keeps with such bars.
    """

    key: SeriesKey
    bars: pd.DataFrame
    covered: Sequence[TimeRange]
    asked_at: datetime
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """Name of the series."""
        return self.key.label()

    @property
    def rows(self) -> int:
        """How many bars there are."""
        return len(self.bars)

    @cached_property
    def starts(self) -> Int64Array:
        """When the bars start."""
        return starts_of(self.bars)

    def new_rows(self, storage: DataStorageInterface) -> int:
        """Return how many bars are in ranges that the store does not cover."""
        return int(self._inside(self.lacking(storage)).sum())

    def check(self, storage: DataStorageInterface) -> int | None:
        """Refuse bars that cannot be stored, and those that the store has with other values, or knows not to be."""
        check_bars(self.label, self.bars)
        pin = self.pin_in(storage)
        if pin is not None and storage.facts(pin).rows:
            stored = self._stored(storage)
            self._compare_with(stored)
            self._refuse_unheard_of(stored, self._answered(storage))
        return None if pin is None else pin.version_id

    def write(self, storage: DataStorageInterface, metadata: Mapping[str, Any], checked: int | None) -> int:
        """Store the bars of what is not covered in the store yet, and nothing of it in another version."""
        version, added = checked, 0
        for piece in self.lacking(storage):
            result = storage.store_ohlcv_data(
                self.key.asset,
                self.bars[self._inside([piece])],
                self.key.source,
                self.key.timeframe,
                adjustment=self.key.adjustment,
                covered=piece,
                metadata={**metadata, **self.noted(piece)},
                asked_at=self.asked_at,
                onto=version,
            )
            version = result.version_id
            added += result.added
        return added

    def lacking(self, storage: DataStorageInterface) -> list[TimeRange]:
        """Return the ranges that the store does not cover."""
        known = self._answered(storage)
        return [piece for asked in self.covered for piece in coverage.missing(asked, known)]

    def _inside(self, pieces: Sequence[TimeRange]) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Tell which bars start in some ranges."""
        inside = np.zeros(len(self.bars), dtype=bool)
        for piece in pieces:
            inside |= (self.starts >= piece.start) & (self.starts < piece.end)
        return inside

    def _answered(self, storage: DataStorageInterface) -> list[TimeRange]:
        """Return for which ranges the store needs nothing more: bars count for more than an empty answer."""
        return storage.coverage(self.key, for_good=len(self.bars) > 0)

    def _compare_with(self, stored: pd.DataFrame) -> None:
        """Raise `ConflictError` if stored bars of the same times are others."""
        difference = _first_difference(stored, self.bars, only_common=True)
        if difference is not None:
            raise ConflictError(f"the store has other bars of {self.label} ({difference}); those are kept")

    def _refuse_unheard_of(self, stored: pd.DataFrame, answered: Sequence[TimeRange]) -> None:
        """Raise `ConflictError` if there are bars where the store has an answer that lacks them."""
        times = np.setdiff1d(self.starts, starts_of(stored))
        for piece in answered:
            inside = times[(times >= piece.start) & (times < piece.end)]
            if len(inside):
                at = pd.Timestamp(inside[0], unit="s", tz="UTC")
                raise ConflictError(
                    f"the store has bars of {self.label} around {at}, and none at that time; those are kept"
                )

    def difference(self, storage: DataStorageInterface) -> str | None:
        """Compare every bar with what the store gives back."""
        return _first_difference(self._stored(storage), self.bars, only_common=False)

    def pin_in(self, storage: DataStorageInterface) -> SeriesPin | None:
        """Return the current version of the series; None if there is none."""
        try:
            return storage.pin(self.key)
        except SeriesNotFoundError:
            return None

    def shares_a_bar(self, storage: DataStorageInterface) -> bool:
        """Tell whether the store has a bar at the time of one of these."""
        return bool(np.isin(self.starts, starts_of(self._stored(storage))).any())

    def noted(self, piece: TimeRange) -> Mapping[str, Any]:
        """Return what the source keeps with the bars of a piece of what is covered."""
        return self.metadata

    def _stored(self, storage: DataStorageInterface) -> pd.DataFrame:
        """Return the stored bars from the first to the last of these."""
        if not len(self.bars):
            return self.bars
        pin = self.pin_in(storage)
        if pin is None:
            nothing: pd.DataFrame = self.bars.iloc[:0]
            return nothing
        stored: pd.DataFrame = storage.read_pandas(pin, TimeRange(int(self.starts.min()), int(self.starts.max()) + 1))
        return stored


def _first_difference(stored: pd.DataFrame, bars: pd.DataFrame, *, only_common: bool) -> str | None:
    """Return the first place, by time, where bars of a file are not what the store has; None if there is none.

    With `only_common`, at the times that both have.
    """
    bars = bars.sort_index()
    there = pd.Series(np.arange(len(stored)), index=starts_of(stored))
    at = there.reindex(starts_of(bars))
    absent = at.isna().to_numpy()
    if absent.any() and not only_common:
        return f"the store has no bar at {bars.index[int(absent.argmax())]}"
    bars, stored = bars[~absent], stored.iloc[at[~absent].astype(np.int64)]
    first: tuple[int, str] | None = None
    for column in bars.columns:
        if column not in stored:
            differs = bars[column].notna().to_numpy()
        else:
            one, other = bars[column].to_numpy(), stored[column].to_numpy()
            differs = ~((one == other) | (pd.isna(one) & pd.isna(other)))
        if differs.any() and (first is None or int(differs.argmax()) < first[0]):
            first = (int(differs.argmax()), str(column))
    if first is None:
        return None
    row, column = first
    there_is = value_text(stored[column].iloc[row]) if column in stored else "nothing"
    return f"{column} at {bars.index[row]}: {value_text(bars[column].iloc[row])} in the file, {there_is} in the store"


def value_text(value: object) -> str:
    """Return a value of a frame as people write it, with all digits."""
    return repr(value.item() if isinstance(value, np.generic) else value)
