"""Automatic upkeep, if settings ask for it: once a day, at the end of a program that has written.

`prune.automatic` prunes, and `compact.automatic` then compacts if the store is fragmented. A pruning that removed
anything has compacted the store already, so it is not fragmented then.

A program may read any bars until it ends, so its own upkeep waits for that. Programs that still run then keep the bars
that they have pinned: pruned versions stay as long as other superseded ones (`versions.keep`).
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

import duckdb

from lumibot_duckdb.storage.bars.open_store import OpenStore
from lumibot_duckdb.storage.connection.cursor import StoreCursor
from lumibot_duckdb.storage.errors import StorageError, StoreBusyError
from lumibot_duckdb.storage.times import naive_utc, utc_now
from lumibot_duckdb.storage.upkeep.replacement import remove_left_over

logger = logging.getLogger(__name__)

SMALLEST_BYTES = 20_000_000
"""Smaller stores are not compacted automatically: their bars are read in milliseconds anyway."""
_PERIOD = timedelta(days=1)
_ARE_SET = "SELECT 1 FROM {db}.setting WHERE key IN ('prune.automatic', 'compact.automatic')"
_LAST = "SELECT value FROM {db}.store_meta WHERE key = ?"
_PRUNED, _COMPACTED = "pruned_at", "compacted_at"
_SETTINGS = {_PRUNED: "prune.automatic", _COMPACTED: "compact.automatic"}


def tend_at_the_end(store: OpenStore) -> None:
    """Prune and compact a store at the end of the program, as far as that is wanted and due.

    Returns at once, and never raises. What a killed compaction has left is removed now: the next may be far away. If
    another process has taken the store since the write, the next write looks again: who writes live bars cannot wait.
    """
    remove_left_over(store.connection.path)
    try:
        with store.read(wait_seconds=0.0) as cursor:
            due = _due(store) if cursor.rows(_ARE_SET) else []
    except StoreBusyError:
        store.after_first_write = tend_at_the_end
        return
    except (StorageError, duckdb.Error, ValueError) as error:  # what was written is safe
        logger.debug("%s: cannot find out whether to prune or compact it: %s", store.path, error)
        return
    if due:
        # It must not be a daemon: Python waits for other threads at the end of the main one.
        threading.Thread(target=_wait_and_tend, args=(store, due), name="lumibot-duckdb upkeep").start()


def _due(store: OpenStore) -> list[str]:
    """Return what is wanted and due, in the order in which it is done."""
    from lumibot_duckdb.storage.upkeep.settings import StoreSettings

    settings = StoreSettings(store)
    wanted = [key for key, setting in _SETTINGS.items() if settings.get(setting)]
    with store.read() as cursor:
        return [key for key in wanted if _is_due(cursor, key)]


def _wait_and_tend(store: OpenStore, due: list[str]) -> None:
    threading.main_thread().join()
    for work in due:
        try:
            _WORK[work](store)
        except (StorageError, duckdb.Error, ValueError, OSError) as error:
            logger.warning("%s was not %s automatically: %s", store.path, work.removesuffix("_at"), error)


def prune_if_due(store: OpenStore) -> None:
    """Prune a store now by its settings, unless that was done in the last day."""
    from lumibot_duckdb.storage.upkeep import prune_plan, pruning
    from lumibot_duckdb.storage.upkeep.settings import StoreSettings

    if not _claim(store, _PRUNED):
        return
    limits = prune_plan.limits(StoreSettings(store), None, (), None, None, None)
    report = pruning.prune(store, replace(limits, at_once=False))
    logger.log(
        logging.WARNING if report.pruned else logging.INFO,
        "pruned %s automatically: %d bars of %d series and %d superseded versions removed, %d bytes before, %d after",
        *(store.path, sum(each.bars for each in report.pruned), len(report.pruned), report.versions_removed),
        *(report.bytes_before, report.bytes_after),
    )


def compact_if_due(store: OpenStore) -> None:
    """Compact a store now if it is large and fragmented, unless it was examined in the last day."""
    from lumibot_duckdb.storage.upkeep import compaction
    from lumibot_duckdb.storage.upkeep.settings import StoreSettings

    if store.path.stat().st_size < SMALLEST_BYTES or not _claim(store, _COMPACTED):
        return
    settings = StoreSettings(store)
    keep = settings.get("versions.keep")
    found = compaction.fragmentation(store.connection, keep)
    if not found.exceeds(settings.get("compact.threshold")):
        return
    report = compaction.compact(store.connection, keep)
    logger.info(
        "compacted %s automatically: %d bytes before, %d after; %.1f row groups per read of 20 days before, %.1f after",
        *(store.path, report.bytes_before, report.bytes_after),
        *(report.before.row_groups_per_read, report.after.row_groups_per_read),
    )


_WORK: Mapping[str, Callable[[OpenStore], None]] = {_PRUNED: prune_if_due, _COMPACTED: compact_if_due}


def _claim(store: OpenStore, key: str) -> bool:
    """Note that work is done now, unless it was done in the last day; return whether it is to be done."""
    with store.write() as cursor:
        if not _is_due(cursor, key):
            return False
        cursor.execute("DELETE FROM {db}.store_meta WHERE key = ?", [key])
        cursor.execute("INSERT INTO {db}.store_meta VALUES (?, ?)", [key, naive_utc(utc_now()).isoformat()])
        return True


def _is_due(cursor: StoreCursor, key: str) -> bool:
    """Return whether the work was last done more than a day ago, or in the future of a clock that was set back."""
    now = naive_utc(utc_now())
    return all(abs(now - datetime.fromisoformat(text)) >= _PERIOD for (text,) in cursor.rows(_LAST, [key]))
