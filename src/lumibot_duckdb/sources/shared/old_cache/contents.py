"""The contents of old cache files. Each can check itself against the store, write itself, and verify the result."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from lumibot_duckdb.sources.shared.evidence import extent
from lumibot_duckdb.sources.shared.old_cache.errors import ConflictError
from lumibot_duckdb.sources.shared.trading_hours import TradingHours, hours_of
from lumibot_duckdb.storage.api import DataStorageInterface, SeriesKey, SeriesPin, TimeRange
from lumibot_duckdb.storage.bars import coverage
from lumibot_duckdb.storage.bars.input_checks import check_bars
from lumibot_duckdb.storage.errors import SeriesNotFoundError
from lumibot_duckdb.storage.times import Int64Array, bar_starts


class CacheContent(ABC):
    """One item in a cache file, such as a series of bars or an option chain."""

    @property
    @abstractmethod
    def label(self) -> str:
        """Its name in reports."""

    @property
    @abstractmethod
    def rows(self) -> int:
        """How many bars, splits or contracts it has."""

    @abstractmethod
    def new_rows(self, storage: DataStorageInterface) -> int:
        """Return how many of them `write` would add to the store."""

    @abstractmethod
    def check(self, storage: DataStorageInterface) -> int | None:
        """Check that the item can be stored, without writing, and return the series version that was checked, if any.

        Raises `ConflictError` if the store has different values, `InvalidBarsError` if it would reject them.
        """

    @abstractmethod
    def write(self, storage: DataStorageInterface, metadata: Mapping[str, Any], checked: int | None) -> int:
        """Store the item after `check`, and return how many of its rows were new to the store.

        `metadata` names the origin, and `checked` is the version that `check` returned. Stored rows are never replaced.
        Storage errors are not handled.
        """

    def store(self, storage: DataStorageInterface, metadata: Mapping[str, Any]) -> int:
        """Check and write the item."""
        return self.write(storage, metadata, self.check(storage))

    @abstractmethod
    def difference(self, storage: DataStorageInterface) -> str | None:
        """Return None if the store returns exactly the same values; otherwise a description of the first difference."""

    def only_in_file(self, storage: DataStorageInterface) -> str:
        """Describe the values that were not stored because the store keeps its own for them; "" if there are none."""
        return ""


@dataclass(frozen=True)
class LeftOut(CacheContent):
    """A part of a file that is not migrated although the rest is. Such a file is never deleted.

    `damaged` means that the part cannot be read or was refused, so the user should look at it.
    """

    what: str
    damaged: bool = False

    @property
    def label(self) -> str:
        """The part, and why it is left out."""
        return self.what

    @property
    def rows(self) -> int:
        """Zero, because nothing is stored."""
        return 0

    def new_rows(self, storage: DataStorageInterface) -> int:
        """Zero, because nothing is stored."""
        return 0

    def check(self, storage: DataStorageInterface) -> int | None:
        """Accept, because nothing is stored."""
        return None

    def write(self, storage: DataStorageInterface, metadata: Mapping[str, Any], checked: int | None) -> int:
        """Do nothing."""
        return 0

    def difference(self, storage: DataStorageInterface) -> str | None:
        """None, because nothing is stored."""
        return None


@dataclass(frozen=True)
class CachedBars(CacheContent):
    """Bars of one series, as its source would have stored them.

    `bars` is a frame that the storage accepts (tz-aware index of bar starts). `covered` are the ranges that the
    provider answered for, including empty ones. `asked_at` (tz-aware) is the latest time at which it can have answered.
    `metadata` is stored with the bars. `proven` are the ranges from the first bar of a response to the end of its last
    one; None stands for a single response with just these bars.
    """

    key: SeriesKey
    bars: pd.DataFrame
    covered: Sequence[TimeRange]
    asked_at: datetime
    metadata: Mapping[str, Any] = field(default_factory=dict)
    proven: Sequence[TimeRange] | None = None

    @property
    def label(self) -> str:
        """Name of the series."""
        return self.key.label()

    @property
    def rows(self) -> int:
        """The number of bars."""
        return len(self.bars)

    @cached_property
    def starts(self) -> Int64Array:
        """The starts of the bars."""
        return bar_starts(self.bars)

    def new_rows(self, storage: DataStorageInterface) -> int:
        """Return how many bars are in ranges that the store does not cover."""
        return int(coverage.in_ranges(self.starts, self.lacking(storage)).sum())

    def check(self, storage: DataStorageInterface) -> int | None:
        """Refuse invalid bars, bars that the store has with different values, and bars where it has proof of none."""
        check_bars(self.label, self.bars)
        pin = self.pin_in(storage)
        if pin is not None and storage.facts(pin).rows:
            stored = self._stored(storage)
            self._compare_with(stored)
            self._refuse_disproved(stored, self._answered(storage))
        return None if pin is None else pin.version_id

    def write(self, storage: DataStorageInterface, metadata: Mapping[str, Any], checked: int | None) -> int:
        """Store the bars of ranges that the store does not cover, in the version that was checked."""
        version, added = checked, 0
        for piece in self.lacking(storage):
            result = storage.store_ohlcv_data(
                self.key.asset,
                self.bars[coverage.in_ranges(self.starts, [piece])],
                self.key.source,
                self.key.timeframe,
                adjustment=self.key.adjustment,
                covered=piece,
                provisional=self.provisional(piece),
                metadata={**metadata, **self.metadata_of(piece)},
                asked_at=self.asked_at,
                onto=version,
            )
            version = result.version_id
            added += result.added
        return added

    def lacking(self, storage: DataStorageInterface) -> list[TimeRange]:
        """Return the ranges that the store does not cover."""
        known = self._answered(storage)
        return [piece for covered in self.covered for piece in coverage.missing(covered, known)]

    def provisional(self, piece: TimeRange) -> list[TimeRange]:
        """Return the parts of a covered range that no response proves: trading time before or after its bars."""
        whole = extent(self.starts, self.key.timeframe)
        proven = ([] if whole is None else [whole]) if self.proven is None else self.proven
        margins = coverage.missing(piece, proven)
        hours = self.hours
        return [part for each in margins if (part := hours.trading_part(each, self.key.timeframe)) is not None]

    @property
    def hours(self) -> TradingHours:
        """When the market of the series is open."""
        return hours_of(self.key.asset)

    def _answered(self, storage: DataStorageInterface) -> list[TimeRange]:
        """Return the ranges for which the store needs no bars; bars may fill a range that an empty answer covers."""
        return storage.coverage(self.key, permanent_only=len(self.bars) > 0)

    def _compare_with(self, stored: pd.DataFrame) -> None:
        """Raise `ConflictError` if stored bars at the same times differ."""
        difference = _first_difference(stored, self.bars, only_common=True)
        if difference is not None:
            raise ConflictError(f"the store has different bars of {self.label} ({difference}), which are kept")

    def _refuse_disproved(self, stored: pd.DataFrame, answered: Sequence[TimeRange]) -> None:
        """Raise `ConflictError` for bars in covered ranges that the store does not have."""
        times = np.setdiff1d(self.starts, bar_starts(stored))
        for piece in answered:
            inside = times[(times >= piece.start) & (times < piece.end)]
            if len(inside):
                at = pd.Timestamp(inside[0], unit="s", tz="UTC")
                raise ConflictError(
                    f"the store has bars of {self.label} around {at} but none at that time; its bars are kept"
                )

    def difference(self, storage: DataStorageInterface) -> str | None:
        """Compare every bar with the stored one."""
        return _first_difference(self._stored(storage), self.bars, only_common=False)

    def pin_in(self, storage: DataStorageInterface) -> SeriesPin | None:
        """Return the current version of the series; None if there is none."""
        try:
            return storage.pin(self.key)
        except SeriesNotFoundError:
            return None

    def shares_a_bar(self, storage: DataStorageInterface) -> bool:
        """Return whether the store has a bar at the time of any of these."""
        return bool(np.isin(self.starts, bar_starts(self._stored(storage))).any())

    def metadata_of(self, piece: TimeRange) -> Mapping[str, Any]:
        """Return the metadata to store with the bars of a covered range."""
        return self.metadata

    def _stored(self, storage: DataStorageInterface) -> pd.DataFrame:
        """Return the stored bars between the first and the last of these, both included."""
        if not len(self.bars):
            return self.bars
        pin = self.pin_in(storage)
        if pin is None:
            nothing: pd.DataFrame = self.bars.iloc[:0]
            return nothing
        stored: pd.DataFrame = storage.read_pandas(pin, TimeRange(int(self.starts.min()), int(self.starts.max()) + 1))
        return stored


def _first_difference(stored: pd.DataFrame, bars: pd.DataFrame, *, only_common: bool) -> str | None:
    """Return the first difference, by time, between the bars of a file and the stored ones; None if there is none.

    With `only_common`, only times that both have are compared.
    """
    bars = bars.sort_index()
    there = pd.Series(np.arange(len(stored)), index=bar_starts(stored))
    at = there.reindex(bar_starts(bars))
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
    theirs = value_text(stored[column].iloc[row]) if column in stored else "nothing"
    return f"{column} at {bars.index[row]}: {value_text(bars[column].iloc[row])} in the file, {theirs} in the store"


def value_text(value: object) -> str:
    """Return a value of a frame with all digits, without NumPy's type."""
    return repr(value.item() if isinstance(value, np.generic) else value)
