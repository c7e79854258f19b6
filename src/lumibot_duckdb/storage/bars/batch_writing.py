"""Writes to several series in one transaction, or into the spool if that fails: what `store_batch` does."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from lumibot_duckdb.storage.api import BatchOutcome, BatchWrite, TimeRange, WriteResult
from lumibot_duckdb.storage.bars.newer_bars import last_restated
from lumibot_duckdb.storage.bars.open_store import OpenStore
from lumibot_duckdb.storage.bars.spool import SpooledWrite
from lumibot_duckdb.storage.bars.write_request import BarsWrite, checked_moment, checked_range, metadata_text
from lumibot_duckdb.storage.errors import (
    HistoryRestatedError,
    InvalidBarsError,
    PublishedSnapshotError,
    ReplicaError,
    StorageError,
    StoreBusyError,
    StoreWriteError,
)
from lumibot_duckdb.storage.identity import key_to_write
from lumibot_duckdb.storage.times import naive_utc

if TYPE_CHECKING:
    from lumibot_duckdb.storage.connection.cursor import StoreCursor

_NOWHERE = TimeRange(0, 0)
_REFUSALS = (InvalidBarsError, HistoryRestatedError)
"""Errors about one write, which would be refused again."""
_NEVER_WRITTEN = (ReplicaError, PublishedSnapshotError)
"""Nothing will ever merge the spool of such a store."""


class _RefusedError(Exception):
    """A write of a batch is refused, and the transaction is rolled back."""

    def __init__(self, position: int, reason: StorageError) -> None:
        super().__init__(position, reason)
        self.position = position
        self.reason = reason


def store_batch(store: OpenStore, batch: Sequence[BatchWrite], wait_seconds: float) -> list[BatchOutcome]:
    """Store what can be stored in one transaction, or spool it; return what became of each write."""
    outcomes: dict[int, BatchOutcome] = {}
    writes: dict[int, BarsWrite] = {}
    for position, given in enumerate(batch):
        try:
            writes[position] = _checked(given)
        except (ValueError, TypeError) as error:
            outcomes[position] = BatchOutcome(None, error)
    _refuse_doubles(writes.values())
    while writes:
        try:
            with store.write(wait_seconds) as cursor:
                stored = _write(store, cursor, writes)
        except _RefusedError as refused:
            outcomes[refused.position] = BatchOutcome(None, refused.reason)
            del writes[refused.position]
            continue
        except Exception as error:  # of any kind: the bars must not be lost
            outcomes.update({position: _spooled(store, write, error) for position, write in writes.items()})
        else:
            outcomes.update(stored)
        break
    return [outcomes[position] for position in range(len(batch))]


def _checked(given: BatchWrite) -> BarsWrite:
    # Here, since both import pandas, which SQL does without.
    from lumibot_duckdb.storage.bars.input_checks import check_bars
    from lumibot_duckdb.storage.bars.tables import as_frame

    key = key_to_write(given.key.asset, given.key.source, given.key.timeframe, given.key.adjustment)
    bars = check_bars(key.label(), as_frame(key.label(), given.bars))
    covered = [checked_range(key, "covered", piece) for piece in given.covered] or [_NOWHERE]
    if given.replace and len(covered) > 1:
        raise InvalidBarsError(f"{key.label()}: {len(covered)} ranges are to be replaced; make a write for each")
    metadata_text(key, given.metadata)  # refuses what is not JSON
    return BarsWrite(
        key=key,
        bars=bars,
        covered=covered[0],
        replace=given.replace,
        metadata=given.metadata,
        onto=None,
        asked_at=checked_moment(key, given.asked_at),
        also_covered=tuple(covered[1:]),
        provisional=tuple(checked_range(key, "provisional", piece) for piece in given.provisional),
        closed_at=None if given.closed_at is None else checked_moment(key, given.closed_at, "closed_at"),
    )


def _refuse_doubles(writes: Iterable[BarsWrite]) -> None:
    seen = set()
    for write in writes:
        if write.key in seen:
            raise ValueError(f"{write.key.label()} is twice in a batch: unite its bars, or store two batches")
        seen.add(write.key)


def _write(store: OpenStore, cursor: StoreCursor, writes: dict[int, BarsWrite]) -> dict[int, BatchOutcome]:
    _refuse_restated(store, cursor, writes)
    results = {}
    targets = store.writes_to(cursor, [write.key for write in writes.values()])
    for (position, given), write in zip(writes.items(), targets, strict=True):
        try:
            results[position] = BatchOutcome(write.bars(given))
        except _REFUSALS as error:
            raise _RefusedError(position, error) from error
    return results


def _refuse_restated(store: OpenStore, cursor: StoreCursor, writes: dict[int, BarsWrite]) -> None:
    """Refuse bars that were requested before their series was restated, such as prices from before a split."""
    records = {position: store.catalog.find(write.key) for position, write in writes.items()}
    series = {position: record.series_id for position, record in records.items() if record is not None}
    restated = last_restated(cursor, series.values()) if series else {}
    for position, series_id in series.items():
        write, moment = writes[position], restated.get(series_id)
        if moment is not None and moment > naive_utc(write.asked_at):
            raise _RefusedError(
                position,
                HistoryRestatedError(
                    f"the history of {write.key.label()} has been restated since these bars were requested, so they "
                    "were not stored; request them again"
                ),
            )


def _spooled(store: OpenStore, write: BarsWrite, failure: Exception) -> BatchOutcome:
    """Spool a write for which the store could not be written, if that can help."""
    if isinstance(failure, _NEVER_WRITTEN):
        return BatchOutcome(None, failure)
    cause = failure if isinstance(failure, (StoreBusyError, StoreWriteError)) else StoreWriteError(str(failure))
    try:
        store.spool.keep_instead(cause, SpooledWrite(write, store.catalog.store_id))
    except Exception as error:
        return BatchOutcome(None, error)
    return BatchOutcome(WriteResult(write.key, None, spooled=len(write.bars)), failure)
