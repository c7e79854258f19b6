"""What the first touches of series need beside the catalog, read for a page of series by one query.

A backtest usually touches series that were stored around the same time, one after another.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import pyarrow as pa

from lumibot_duckdb.storage.bars.columns import single_array
from lumibot_duckdb.storage.bars.coverage import Covered
from lumibot_duckdb.storage.bars.coverage_records import covered_range
from lumibot_duckdb.storage.bars.ingests import IngestRow
from lumibot_duckdb.storage.bars.outline_records import StoredBlock
from lumibot_duckdb.storage.catalog import Head
from lumibot_duckdb.storage.connection.cursor import StoreCursor
from lumibot_duckdb.storage.sql_conditions import is_one_of
from lumibot_duckdb.storage.sql_files import sql_file

_DENSE = 4
"""So many times as many ids may be read as are needed."""


class HeadPage:
    """The coverage of some series, the outlines of their current versions, and the last write to each.

    `heads` are those of the series. Objects are made of what is looked up only.
    """

    def __init__(self, cursor: StoreCursor, heads: Mapping[int, Head]) -> None:
        self._versions = {head.version_id for head in heads.values()}
        table = _read(cursor, heads)
        self._size: int = table.nbytes
        is_block, is_write = (single_array(table[name]).is_valid().to_numpy(False) for name in ("block", "kind"))
        self._covered, self._blocks, self._writes = (
            table.filter(pa.array(rows)) for rows in (~is_block & ~is_write, is_block, is_write)
        )

    @property
    def nbytes(self) -> int:
        """About how much memory the page takes."""
        return self._size

    def coverage(self, series_id: int) -> list[Covered]:
        """Return all covered ranges of a series, expired ones included."""
        found = _rows_of(self._covered, series_id)
        starts, ends = (single_array(found[name]).view(pa.int64()).to_pylist() for name in ("range_start", "range_end"))
        return [covered_range(*row) for row in zip(starts, ends, found["moment"].to_pylist(), strict=True)]

    def outline(self, version_id: int) -> list[StoredBlock] | None:
        """Return the stored outline of a version; None if the version was not the current one of a series."""
        if version_id not in self._versions:
            return None
        found = _rows_of(self._blocks, version_id)
        columns = (found[name].to_pylist() for name in ("block", "ingest_id", "days", "packed"))
        return sorted((StoredBlock(*row) for row in zip(*columns, strict=True)), key=lambda block: block.number)

    def writes(self, ingest_ids: Collection[int]) -> list[IngestRow] | None:
        """Return some writes, earliest first; None if one of them was not read."""
        found = self._writes.filter(pa.array(np.isin(self._writes["id"].to_numpy(), list(ingest_ids))))
        if found.num_rows < len(ingest_ids):
            return None
        columns = (found[name].to_pylist() for name in ("id", "moment", "kind", "metadata"))
        return sorted(zip(*columns, strict=True))


def _read(cursor: StoreCursor, heads: Mapping[int, Head]) -> pa.Table:
    parts = {
        "series": _is_one_of("series_id", list(heads)),
        "versions": _is_one_of("version_id", [head.version_id for head in heads.values()]),
        "ingests": _is_one_of("ingest_id", [head.ingest_id for head in heads.values()]),
    }
    return cursor.arrow(sql_file("head_page.sql").format(db="{db}", **parts))


def _is_one_of(column: str, ids: Sequence[int]) -> str:
    """Return SQL for ids, and for a few others between them where that is faster than a list."""
    first, last = min(ids), max(ids)
    if last - first < _DENSE * len(ids):
        return f"{column} BETWEEN {first} AND {last}"
    return is_one_of(column, ids)


def _rows_of(table: pa.Table, number: int) -> pa.Table:
    return table.filter(pa.array(table["id"].to_numpy() == number))
