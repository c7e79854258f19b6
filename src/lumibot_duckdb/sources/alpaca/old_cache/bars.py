"""Alpaca's bars from Lumibot's caches, whose prices may be adjusted for other splits than the stored bars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import numpy as np
import pandas as pd

from lumibot_duckdb.sources.alpaca.actions import GIVEN_AT, RESTATES, SOURCE, given_at
from lumibot_duckdb.sources.shared.old_cache.contents import CachedBars, value_text
from lumibot_duckdb.sources.shared.old_cache.errors import ConflictError
from lumibot_duckdb.storage.api import AssetKey, DataStorageInterface, EpochSeconds, SeriesKey, TimeRange
from lumibot_duckdb.storage.bars import coverage
from lumibot_duckdb.storage.bars.input_checks import check_bars
from lumibot_duckdb.storage.times import NEW_YORK
from lumibot_duckdb.windows.calendar_frames import COLUMNS

LAST_BITS = 1e-13
"""The largest relative difference between a price and the one that pandas reads from its text."""

BASIS = "basis"
"""Metadata key of a write of adjusted bars: bars with the same basis are adjusted for the same splits and dividends."""

_LONGEST_DAY = 25 * 3600


@dataclass(frozen=True)
class AlpacaBars(CachedBars):
    """The bars of one answer of Alpaca, and the ranges that it covers.

    Bars with the same `basis` are adjusted for the same splits and dividends. `given_at` is when Alpaca returned or
    last confirmed these prices (None: `asked_at`).
    """

    basis: str = ""
    given_at: datetime | None = None

    def check(self, storage: DataStorageInterface) -> int | None:
        """Also refuse adjusted bars if nothing shows that they are adjusted like the stored ones."""
        check_bars(self.label, self.bars)
        stored = self._stored(storage)
        self._refuse_others(storage, stored, adds=bool(self.lacking(storage)))
        self._refuse_disproved(stored, self._answered(storage))
        return None

    def write(self, storage: DataStorageInterface, metadata: Mapping[str, Any], checked: int | None) -> int:
        """Store the ranges that the store does not cover, in one write."""
        pieces = self.lacking(storage)
        if not pieces:
            return 0
        return storage.store_ohlcv_data(
            self.key.asset,
            self.bars[coverage.in_ranges(self.starts, pieces)],
            self.key.source,
            self.key.timeframe,
            adjustment=self.key.adjustment,
            covered=pieces[0],
            also_covered=pieces[1:],
            provisional=[part for piece in pieces for part in self.provisional(piece)],
            metadata={**metadata, **self.metadata, GIVEN_AT: self._given_at.isoformat(), BASIS: self.basis},
            asked_at=self.asked_at,
        ).added

    def difference(self, storage: DataStorageInterface) -> str | None:
        """Compare every bar with the stored one. Prices may have lost their last bits in a file."""
        stored = self._stored(storage)
        lacking = self.bars.index.difference(stored.index)
        if len(lacking):
            return f"the store has no bar at {lacking[0]}"
        return self._other_price(stored)

    def only_in_file(self, storage: DataStorageInterface) -> str:
        """Describe the columns that are not stored because the store had these bars from elsewhere, without them."""
        stored = self._stored(storage)
        common = self.bars.index.intersection(stored.index)
        others = [str(name) for name in self.bars if name not in COLUMNS]
        here, there = (frame.reindex(index=common, columns=others) for frame in (self.bars, stored))
        names = [name for name in others if (here[name].notna() & (here[name] != there[name])).any()]
        if not names:
            return ""
        return f"its {' and '.join(names)} for bars that were in the store before, such as those from CSV files"

    @property
    def _given_at(self) -> datetime:
        return self.given_at or self.asked_at

    def _refuse_others(self, storage: DataStorageInterface, stored: pd.DataFrame, *, adds: bool) -> None:
        other = self._other_price(stored)
        if other is not None:
            raise ConflictError(f"the store has different bars of {self.label} ({other}), which are kept")
        if not adds or not self.key.adjustment or not len(self.bars):
            return
        for kind, adjustments in RESTATES.items():
            actions = storage.corporate_actions(AssetKey(self.key.asset.symbol), SOURCE, kind)
            later = [action.ex_date for action in (() if actions is None else actions.actions)]
            since = [day for day in later if day > _day(self._given_at)]
            if self.key.adjustment in adjustments and since:
                raise ConflictError(f"there was a {kind} on {since[-1]}, after these bars were downloaded")
        if not len(self.bars.index.intersection(stored.index)) and (others := self._other_bases(storage)):
            raise ConflictError(
                f"they were downloaded at another time ({self.basis}) than the stored bars ({others[0]}), and have no "
                "bar in common with them that would show whether both are adjusted for the same splits and dividends"
            )

    def _other_bases(self, storage: DataStorageInterface) -> list[str]:
        """Return the bases of the stored bars, or nothing if any of them has the basis of these."""
        pin = self.pin_in(storage)
        if pin is None:
            return []
        bases = {ingest.metadata.get(BASIS) or day_basis(given_at(ingest)) for ingest in storage.ingests(pin)}
        return [] if bases & {self.basis, day_basis(self._given_at)} else sorted(bases)

    def _other_price(self, stored: pd.DataFrame) -> str | None:
        """Return the first price of a common bar that differs by more than its last bits."""
        common = self.bars.index.intersection(stored.index)
        names = [name for name in COLUMNS if name in self.bars and name in stored]
        here, there = self.bars.loc[common, names], stored.loc[common, names]
        close = np.isclose(here.to_numpy(), there.to_numpy(), rtol=LAST_BITS, atol=0, equal_nan=True)
        if close.all():
            return None
        row, column = np.argwhere(~close)[0]
        values = f"{value_text(here.iat[row, column])} in the file, {value_text(there.iat[row, column])} in the store"
        return f"{names[column]} at {common[row]}: {values}"


def day_basis(moment: datetime) -> str:
    """Return the basis of bars that were downloaded on a day: splits and dividends take effect when it starts."""
    return _day(moment).isoformat()


def settled(covered: Sequence[TimeRange], key: SeriesKey, asked_at: datetime) -> list[TimeRange]:
    """Return covered ranges without days that may not have closed: days of crypto start at midnight in Chicago."""
    if key.asset.asset_type != "crypto" or key.timeframe != "day":
        return list(covered)
    end: EpochSeconds = int(asked_at.timestamp()) - _LONGEST_DAY
    return [TimeRange(piece.start, min(piece.end, end)) for piece in covered if piece.start < end]


def _day(moment: datetime) -> date:
    return moment.astimezone(NEW_YORK).date()
