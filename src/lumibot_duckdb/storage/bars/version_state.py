"""The state of a series version after an ingest: its layout, and facts about all of its bars."""

from __future__ import annotations

from collections.abc import Iterable, MutableMapping, Sequence
from dataclasses import dataclass, replace

from lumibot_duckdb.storage.bars.columns import bar_columns
from lumibot_duckdb.storage.bars.layout import Layout
from lumibot_duckdb.storage.catalog import Head
from lumibot_duckdb.storage.connection.cursor import StoreCursor
from lumibot_duckdb.storage.sql_conditions import is_one_of
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


def measured(cursor: StoreCursor, versions: Sequence[VersionState]) -> list[VersionState]:
    """Return states of versions with their facts read again from the versions' rows."""
    there = {name for name, _ in bar_columns(cursor)}
    places = {c.physical: None for version in versions for c in version.layout.columns if c.physical in there}
    counts = "".join(f', count("{place}")' for place in places)
    rows = cursor.rows(
        f"SELECT version_id, count(*), {epoch_sql('min(ts)')}, {epoch_sql('max(ts)')}, "
        f"bool_and(second(ts::TIMESTAMP) = 0){counts} "
        f"FROM {{db}}.bar WHERE {is_one_of('version_id', (version.version_id for version in versions))} "
        "GROUP BY version_id"
    )
    found = {version_id: facts for version_id, *facts in rows}
    return [_with_facts(version, places, *found.get(version.version_id, (0, None, None, True))) for version in versions]


def _with_facts(
    version: VersionState,
    places: Iterable[str | None],
    rows: int,
    first: EpochSeconds | None,
    last: EpochSeconds | None,
    on_minute: bool,
    *counts: int,
) -> VersionState:
    """Return a state with facts of its rows. `counts` are those of the values in some columns of `bar`."""
    values = dict(zip(places, counts, strict=False))
    columns = tuple(replace(c, has_nulls=rows > values.get(c.physical, 0)) for c in version.layout.columns)
    layout = replace(version.layout, columns=columns)
    return replace(version, layout=layout, rows=rows, first=first, last=last, on_minute=on_minute)
