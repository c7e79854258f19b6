"""Remembers which files of one run stored which bars, to report files that overwrite each other's."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from lumibot_duckdb.importing.staging import StagedBars
from lumibot_duckdb.storage.api import EpochSeconds, SeriesKey


class EarlierFiles:
    """The files of a run so far, with the series and the range of times that each stored."""

    def __init__(self) -> None:
        self._ranges: dict[SeriesKey, list[tuple[Path, EpochSeconds, EpochSeconds]]] = defaultdict(list)

    def overlapping(self, path: Path, series: SeriesKey, bars: StagedBars) -> Path | None:
        """Return the last other file that stored bars of the series in the time of these bars, None if none did."""
        first, last = int(bars.times[0]), int(bars.times[-1])
        found = (file for file, start, end in self._ranges[series] if file != path and start <= last and first <= end)
        return next(iter(reversed(list(found))), None)

    def add(self, path: Path, series: SeriesKey, bars: StagedBars) -> None:
        """Note that a file stored bars of a series."""
        self._ranges[series].append((path, int(bars.times[0]), int(bars.times[-1])))
