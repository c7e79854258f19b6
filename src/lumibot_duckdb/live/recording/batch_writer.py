"""Writes what was in the queue to the store, and says what became of each part of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum
from typing import TypeAlias

from lumibot_duckdb import clock
from lumibot_duckdb.live.closed import only_closed
from lumibot_duckdb.live.recording.bar_queue import QueuedBars
from lumibot_duckdb.live.recording.merging import MergedWrite, merged_writes
from lumibot_duckdb.storage.api import BatchOutcome, DataStorageInterface, SeriesKey, TimeRange
from lumibot_duckdb.storage.bars.batches import in_batches
from lumibot_duckdb.storage.bars.write_request import checked_moment

StorageFactory: TypeAlias = Callable[[], DataStorageInterface]
_NO_TIME = timedelta(0)


class State(Enum):
    """What became of bars."""

    WRITTEN = "written"
    SPOOLED = "spooled"
    FAILED = "failed"
    UNFINISHED = "unfinished"


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of bars of one series. `error` is why they were not stored at once."""

    state: State
    key: SeriesKey
    bars: int
    within: TimeRange | None = None
    error: BaseException | None = None

    @classmethod
    def failed(cls, item: QueuedBars, error: BaseException) -> Fate:
        """Return that of bars that are lost."""
        return cls(State.FAILED, item.key, item.bars, item.within, error)


class BatchWriter:
    """Writes to the storage that `storage_factory` returns, which is called when there is something to write."""

    def __init__(self, storage_factory: StorageFactory) -> None:
        self._storage_factory = storage_factory
        self._storage: DataStorageInterface | None = None

    def write(self, batch: Sequence[QueuedBars]) -> list[Fate]:
        """Store bars, or spool them; return what became of all of them."""
        closed, fates = _only_closed(batch)
        rounds, refused = _merged(closed)
        fates += refused
        for writes in rounds:
            for some in in_batches(writes, lambda write: write.bars):
                fates += self._stored(some)
        return fates

    def _stored(self, writes: Sequence[MergedWrite]) -> list[Fate]:
        try:
            if self._storage is None:
                self._storage = self._storage_factory()
            outcomes = self._storage.store_batch([each.write for each in writes])
        except Exception as error:  # there is no storage, or two keys mean the same series
            if len(writes) > 1 and self._storage is not None:
                return [fate for each in writes for fate in self._stored([each])]
            outcomes = [BatchOutcome(None, error)] * len(writes)
        return [_fate(each, outcome) for each, outcome in zip(writes, outcomes, strict=True)]


def _fate(write: MergedWrite, outcome: BatchOutcome) -> Fate:
    state = State.WRITTEN if outcome.is_stored else State.SPOOLED if outcome.is_spooled else State.FAILED
    return Fate(state, write.key, write.bars, write.span, outcome.error)


def _only_closed(batch: Sequence[QueuedBars]) -> tuple[list[QueuedBars], list[Fate]]:
    """Return the bars that have closed, and what became of the others."""
    closed, fates = list[QueuedBars](), list[Fate]()
    for item in batch:
        try:
            kept = only_closed(item.live_bars, _closing_moment(item))
        except Exception as error:
            fates.append(Fate.failed(item, error))
            continue
        if len(kept.bars) or kept.covered:
            closed.append(replace(item, live_bars=kept, bars=len(kept.bars)))
        if left := item.bars - len(kept.bars):
            fates.append(Fate(State.UNFINISHED, item.key, left))
    return closed, fates


def _closing_moment(item: QueuedBars) -> datetime:
    """Return by when bars must have closed: by the moment that the source gave.

    If the clock of this machine was set back meanwhile, that moment may have been ahead of the true time by as much.
    """
    asked_at = checked_moment(item.key, item.live_bars.asked_at)
    return asked_at - max(_NO_TIME, item.queued_at - clock.utc_now())


def _merged(items: Sequence[QueuedBars]) -> tuple[list[list[MergedWrite]], list[Fate]]:
    """Return the writes of items; if some of them cannot be united, one after the other."""
    try:
        return merged_writes([item.live_bars for item in items]), []
    except Exception:
        rounds, fates = list[list[MergedWrite]](), list[Fate]()
        for item in items:
            try:
                rounds += merged_writes([item.live_bars])
            except Exception as error:
                fates.append(Fate.failed(item, error))
        return rounds, fates
