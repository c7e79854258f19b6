"""How fragmented a store is: what a compaction would gain in disk space, and in reading.

Reading depends on where bars lie. DuckDB skips row groups whose smallest and largest version and time rule out a bar of
interest. So the measure is how many row groups a read of 20 days goes through. It needs no scan: a few bars of each row
group show well enough which versions and times it has.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import pyarrow as pa

from lumibot_duckdb.storage.connection.cursor import StoreCursor
from lumibot_duckdb.storage.sql_times import epoch_sql

EMPTY_BYTES = 400_000
"""About as many bytes as a store without bars takes."""
_ROW_GROUP = 122_880
_SAMPLED = 16
"""Bars that are looked at in each row group, the first and the last among them."""
_READ = timedelta(days=20) // timedelta(seconds=1)
_TWICE_AS_SLOW = 20.0
"""So many more row groups double the time of a read of 20 days: `benchmarks/clustering.py` measures that."""
DEFAULT_THRESHOLD = 1.5
"""A store that is so many times as large, or as slow to read, as after a compaction counts as fragmented."""
_ROWIDS = "lumibot_duckdb_rowids"
_REMOVED = "lumibot_duckdb_removed"
_SIZE = """
SELECT total_blocks * block_size, free_blocks * block_size FROM pragma_database_size() WHERE database_name = '{db}'
"""


@dataclass(frozen=True, slots=True)
class Fragmentation:
    """How fragmented a store is.

    Attributes:
        bytes_used: the size of its blocks.
        bytes_free: the size of those that are free. Later writes use them, and a compaction returns them to the disk.
        bars: how many bars are in the file.
        bars_unneeded: how many of them are deleted or superseded, so that a compaction removes them.
        row_groups_per_read: how many row groups (122,880 bars each) a read of 20 days goes through, on average.
    """

    bytes_used: int
    bytes_free: int
    bars: int
    bars_unneeded: int
    row_groups_per_read: float

    @property
    def bytes_to_gain(self) -> int:
        """About how many bytes a compaction would return to the disk: free blocks, and those of unneeded bars."""
        of_bars = max(self.bytes_used - self.bytes_free - EMPTY_BYTES, 0)
        return self.bytes_free + (of_bars * self.bars_unneeded // self.bars if self.bars else 0)

    @property
    def size_factor(self) -> float:
        """About how many times as large as after a compaction the file is."""
        return max(self.bytes_used, 1) / max(self.bytes_used - self.bytes_to_gain, 1)

    @property
    def read_factor(self) -> float:
        """About how many times as long as after a compaction a read of 20 days takes."""
        return 1.0 + max(self.row_groups_per_read - 1.0, 0.0) / _TWICE_AS_SLOW

    def exceeds(self, threshold: float) -> bool:
        """Return whether the size, or the time of reads, is more than so many times what it would be."""
        return max(self.size_factor, self.read_factor) > threshold


def measure(cursor: StoreCursor, kept: Set[int]) -> Fragmentation:
    """Return how fragmented the store is, if a compaction keeps these versions."""
    ((total, free),) = cursor.rows(_SIZE)
    ((bars, last_rowid),) = cursor.rows("SELECT count(*), max(rowid) FROM {db}.bar")
    slots = 0 if last_rowid is None else last_rowid + 1
    removed = {version for (version,) in cursor.rows("SELECT version_id FROM {db}.series_version")} - kept
    superseded = 0
    if removed:
        cursor.register(_REMOVED, pa.table({"version_id": pa.array(sorted(removed), pa.int32())}))
        ((superseded,),) = cursor.rows(f"SELECT count(*) FROM {{db}}.bar WHERE version_id IN (FROM {_REMOVED})")
        cursor.unregister(_REMOVED)
    return Fragmentation(total, free, slots, slots - bars + superseded, _row_groups_per_read(cursor, slots))


def _row_groups_per_read(cursor: StoreCursor, slots: int) -> float:
    """Return how many row groups a read of 20 days goes through: the mean of one that begins in each row group."""
    if not slots:
        return 0.0
    within = np.linspace(0, _ROW_GROUP - 1, _SAMPLED, dtype=np.int64)
    rowids = (np.arange(0, slots, _ROW_GROUP)[:, None] + within).ravel()
    cursor.register(_ROWIDS, pa.table({"rowid": np.append(rowids[rowids < slots - 1], slots - 1)}))
    sample = cursor.arrow(
        f"SELECT rowid // {_ROW_GROUP} AS row_group, version_id, {epoch_sql('ts')} AS ts FROM {{db}}.bar "
        f"WHERE rowid IN (FROM {_ROWIDS}) ORDER BY rowid"
    )
    cursor.unregister(_ROWIDS)
    row_group, version, ts = (column.to_numpy().astype(np.int64) for column in sample.columns)
    starts = np.flatnonzero(np.diff(row_group, prepend=-1))
    first_version, first_ts = (np.minimum.reduceat(values, starts) for values in (version, ts))
    last_version, last_ts = (np.maximum.reduceat(values, starts) for values in (version, ts))
    reads = (starts + np.append(starts[1:], len(ts))) // 2  # the bar in the middle of each row group
    found = [
        (first_version <= version[read])
        & (last_version >= version[read])
        & (first_ts < ts[read] + _READ)
        & (last_ts >= ts[read])
        for read in reads
    ]
    return float(np.count_nonzero(found)) / len(found)
