"""The state of a series version after an ingest: its layout, and facts about all of its bars."""

from __future__ import annotations

from collections.abc import MutableMapping
from dataclasses import dataclass, replace

from lumibot_duckdb.storage.bars.layout import Layout
from lumibot_duckdb.storage.catalog import Head
from lumibot_duckdb.storage.connection.cursor import StoreCursor
from lumibot_duckdb.storage.sql_times import epoch_sql
from lumibot_duckdb.storage.stored_values import reading
from lumibot_duckdb.storage.times import EpochSeconds

_HEAD = f"""
SELECT series_id, version_id, ingest_id, ingested_at, layout_id, version_rows, {epoch_sql("version_first")},
    {epoch_sql("version_last")}, on_minute
FROM {{db}}.ingest WHERE ingest_id = ?
"""


@dataclass(frozen=True, slots=True)
class VersionState:
    """A version of a series after an ingest."""

    series_id: int
    version_id: int
    ingest_id: int
    layout_id: int
    layout: Layout
    rows: int
    first: EpochSeconds | None
    last: EpochSeconds | None
    on_minute: bool


def version_state(
    cursor: StoreCursor, series_id: int, head: Head, layouts: MutableMapping[int, Layout]
) -> VersionState | None:
    """Return the state that a head describes; None if its layout is not in the store.

    `layouts` are those that were read before, by id. Most series have one of a few.
    """
    if head.layout_id not in layouts:
        for (definition,) in cursor.rows("SELECT definition FROM {db}.layout WHERE layout_id = ?", [head.layout_id]):
            with reading(f"layout {head.layout_id}"):
                layouts[head.layout_id] = Layout.from_json(definition)
    layout = layouts.get(head.layout_id)
    if layout is None:
        return None
    facts = (head.rows, head.first, head.last, head.on_minute)
    return VersionState(series_id, head.version_id, head.ingest_id, head.layout_id, layout, *facts)


def head_after(cursor: StoreCursor, ingest_id: int) -> tuple[int, Head] | None:
    """Return the series of an ingest and the head that it left behind; None if there is no such ingest."""
    found = cursor.rows(_HEAD, [ingest_id])
    return (found[0][0], Head(*found[0][1:])) if found else None


def measured(cursor: StoreCursor, version: VersionState) -> VersionState:
    """Return a state with its facts read again from the version's rows."""
    stored = [c for c in version.layout.columns if c.physical is not None]
    counts = "".join(f', count("{c.physical}")' for c in stored)
    (row,) = cursor.rows(
        f"SELECT count(*), {epoch_sql('min(ts)')}, {epoch_sql('max(ts)')}, "
        f"coalesce(bool_and(second(ts::TIMESTAMP) = 0), true){counts} "
        f"FROM {{db}}.bar WHERE version_id = {version.version_id}"
    )
    rows, first, last, on_minute, *present = row
    has_nulls = {c.name: rows > count for c, count in zip(stored, present, strict=True)}
    columns = tuple(replace(c, has_nulls=has_nulls.get(c.name, rows > 0)) for c in version.layout.columns)
    layout = replace(version.layout, columns=columns)
    return replace(version, layout=layout, rows=rows, first=first, last=last, on_minute=on_minute)
