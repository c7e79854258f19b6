"""Corrections of a stream, held until all of a day are written together."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

from lumibot_duckdb.live.live_bars import LiveBars
from lumibot_duckdb.storage.api import EpochSeconds, SeriesKey
from lumibot_duckdb.storage.times import bar_starts


class HeldCorrections:
    """Recognises bars that a stream sends again, and holds the last form of each. Safe for several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sent: dict[SeriesKey, set[EpochSeconds]] = defaultdict(set)
        self._held: dict[SeriesKey, dict[EpochSeconds, LiveBars]] = defaultdict(dict)

    def hold(self, bars: LiveBars) -> bool:
        """Hold bars if they correct bars that were sent before; return whether they do."""
        starts = [int(start) for start in bar_starts(bars.bars)]
        with self._lock:
            sent = self._sent[bars.key]
            repeated = bool(starts) and all(start in sent for start in starts)
            sent.update(starts)
            if repeated:
                self._held[bars.key].update(dict.fromkeys(starts, replace(bars, replace=True)))
        return repeated

    def by_series(self) -> Mapping[SeriesKey, Sequence[LiveBars]]:
        """Return what is held, of each series by time."""
        with self._lock:
            return {key: [each for _, each in sorted(held.items())] for key, held in self._held.items() if held}

    def forget_before(self, until: EpochSeconds) -> None:
        """Forget bars that start before a time: they have been compared."""
        with self._lock:
            for key in list(self._sent):
                self._sent[key] = {start for start in self._sent[key] if start >= until}
                self._held[key] = {start: each for start, each in self._held[key].items() if start >= until}

    def take(self) -> list[LiveBars]:
        """Return what is held, and hold nothing any more."""
        taken = [each for held in self.by_series().values() for each in held]
        with self._lock:
            self._held.clear()
        return taken
