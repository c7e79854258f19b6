"""Pruning: removes old bars by rules, and whole series while the store is larger than it may be.

Each series is pruned in one transaction, small ones together with others, and a compaction at the end returns the
space. So an interrupted pruning leaves a sound store with a part of the series pruned, and pruning again continues.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeAlias

from lumibot_duckdb.storage.api import SeriesKey
from lumibot_duckdb.storage.bars.batches import in_batches
from lumibot_duckdb.storage.bars.open_store import OpenStore
from lumibot_duckdb.storage.bars.removal import delete_series, prune_series
from lumibot_duckdb.storage.bars.snapshots import series_in_snapshots
from lumibot_duckdb.storage.connection.cursor import StoreCursor
from lumibot_duckdb.storage.connection.interruption import deferred
from lumibot_duckdb.storage.partial_work import PartialWork, partial_work
from lumibot_duckdb.storage.upkeep.compaction import compact
from lumibot_duckdb.storage.upkeep.prune_plan import Contents, Limits, PrunedSeries, PruneReport

OnStep: TypeAlias = Callable[[str, int, int], None]
"""Receives what is done now, and how much of how much of it is done."""

_FEWEST_BYTES = 4.0
"""Bytes that a bar takes at least, when the effect of a deletion was too small to be measured."""


def planned(store: OpenStore, limits: Limits) -> PruneReport:
    """Return what `prune` would do now."""
    return Contents(store, limits).plan()


def prune(store: OpenStore, limits: Limits, on_step: OnStep | None = None) -> PruneReport:
    """Prune the store, and compact it if there is anything to remove."""
    store.merge_spooled()
    with partial_work("nothing was pruned") as work:
        return _prune(store, limits, on_step, work)


def _prune(store: OpenStore, limits: Limits, on_step: OnStep | None, work: PartialWork) -> PruneReport:
    removed: list[PrunedSeries] = []
    plan = Contents(store, limits).plan()
    size, versions = plan.bytes_before, 0
    _remove(store, [each for each in plan.pruned if each.before is not None], limits, on_step, removed, work)
    if removed or plan.versions_removed or _is_above(size, limits):
        size, versions = _compacted(store, limits, on_step)
    bytes_per_bar: float | None = None
    while _is_above(size, limits):
        contents = Contents(store, limits)
        assert limits.max_size is not None
        before = len(removed)
        _remove(store, contents.to_evict(size - limits.max_size, bytes_per_bar), limits, on_step, removed, work)
        evicted = removed[before:]
        if not evicted:
            break
        smaller, more = _compacted(store, limits, on_step)
        bytes_per_bar = max((size - smaller) / sum(each.bars for each in evicted), _FEWEST_BYTES)
        size, versions = smaller, versions + more
    store.refresh()
    store.last_use.shorten({record.series_id for record in store.catalog.everything(None, None)})
    return replace(plan, pruned=tuple(removed), versions_removed=versions, bytes_after=size)


def _is_above(size: int, limits: Limits) -> bool:
    return limits.max_size is not None and size > limits.max_size


def _remove(
    store: OpenStore,
    series: Sequence[PrunedSeries],
    limits: Limits,
    on_step: OnStep | None,
    removed: list[PrunedSeries],
    work: PartialWork,
) -> None:
    """Prune or delete series, in batches of one transaction; add what was removed of them."""
    done = 0
    with deferred(), store.connection.burst():  # no Ctrl-C between a commit and its report
        for batch in in_batches(series, lambda each: each.bars + each.bars_left):
            if on_step is not None:
                on_step(f"Pruning {batch[0].key.label()}", done, len(series))
            with store.write() as cursor:
                bars = _removed(store, cursor, batch, limits)
            removed += [
                replace(each, bars=gone, bars_left=each.bars + each.bars_left - gone)
                for each in batch
                if (gone := bars.get(each.key, 0))
            ]
            done += len(batch)
            work.outcome = _outcome(removed, len(series) - done)


def _outcome(removed: Sequence[PrunedSeries], left: int) -> str:
    """Return what to report if pruning ends now: what was removed, and of how many series nothing was yet."""
    bars = f"pruned {sum(each.bars for each in removed):,} bars of {len(removed):,} series"
    if left:
        return f"{bars}, and {left:,} series are left: prune again to continue"
    return f"{bars}, but their space is not returned to the disk yet: compact the store"


def _removed(
    store: OpenStore, cursor: StoreCursor, series: Sequence[PrunedSeries], limits: Limits
) -> dict[SeriesKey, int]:
    """Prune series, or delete those that are evicted; return how many bars of each are gone."""
    starts = {each.key: each.before for each in series}
    found, now = store.removals(cursor, starts)
    pruned = {each: start for each in found if (start := starts[each.key]) is not None}
    evicted = [each for each in found if starts[each.key] is None]
    needed = series_in_snapshots(cursor, [each.before.series_id for each in evicted])  # one may be made meanwhile
    evicted = [each for each in evicted if each.before.series_id not in needed]
    delete_series(cursor, evicted, now)
    gone = {each.key: each.before.rows for each in evicted}
    return gone | prune_series(cursor, pruned, now, at_once=limits.at_once)


def _compacted(store: OpenStore, limits: Limits, on_step: OnStep | None) -> tuple[int, int]:
    """Compact the store; return its size, and how many versions were removed."""

    def on_rows(done: int, total: int) -> None:
        if on_step is not None:
            on_step("Compacting", done, total)

    report = compact(store.connection, limits.keep, on_rows)
    return report.bytes_after, report.versions_removed
