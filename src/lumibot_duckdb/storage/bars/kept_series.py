"""Whole series that stay in memory, for the processes that this one forks: they read them without opening DuckDB."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lumibot_duckdb.storage.api import IngestInfo, SeriesPin, TimeRange

if TYPE_CHECKING:
    from lumibot_duckdb.storage.bars.first_bars import FirstBars

_MOST_BYTES = 64 * 2**20


@dataclass(frozen=True, slots=True)
class KeptBars:
    """All bars of a pinned series, and the writes that brought the last one, whose metadata sources read."""

    bars: FirstBars
    last_writes: tuple[IngestInfo, ...]

    def writes(self, within: Sequence[TimeRange]) -> tuple[IngestInfo, ...] | None:
        """Return the writes that brought the bars in some ranges; None if one of them is not known."""
        known = {write.ingest_id: write for write in self.last_writes}
        ids = self.bars.ingest_ids(within)
        return tuple(known[each] for each in ids) if known.keys() >= set(ids) else None


class KeptSeries:
    """The series that are kept. `keeping` adds them."""

    def __init__(self) -> None:
        self._kept: dict[tuple[int, int], KeptBars] = {}
        self._bytes = 0

    def get(self, pin: SeriesPin) -> KeptBars | None:
        """Return the bars of a pinned series; None if they are not kept."""
        return self._kept.get((pin.version_id, pin.ingest_id)) if self._kept else None

    def add(self, kept: KeptBars) -> bool:
        """Keep a series; return whether there was room."""
        size, pin = kept.bars.table.nbytes + kept.bars.times.nbytes, kept.bars.pin
        if self._bytes + size > _MOST_BYTES:
            return False
        self._bytes += size
        self._kept[pin.version_id, pin.ingest_id] = kept
        return True

    def clear(self) -> None:
        """Drop all series."""
        self._kept.clear()
        self._bytes = 0
