"""What the stand-ins of all providers share: stored bars by range, and notes of what is asked for and not stored."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timezone

import pandas as pd

from lumibot_duckdb.storage.api import DataStorageInterface, SeriesKey, SeriesPin, TimeRange
from lumibot_duckdb.storage.bars import coverage
from lumibot_duckdb.storage.errors import SeriesNotFoundError
from lumibot_duckdb.storage.sql_times import epoch_seconds

logger = logging.getLogger(__name__)

PLACEHOLDER_KEY = "no-key-is-needed-here"
"""Takes the place of a key that Lumibot's classes insist on, where there is none."""

# Empty answers are counted as answers however old they are: time stands still here.
_COVERAGE = f"""
    SELECT {epoch_seconds("range_start")}, {epoch_seconds("range_end")}
    FROM coverage
    WHERE series_id = $series AND ingest_id <= $ingest
"""

_QUOTES = "SELECT DISTINCT symbol, asset_type, quote FROM asset WHERE quote IS NOT NULL ORDER BY ALL"


class Unanswered:
    """Notes of what was asked for and is not in the store. Safe to use from several threads."""

    def __init__(self) -> None:
        self._ranges: dict[str, list[TimeRange]] = {}
        self._guard = threading.Lock()

    def note(self, what: str, ranges: Sequence[TimeRange] = ()) -> None:
        """Note something that is not stored, or of which `ranges` are not. The first time it is told in the log."""
        with self._guard:
            new = what not in self._ranges
            self._ranges[what] = coverage.merged([*self._ranges.get(what, ()), *ranges])
            line = self._line(what)
        if new:
            logger.warning("not in the store, so that the answer is that there is nothing: %s", line)

    def lines(self) -> list[str]:
        """Return the notes, a line for each series or other thing, in alphabetical order."""
        with self._guard:
            return [self._line(what) for what in sorted(self._ranges)]

    def _line(self, what: str) -> str:
        ranges = [f"{_told(piece.start)} to {_told(piece.end)}" for piece in self._ranges[what]]
        return f"{what}: {', '.join(ranges)} (UTC)" if ranges else what


class StoredAnswers:
    """The bars of a store as they stood at a moment (`as_of`, UTC), each series pinned when it is first asked for."""

    def __init__(self, storage: DataStorageInterface, as_of: datetime, notes: Unanswered) -> None:
        self.storage = storage
        self.as_of = as_of
        self.notes = notes
        self._pins: dict[SeriesKey, SeriesPin] = {}
        self._covered: dict[SeriesKey, list[TimeRange]] = {}
        self._quotes: dict[tuple[str, str], list[str]] | None = None
        self._guard = threading.RLock()

    @property
    def now(self) -> int:
        """The moment as epoch seconds."""
        return int(self.as_of.timestamp())

    def pin(self, key: SeriesKey) -> SeriesPin | None:
        """Return the pinned series; None if there is no such."""
        with self._guard:
            if key not in self._pins:
                try:
                    self._pins[key] = self.storage.pin(key, as_of=self.as_of)
                except SeriesNotFoundError:
                    return None
            return self._pins[key]

    def covered(self, key: SeriesKey) -> list[TimeRange]:
        """Return the ranges that a provider once answered for, sorted and merged."""
        with self._guard:
            pin = self.pin(key)
            if pin is not None and key not in self._covered:
                found = self.storage.sql(_COVERAGE, {"series": pin.series_id, "ingest": pin.ingest_id})
                starts, ends = (column.to_pylist() for column in found.columns)
                self._covered[key] = coverage.merged(map(TimeRange, starts, ends))
            return self._covered.get(key, [])

    def missing(self, key: SeriesKey, wanted: TimeRange) -> list[TimeRange]:
        """Return what of a range is not stored; what had not been by the moment is not missing."""
        end = max(wanted.start, min(wanted.end, self.now))
        return coverage.missing(TimeRange(wanted.start, end), self.covered(key))

    def alike(self, key: SeriesKey) -> list[SeriesKey]:
        """Return a series and those that differ from it in the quote alone.

        A strategy may name a quote with a stock, and Lumibot keeps such bars apart; its provider knows nothing of it.
        """
        with self._guard:
            if self._quotes is None:
                self._quotes = {}
                for row in self.storage.sql(_QUOTES).to_pylist():
                    self._quotes.setdefault((row["symbol"], row["asset_type"]), []).append(row["quote"])
        asset = key.asset
        quotes = self._quotes.get((asset.symbol, asset.asset_type), []) if asset.quote is None else []
        return [key, *(replace(key, asset=replace(asset, quote=quote)) for quote in quotes)]

    def best(self, key: SeriesKey, wanted: TimeRange) -> SeriesKey:
        """Return which of the series that are alike has most of a range, the key's own if it has all of it."""
        if not self.missing(key, wanted):
            return key
        return min(self.alike(key), key=lambda each: sum(gap.end - gap.start for gap in self.missing(each, wanted)))

    def bars(self, key: SeriesKey, wanted: TimeRange) -> pd.DataFrame:
        """Return the stored bars that start in a range, as they went in, by UTC; note what of the range is not stored.

        The frame has no columns if there is no such series.
        """
        self.note(key, self.missing(key, wanted))
        pin = self.pin(key)
        if pin is None:
            nothing: pd.DataFrame = pd.DataFrame(index=pd.DatetimeIndex([], tz="UTC"))
            return nothing
        found: pd.DataFrame = self.storage.read_pandas(pin, wanted).tz_convert("UTC")
        return found

    def note(self, key: SeriesKey, missing: Sequence[TimeRange]) -> None:
        """Note ranges of a series that are not stored, if there are any."""
        if missing:
            self.notes.note(key.label(), missing)


def _told(time: int) -> str:
    moment = datetime.fromtimestamp(time, timezone.utc)
    return f"{moment:%Y-%m-%d}" if moment.hour == moment.minute == 0 else f"{moment:%Y-%m-%d %H:%M}"
