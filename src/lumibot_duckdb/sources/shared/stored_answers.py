"""Stored bars by range for the stored providers, and notes of requests that the store cannot answer."""

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
from lumibot_duckdb.storage.sql_times import epoch_sql

logger = logging.getLogger(__name__)

PLACEHOLDER_KEY = "no-key-is-needed-here"
"""The value of a missing key that Lumibot's classes require."""

# Coverage by empty answers does not expire here, because the store is read as of a fixed moment.
_COVERAGE = f"""
    SELECT {epoch_sql("range_start")}, {epoch_sql("range_end")}
    FROM coverage
    WHERE series_id = $series AND ingest_id <= $ingest
"""

_QUOTES = "SELECT DISTINCT symbol, asset_type, quote FROM asset WHERE quote IS NOT NULL ORDER BY ALL"


class Unanswered:
    """Notes of requests for data that is not in the store. Thread-safe."""

    def __init__(self) -> None:
        self._ranges: dict[str, list[TimeRange]] = {}
        self._guard = threading.Lock()

    def note(self, what: str, ranges: Sequence[TimeRange] = ()) -> None:
        """Note that a series, or `ranges` of it, is not stored. The first note of each series is logged."""
        with self._guard:
            new = what not in self._ranges
            self._ranges[what] = coverage.merged([*self._ranges.get(what, ()), *ranges])
            line = self._line(what)
        if new:
            logger.warning("not in the store, so the request returns no data: %s", line)

    def lines(self) -> list[str]:
        """Return the notes in alphabetical order, one line for each series."""
        with self._guard:
            return [self._line(what) for what in sorted(self._ranges)]

    def _line(self, what: str) -> str:
        ranges = [f"{_time_text(piece.start)} to {_time_text(piece.end)}" for piece in self._ranges[what]]
        return f"{what}: {', '.join(ranges)} (UTC)" if ranges else what


class StoredAnswers:
    """The bars of a store as of a moment (`as_of`, UTC). Each series is pinned when it is first requested."""

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
        """Return the pinned series; None if it does not exist."""
        with self._guard:
            if key not in self._pins:
                try:
                    self._pins[key] = self.storage.pin(key, as_of=self.as_of)
                except SeriesNotFoundError:
                    return None
            return self._pins[key]

    def covered(self, key: SeriesKey) -> list[TimeRange]:
        """Return the ranges that a provider has ever answered for, sorted and merged."""
        with self._guard:
            pin = self.pin(key)
            if pin is not None and key not in self._covered:
                found = self.storage.sql(_COVERAGE, {"series": pin.series_id, "ingest": pin.ingest_id})
                starts, ends = (column.to_pylist() for column in found.columns)
                self._covered[key] = coverage.merged(map(TimeRange, starts, ends))
            return self._covered.get(key, [])

    def missing(self, key: SeriesKey, wanted: TimeRange) -> list[TimeRange]:
        """Return the parts of a range before `as_of` that are not stored."""
        end = max(wanted.start, min(wanted.end, self.now))
        return coverage.missing(TimeRange(wanted.start, end), self.covered(key))

    def with_any_quote(self, key: SeriesKey) -> list[SeriesKey]:
        """Return a series and those that differ from it only in the quote.

        A strategy may pass a quote with a stock, and Lumibot keeps such bars apart, but the provider knows no quote.
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
        """Return the key, or the key with another quote whose series covers most of a range."""
        if not self.missing(key, wanted):
            return key
        candidates = self.with_any_quote(key)
        return min(candidates, key=lambda each: sum(gap.end - gap.start for gap in self.missing(each, wanted)))

    def bars(self, key: SeriesKey, wanted: TimeRange) -> pd.DataFrame:
        """Return the stored bars that start in a range, indexed in UTC, and note the parts that are not stored.

        The frame has no columns if the series does not exist.
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


def _time_text(time: int) -> str:
    moment = datetime.fromtimestamp(time, timezone.utc)
    return f"{moment:%Y-%m-%d}" if moment.hour == moment.minute == 0 else f"{moment:%Y-%m-%d %H:%M}"
