"""Reads bars by REST on behalf of a recorder: what is missing of settled series, what a stream missed, what it sent."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from lumibot_duckdb.live.live_bars import LiveBars
from lumibot_duckdb.live.recording.recorder import Recorder
from lumibot_duckdb.live.streams.rest_series import RestSeries
from lumibot_duckdb.live.streams.stream_comparison import Comparison, compare, with_corrections
from lumibot_duckdb.sources.shared.errors import ProviderError
from lumibot_duckdb.storage.api import DataStorageInterface, EpochSeconds, SeriesKey, TimeRange
from lumibot_duckdb.storage.bars.coverage import merged, missing
from lumibot_duckdb.storage.errors import SeriesNotFoundError, StorageError
from lumibot_duckdb.storage.times import SECONDS_PER_DAY, bar_starts

if TYPE_CHECKING:
    import pandas as pd

_FLUSH_SECONDS = 30.0


@dataclass(frozen=True)
class Reading:
    """What reading some series has brought.

    Attributes:
        bars: The number of bars that were read.
        newest: The start of the newest of them.
        failed: The series that could not be read, with the reasons.
    """

    bars: int
    newest: EpochSeconds | None
    failed: Mapping[SeriesKey, str]

    @property
    def problem(self) -> str:
        """The first reason and how many series could not be read; empty if all were read."""
        if not self.failed:
            return ""
        key, reason = next(iter(self.failed.items()))
        others = f" (and {len(self.failed) - 1} other series)" if len(self.failed) > 1 else ""
        return f"{key.label()}{others} could not be read again: {reason}"


class RestReads:
    """Reads bars and hands them to the recorder, one series after the other.

    Parameters:
        storage: the store.
        recorder: writes what is read.
        stopping: ends a reading between two series.
    """

    def __init__(self, storage: DataStorageInterface, recorder: Recorder, stopping: threading.Event) -> None:
        self._storage = storage
        self._recorder = recorder
        self._stopping = stopping

    def read_uncovered(self, series: Sequence[RestSeries], within: TimeRange) -> Reading:
        """Read what the store lacks of a range, but not further back than a day from its end.

        A range that stays without proof, such as the time before the first trade of a day, is requested again until
        then. Backtests request it again later.
        """

        def read(each: RestSeries) -> Iterator[LiveBars]:
            wanted = TimeRange(max(within.start, within.end - SECONDS_PER_DAY), within.end)
            gaps = self._gaps(each, wanted)
            if gaps and each.check is not None:
                each.check()
                gaps = self._gaps(each, wanted)
            # Two bars prove that there is none between them: the one before a gap, and the one after it.
            ranges = merged(
                TimeRange(max(gap.start - each.length, wanted.start), min(gap.end + each.length, wanted.end))
                for gap in gaps
            )
            return each.read(ranges, only=gaps) if ranges else iter(())

        return self._of_each(series, read)

    def read_again(self, series: Sequence[RestSeries], within: TimeRange) -> Reading:
        """Read a range, and add what the store lacks."""
        return self._of_each(series, lambda each: each.read([within]))

    def reconcile(
        self,
        series: Sequence[RestSeries],
        within: TimeRange,
        corrections: Mapping[SeriesKey, Sequence[LiveBars]],
    ) -> tuple[Reading, Comparison]:
        """Make the stored bars of streams equal to those of the API, and return how they differed.

        Parameters:
            within: the range.
            corrections: corrected bars that the streams sent, which are not stored yet.
        """
        found = Comparison()

        def read(each: RestSeries) -> Iterator[LiveBars]:
            nonlocal found
            held = corrections.get(each.key, ())
            for answer in each.read([within]):
                stored = self._stored(each.key, answer)
                found += compare(with_corrections(stored, held) if held else stored, answer)
                as_stored = compare(stored, answer)
                yield replace(answer, replace=as_stored.changed + as_stored.extra > 0)

        reading = self._of_each(series, read)
        return reading, found

    def _gaps(self, series: RestSeries, wanted: TimeRange) -> list[TimeRange]:
        return missing(wanted, self._storage.coverage(series.key, permanent_only=True))

    def _stored(self, key: SeriesKey, answer: LiveBars) -> pd.DataFrame:
        first, last = answer.covered[0].start, answer.covered[-1].end
        try:
            found: pd.DataFrame = self._storage.read_pandas(self._storage.pin(key), TimeRange(first, last))
            return found
        except SeriesNotFoundError:
            none: pd.DataFrame = answer.bars.iloc[:0]
            return none

    def _of_each(self, series: Sequence[RestSeries], read: Callable[[RestSeries], Iterator[LiveBars]]) -> Reading:
        """Read series one after the other, and record what is read."""
        bars, starts, failed = 0, list[EpochSeconds](), {}
        self._recorder.flush(_FLUSH_SECONDS)
        for each in series:
            if self._stopping.is_set():
                failed[each.key] = "the recorder was stopped"
                continue
            try:
                self._storage.merge_spooled()  # bars that could not be written before
                for answer in read(each):
                    self._recorder.record(answer)
                    bars += len(answer.bars)
                    starts += bar_starts(answer.bars)[-1:].tolist()
            except (ProviderError, StorageError, OSError) as error:
                failed[each.key] = str(error)
            self._recorder.flush(_FLUSH_SECONDS)  # so that a long reading does not fill the queue
        return Reading(bars, max(starts, default=None), failed)
