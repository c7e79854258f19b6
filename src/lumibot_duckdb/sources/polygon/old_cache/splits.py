"""The splits that prices in a Polygon cache are adjusted for, so that prices of different adjustments never mix."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from math import log
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lumibot_duckdb.sources.polygon.metadata import SOURCE, adjusted_as_of, days_of_adjustment
from lumibot_duckdb.sources.shared.old_cache.contents import CacheContent, CachedBars
from lumibot_duckdb.sources.shared.old_cache.errors import ConflictError, LeftAloneError, UnreadableFileError
from lumibot_duckdb.sources.shared.old_cache.table_file import read_table
from lumibot_duckdb.storage.api import AssetKey, CorporateAction, DataStorageInterface, KnownActions

_A_SPLIT = log(1.45)
"""Smaller overnight jumps occur without a split."""

_SIMILAR = 0.25
"""A jump counts as a split if it differs from the split's factor (both as logarithms) by less than this part."""


@dataclass(frozen=True)
class Snapshot:
    """All splits of a stock up to the day on which Polygon listed them, without announced ones."""

    splits: tuple[CorporateAction, ...]
    checked_at: datetime


@dataclass(frozen=True)
class CachedSplits(CacheContent):
    """The splits that the bars of a file are adjusted for.

    Bars without a `snapshot` are adjusted for all splits until `downloaded`, but those are not known.
    """

    stock: AssetKey
    snapshot: Snapshot | None
    downloaded: date
    bars: Sequence[CachedBars]

    @property
    def label(self) -> str:
        """The name of the stock's splits."""
        return f"splits of {self.stock.symbol}"

    @property
    def rows(self) -> int:
        """Zero, because splits are counted with their bars."""
        return 0

    def new_rows(self, storage: DataStorageInterface) -> int:
        """Zero, because splits are counted with their bars."""
        return 0

    def check(self, storage: DataStorageInterface) -> int | None:
        """Refuse splits that do not match the stored splits or the adjustment of the stored bars."""
        known = storage.corporate_actions(self.stock, SOURCE)
        if self.snapshot is None:
            if known is not None:
                self._refuse_later(known.actions, self.downloaded, "were downloaded")
        elif known is not None and _in_order(known.actions) != _in_order(self.snapshot.splits):
            raise ConflictError(
                f"the store has different splits of {self.stock.symbol} (as of {known.checked_at:%Y-%m-%d}) than the "
                f"cache (as of {self.snapshot.checked_at:%Y-%m-%d}), so their prices are adjusted differently"
            )
        elif known is None:
            stored = adjusted_as_of(storage, self.stock.symbol)
            if stored is not None:
                self._refuse_later(self.snapshot.splits, stored, "in the store were downloaded")
        self._refuse_unknown_adjustment(storage, known)
        return None

    def write(self, storage: DataStorageInterface, metadata: Mapping[str, Any], checked: int | None) -> int:
        """Store the splits, unless the store has them."""
        if self.snapshot is None:
            return 0
        known = storage.corporate_actions(self.stock, SOURCE)
        if known is None or known.checked_at < self.snapshot.checked_at:
            storage.record_corporate_actions(
                self.stock, self.snapshot.splits, SOURCE, checked_at=self.snapshot.checked_at
            )
        return 0

    def difference(self, storage: DataStorageInterface) -> str | None:
        """Compare the splits with the stored ones."""
        known = storage.corporate_actions(self.stock, SOURCE)
        if self.snapshot is None or (known and _in_order(known.actions) == _in_order(self.snapshot.splits)):
            return None
        return f"the store has different splits of {self.stock.symbol}"

    def _refuse_unknown_adjustment(self, storage: DataStorageInterface, known: KnownActions | None) -> None:
        """Refuse bars if there may have been a split, in no known list, between their download and the stored bars'.

        Bars in common show that there was none; `CachedBars` compares them.
        """
        pin = self.bars[0].pin_in(storage) if self.bars else None
        if pin is None or not storage.facts(pin).rows:
            return
        lists = [each.checked_at.astimezone().date() for each in (known, self.snapshot) if each is not None]
        own = set() if self.snapshot is not None else {self.downloaded}
        stored = days_of_adjustment(storage, pin)
        if own & stored or max(own | stored, default=date.min) <= max(lists, default=date.min):
            return
        if not any(each.shares_a_bar(storage) for each in self.bars):
            raise ConflictError(
                f"they were downloaded at another time than the stored bars of {self.stock.symbol}, have no bar in "
                "common with them, and there may have been a split in between; run a backtest on the store, which "
                "downloads the splits from Polygon, then `migrate` again"
            )

    def _refuse_later(self, splits: Iterable[CorporateAction], day: date, done: str) -> None:
        later = [split.ex_date for split in splits if split.ex_date > day]
        if later:
            raise ConflictError(f"{self.stock.symbol} was split on {later[0]}, after the bars {done} ({day})")


def read_snapshot(path: Path, checked_at: datetime) -> Snapshot:
    """Return the splits in a file. Raises `UnreadableFileError`."""
    table = read_table(path)
    if not len(table):
        return Snapshot((), checked_at)
    try:
        splits = [
            CorporateAction(date.fromisoformat(str(day)[:10]), split_from=before, split_to=after)
            for day, before, after in zip(table["execution_date"], table["split_from"], table["split_to"], strict=True)
        ]
    except (KeyError, ValueError, TypeError) as error:
        raise UnreadableFileError(f"its snapshot of splits, {path.name}, cannot be read: {error}") from None
    return Snapshot(tuple(split for split in splits if split.ex_date <= checked_at.date()), checked_at)


def refuse_later_splits(snapshot: Snapshot, downloaded: date) -> None:
    """Raise `LeftAloneError` if bars that were last downloaded on a day are not adjusted for a later split."""
    later = [split.ex_date for split in snapshot.splits if split.ex_date > downloaded]
    if later:
        raise LeftAloneError(f"it is from {downloaded}, so its prices are not adjusted for the split of {later[0]}")


def refuse_jumps(bars: pd.DataFrame, snapshot: Snapshot | None) -> None:
    """Raise `LeftAloneError` if the prices of a stock jump overnight, as if some were not adjusted for a split.

    `bars` are sorted, in New York time. With a snapshot, only jumps that match one of its splits count.
    """
    days = pd.DatetimeIndex(bars.index).tz_localize(None).to_numpy().astype("M8[D]")
    begins = np.flatnonzero(days[1:] != days[:-1]) + 1
    opens, closes = (bars[name].to_numpy(dtype=float) for name in ("open", "close"))
    with np.errstate(divide="ignore", invalid="ignore"):
        jumps = np.log(closes[begins - 1] / opens[begins])
    for at, jump in zip(begins, jumps, strict=True):
        if np.isfinite(jump) and abs(jump) >= _A_SPLIT and (snapshot is None or _is_of_a_split(jump, snapshot)):
            raise LeftAloneError(
                f"its prices jump on {days[at]} like at a split, so earlier prices may not be adjusted for it"
            )


def _is_of_a_split(jump: float, snapshot: Snapshot) -> bool:
    factors = [
        log(split.split_to / split.split_from) for split in snapshot.splits if split.split_to and split.split_from
    ]
    return any(abs(jump - factor) < _SIMILAR * abs(factor) for factor in factors if abs(factor) >= _A_SPLIT)


def _in_order(actions: Iterable[CorporateAction]) -> list[CorporateAction]:
    return sorted(set(actions), key=lambda each: (each.ex_date, each.split_from or 0.0, each.split_to or 0.0))
