"""The state of a series version after an ingest: its layout, and facts about all of its bars."""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass, replace

from lumibot_duckdb.storage.bars.layout import Layout
from lumibot_duckdb.storage.connection.cursor import StoreCursor
from lumibot_duckdb.storage.sql_times import epoch_sql
from lumibot_duckdb.storage.stored_values import reading
from lumibot_duckdb.storage.times import EpochSeconds

_STATE = f"""
SELECT series_id, version_id, ingest_id, layout_id, version_rows, {epoch_sql("version_first")},
    {epoch_sql("version_last")}, on_minute
FROM {{db}}.ingest WHERE ingest_id IN ({{ids}})
"""
_LAYOUTS = "SELECT layout_id, definition FROM {db}.layout WHERE layout_id IN ({ids})"


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


def version_states(
    cursor: StoreCursor, ingest_ids: Sequence[int], layouts: MutableMapping[int, Layout]
) -> dict[int, VersionState]:
    """Return the states that some ingests left behind, by id; those that do not exist are missing.

    `layouts` are those that were read before, by id. Most series have one of a few.
    """
    rows = cursor.rows(_STATE.replace("{ids}", ", ".join(map(str, ingest_ids))))
    unknown = {layout_id for _, _, _, layout_id, *_ in rows} - layouts.keys()
    if unknown:
        for layout_id, definition in cursor.rows(_LAYOUTS.replace("{ids}", ", ".join(map(str, unknown)))):
            with reading(f"layout {layout_id}"):
                layouts[layout_id] = Layout.from_json(definition)
    return {
        ingest_id: VersionState(series_id, version_id, ingest_id, layout_id, layouts[layout_id], *facts)
        for series_id, version_id, ingest_id, layout_id, *facts in rows
        if layout_id in layouts
    }


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
