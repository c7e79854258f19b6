"""Automatic pruning, if the setting `prune.automatic` is on: once a day, at the end of a program that has written.

A program may read any bars until it ends, so its own pruning waits for that. Programs that still run then keep the bars
that they have pinned: pruned versions stay as long as other superseded ones (`versions.keep`).
"""

from __future__ import annotations

import logging
import threading
from dataclasses import replace
from datetime import datetime, timedelta

import duckdb

from lumibot_duckdb.storage.bars.open_store import OpenStore
from lumibot_duckdb.storage.connection.cursor import StoreCursor
from lumibot_duckdb.storage.errors import StorageError
from lumibot_duckdb.storage.times import naive_utc, utc_now

logger = logging.getLogger(__name__)

_PERIOD = timedelta(days=1)
_IS_SET = "SELECT 1 FROM {db}.setting WHERE key = 'prune.automatic'"
_LAST = "SELECT value FROM {db}.store_meta WHERE key = 'pruned_at'"


def prune_at_the_end(store: OpenStore) -> None:
    """Prune a store at the end of the program, if that is wanted and due. Returns at once, and never raises."""
    try:
        with store.read() as cursor:
            due = bool(cursor.rows(_IS_SET)) and _is_due(cursor)
        due = due and _is_on(store)
    except (StorageError, duckdb.Error, ValueError) as error:  # what was written is safe
        logger.debug("%s: cannot find out whether to prune it: %s", store.path, error)
        return
    if due:
        # It must not be a daemon: Python waits for other threads at the end of the main one.
        threading.Thread(target=_wait_and_prune, args=(store,), name="lumibot-duckdb prune").start()


def _wait_and_prune(store: OpenStore) -> None:
    threading.main_thread().join()
    try:
        prune_if_due(store)
    except (StorageError, ValueError) as error:
        logger.warning("%s was not pruned automatically: %s", store.path, error)


def prune_if_due(store: OpenStore) -> None:
    """Prune a store now by its settings, unless that was done in the last day."""
    from lumibot_duckdb.storage.upkeep import prune_plan, pruning
    from lumibot_duckdb.storage.upkeep.settings import StoreSettings

    with store.write() as cursor:
        if not _is_due(cursor):
            return
        cursor.execute("DELETE FROM {db}.store_meta WHERE key = 'pruned_at'")
        cursor.execute("INSERT INTO {db}.store_meta VALUES ('pruned_at', ?)", [naive_utc(utc_now()).isoformat()])
    limits = prune_plan.limits(StoreSettings(store), None, (), None, None, None)
    report = pruning.prune(store, replace(limits, at_once=False))
    logger.log(
        logging.WARNING if report.pruned else logging.INFO,
        "pruned %s automatically: %d bars of %d series and %d superseded versions removed, %d bytes before, %d after",
        *(store.path, sum(each.bars for each in report.pruned), len(report.pruned), report.versions_removed),
        *(report.bytes_before, report.bytes_after),
    )


def _is_on(store: OpenStore) -> bool:
    from lumibot_duckdb.storage.upkeep.settings import StoreSettings

    return bool(StoreSettings(store).get("prune.automatic"))


def _is_due(cursor: StoreCursor) -> bool:
    """Return whether the last automatic pruning was more than a day ago, or is in the future of a clock set back."""
    now = naive_utc(utc_now())
    return all(abs(now - datetime.fromisoformat(text)) >= _PERIOD for (text,) in cursor.rows(_LAST))
