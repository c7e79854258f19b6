"""What pruning is to remove: old bars by rules, and the least recently used series of a store that is too large."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta

import pyarrow as pa

from lumibot_duckdb.storage.api import SeriesKey
from lumibot_duckdb.storage.bars.open_store import OpenStore
from lumibot_duckdb.storage.bars.snapshots import first_versions, kept_versions, stored_snapshots
from lumibot_duckdb.storage.catalog import Head, SeriesRecord
from lumibot_duckdb.storage.connection.cursor import StoreCursor
from lumibot_duckdb.storage.times import (
    NEW_YORK,
    EpochSeconds,
    aware_utc,
    date_of,
    epoch_seconds,
    midnight,
    naive_utc,
    utc_now,
)
from lumibot_duckdb.storage.upkeep.fragmentation import EMPTY_BYTES
from lumibot_duckdb.storage.upkeep.prune_rule import PruneRule, rule_for
from lumibot_duckdb.storage.upkeep.settings import StoreSettings

_STARTS = "lumibot_duckdb_starts"
_OLD_BARS = f"""
SELECT version_id, count(*) FROM {{db}}.bar JOIN {_STARTS} USING (version_id) WHERE bar.ts < start GROUP BY version_id
"""
_BARS = "SELECT series_id, version_id, count(*) FROM {db}.bar JOIN {db}.series_version USING (version_id) GROUP BY ALL"
_SUPERSEDED = "SELECT version_id FROM {db}.series_version WHERE superseded_at <= ?"
_LAST_WRITES = """
SELECT series_id, max(ingested_at) FROM {db}.ingest WHERE kind IN ('bars', 'coverage') GROUP BY series_id
"""
_USED = """
SELECT (total_blocks - free_blocks) * block_size FROM pragma_database_size() WHERE database_name = '{db}'
"""


@dataclass(frozen=True, slots=True)
class PrunedSeries:
    """What pruning removed, or would remove, of a series.

    Attributes:
        key: the series.
        bars: how many bars are removed from its current version.
        bars_left: how many stay; 0 for a series that is deleted.
        before: bars before this time are removed; None if the series is deleted, since the store is too large.
        last_used: when it was last written or read (UTC; of the last read, only the day is known).
        snapshot: the snapshot that needs these bars, so that they stay; None if they are removed.
    """

    key: SeriesKey
    bars: int
    bars_left: int
    before: EpochSeconds | None
    last_used: datetime
    snapshot: str | None = None


@dataclass(frozen=True, slots=True)
class PruneReport:
    """What pruning removed, or would remove.

    Attributes:
        pruned: the series, those that are deleted for the size of the store last.
        kept: the series that would be pruned if no snapshot needed them.
        versions_removed: how many superseded versions are removed because of their age.
        bytes_before: the size of the store.
        bytes_after: its size afterwards; an estimate if nothing was done yet.
        max_size: how large the store may be; None for any size.
    """

    pruned: tuple[PrunedSeries, ...]
    kept: tuple[PrunedSeries, ...]
    versions_removed: int
    bytes_before: int
    bytes_after: int
    max_size: int | None

    @property
    def fits(self) -> bool:
        """Whether the store is as small as it should be."""
        return self.max_size is None or self.bytes_after <= self.max_size


@dataclass(frozen=True, slots=True)
class Limits:
    """What is pruned: old bars by `rules`, series beyond `max_size` bytes among those that `evicted` matches.

    Versions that were superseded longer ago than `keep` go, too. With `at_once`, so do those that pruning supersedes.
    """

    rules: tuple[PruneRule, ...]
    max_size: int | None
    evicted: PruneRule
    keep: timedelta
    at_once: bool = True


def limits(
    settings: StoreSettings,
    older_than: timedelta | None,
    symbols: Sequence[str],
    source: str | None,
    timeframe: str | None,
    max_size: int | None,
    adjustment: str | None = None,
) -> Limits:
    """Return the limits that some arguments state, or the settings without an argument. Raises ValueError."""
    keep = settings.get("versions.keep")
    if older_than is None and max_size is None:
        if symbols or any(each is not None for each in (source, timeframe, adjustment)):
            raise ValueError("a selection of series needs an age or a size, from which on they are pruned")
        return Limits(settings.get("prune.rules"), settings.get("prune.max-size"), PruneRule(None), keep)
    if older_than is not None and older_than < timedelta(0):
        raise ValueError(f"the age {older_than} is negative")
    if max_size is not None and max_size < 0:
        raise ValueError(f"the size {max_size} is negative")
    selected = PruneRule.of(older_than, tuple(symbols), source, timeframe, adjustment)
    return Limits((selected,) if older_than is not None else (), max_size, selected, keep)


class Contents:
    """What is in the store now, as far as it matters for pruning."""

    def __init__(self, store: OpenStore, limits: Limits) -> None:
        store.refresh()
        self._limits = limits
        self._now = utc_now()
        heads = ((record, store.catalog.head(record.series_id)) for record in store.catalog.everything(None, None))
        self._series: list[tuple[SeriesRecord, Head]] = [(record, head) for record, head in heads if head is not None]
        days = store.last_use.days()
        self._read = {each: aware_utc(datetime.combine(day, time.max)) for each, day in days.items()}
        with store.read() as cursor:
            self._snapshots = stored_snapshots(cursor)
            self._first_versions = first_versions(cursor)
            gone = {v for (v,) in cursor.rows(_SUPERSEDED, [naive_utc(self._now - limits.keep)])}
            self._superseded = gone - kept_versions(cursor)
            self._written: dict[int, datetime] = dict(cursor.rows(_LAST_WRITES))
            self._old = self._old_bars(cursor)
            self._bars: dict[int, int] = {}
            ((self._used_bytes,),) = cursor.rows(_USED)
            self._bytes_per_bar = self._count_bars(cursor)
        self._bytes = sum(file.stat().st_size for file in (store.path, store.log) if file.exists())

    @property
    def bytes(self) -> int:
        """The size of the store."""
        return self._bytes

    def plan(self) -> PruneReport:
        """Return what is to be done, as far as it can be known before."""
        limits = self._limits
        by_age = [self._pruned(record, head) for record, head in self._series if head.version_id in self._old]
        pruned = [each for each in by_age if each.snapshot is None]
        kept = tuple(each for each in by_age if each.snapshot is not None)
        left = sum(self._bars.values()) - sum(each.bars for each in pruned)
        size = min(EMPTY_BYTES, self._used_bytes) + round(self._bytes_per_bar * left)
        evicted: list[PrunedSeries] = []
        if limits.max_size is not None:
            evicted = self.to_evict(size - limits.max_size, gone=pruned)
            size -= round(self._bytes_per_bar * sum(each.bars for each in evicted))
            whole = {each.key for each in evicted}
            pruned = [each for each in pruned if each.key not in whole]
        if not (pruned or evicted or self._superseded):
            size = self._bytes
        return PruneReport(
            (*_by_label(pruned), *evicted), kept, len(self._superseded), self._bytes, size, limits.max_size
        )

    def to_evict(
        self, excess: int, bytes_per_bar: float | None = None, gone: Iterable[PrunedSeries] = ()
    ) -> list[PrunedSeries]:
        """Return the series that free so many bytes, least recently used first; none if all of them free too few.

        Parameters:
            excess: the number of bytes.
            bytes_per_bar: how many a bar took that was deleted; None, or if all series would free too few then, for
                the average of the file, which has more than bars.
            gone: bars that are removed anyway.
        """
        removed = {each.key: each.bars for each in gone}
        if bytes_per_bar is not None:
            # The deleted series may have been smaller than others are. Then this chooses fewer, as far as they go.
            chosen = self._that_free(excess, bytes_per_bar, removed)
            if chosen:
                return chosen
        return self._that_free(excess, self._bytes_per_bar, removed)

    def _that_free(self, excess: int, each_takes: float, removed: Mapping[SeriesKey, int]) -> list[PrunedSeries]:
        chosen: list[PrunedSeries] = []
        freed = 0.0
        for last_used, bars, record, head in self._least_recently_used():
            if freed >= excess:
                break
            left = bars - removed.get(record.key, 0)
            if left > 0:
                chosen.append(PrunedSeries(record.key, head.rows, 0, None, last_used))
                freed += each_takes * left
        return chosen if freed >= excess else []

    def _least_recently_used(self) -> list[tuple[datetime, int, SeriesRecord, Head]]:
        """Return the series that may be evicted: last use, bars of all versions, record and head. Large ones first."""
        found = [
            (self._last_used(record.series_id), self._bars.get(record.series_id, 0), record, head)
            for record, head in self._series
            if self._may_be_evicted(record)
        ]
        return sorted(found, key=lambda each: (each[0], -each[1]))

    def _may_be_evicted(self, record: SeriesRecord) -> bool:
        rule = rule_for(self._limits.rules, record.key)
        return (
            self._limits.evicted.matches(record.key)
            and (rule is None or rule.older_than is not None)
            and not any(self._first_versions[record.series_id] <= each.last_ingest for each in self._snapshots)
        )

    def _pruned(self, record: SeriesRecord, head: Head) -> PrunedSeries:
        start, bars = self._old[head.version_id]
        needing = [each.name for each in self._snapshots if each.last_ingest >= head.version_id]
        last_used = self._last_used(record.series_id)
        return PrunedSeries(
            record.key, bars, head.rows - bars, start, last_used, snapshot=needing[0] if needing else None
        )

    def _old_bars(self, cursor: StoreCursor) -> dict[int, tuple[EpochSeconds, int]]:
        """Return, by version, the time before which its bars are to be removed, and how many these are."""
        starts: dict[int, EpochSeconds] = {}
        for record, head in self._series:
            rule = rule_for(self._limits.rules, record.key)
            if rule is not None and rule.older_than is not None and head.first is not None:
                start = midnight(date_of(epoch_seconds(self._now - rule.older_than), NEW_YORK), NEW_YORK)
                if head.first < start:
                    starts[head.version_id] = start
        if not starts:
            return {}
        times = pa.array(starts.values(), pa.int64()).cast(pa.timestamp("s"))
        cursor.register(_STARTS, pa.table({"version_id": pa.array(starts, pa.int32()), "start": times}))
        found = cursor.rows(_OLD_BARS)
        cursor.unregister(_STARTS)
        return {version_id: (starts[version_id], bars) for version_id, bars in found}

    def _count_bars(self, cursor: StoreCursor) -> float:
        """Count the bars of each series, without superseded versions that go anyway; return the bytes per bar."""
        total = 0
        for series_id, version_id, bars in cursor.rows(_BARS):
            total += bars
            if version_id not in self._superseded:
                self._bars[series_id] = self._bars.get(series_id, 0) + bars
        return float(max(self._used_bytes - EMPTY_BYTES, 0) / max(total, 1))

    def _last_used(self, series_id: int) -> datetime:
        written, read = self._written.get(series_id), self._read.get(series_id)
        known = [moment for moment in (written and aware_utc(written), read) if moment is not None]
        return min(max(known, default=self._now), self._now)


def _by_label(series: Iterable[PrunedSeries]) -> list[PrunedSeries]:
    return sorted(series, key=lambda each: each.key.label())
