"""Rows of the table `bar`: inserts the bars of a write, and copies a version with changes.

Everything here runs inside one transaction of the caller.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from lumibot_duckdb.storage.api import OnRows
from lumibot_duckdb.storage.bars.columns import add_missing_columns, bar_columns
from lumibot_duckdb.storage.bars.layout import ALWAYS_THERE, Layout
from lumibot_duckdb.storage.bars.row_inserts import rows_of
from lumibot_duckdb.storage.connection.cursor import StoreCursor
from lumibot_duckdb.storage.times import EpochSeconds, Int64Array

if TYPE_CHECKING:
    from lumibot_duckdb.storage.bars.input_checks import InputBars


# As many rows as DuckDB keeps in a row group, so that it can work on several groups at a time.
_BATCH_ROWS = 122_880
_ARROW_TYPES = {"DOUBLE": pa.float64(), "BIGINT": pa.int64(), "BOOLEAN": pa.bool_(), "VARCHAR": pa.string()}
_INCOMING = "lumibot_duckdb_incoming"
_TOUCHED = "lumibot_duckdb_touched"
_CUTS = "lumibot_duckdb_cuts"
_CUT_COLUMNS = pa.schema([("old_version", pa.int32()), ("new_version", pa.int32()), ("start", pa.timestamp("s"))])


def ensure_columns(cursor: StoreCursor, layout: Layout) -> None:
    """Add the columns of a layout that `bar` lacks."""
    further = [(name, sql_type) for name, sql_type in layout.physical() if name not in ALWAYS_THERE]
    if further:
        add_missing_columns(cursor, further)


def insert_bars(
    cursor: StoreCursor, bars: InputBars, version_id: int, ingest_id: int, on_rows: OnRows | None = None
) -> None:
    """Insert bars into a version that has none at their times."""
    ensure_columns(cursor, bars.layout)
    table = _incoming_table(bars)
    names = _further_columns(table.column_names)
    cursor.register(_INCOMING, table if on_rows is None else _counted(table, on_rows))
    cursor.execute(
        f"INSERT INTO {{db}}.bar (version_id, ingest_id{names})\n"
        f"SELECT {version_id}, {ingest_id}{names} FROM {_INCOMING}"
    )
    cursor.unregister(_INCOMING)


def insert_pieces(
    cursor: StoreCursor, layouts: Iterable[Layout], pieces: Iterable[tuple[int, InputBars, Int64Array]]
) -> None:
    """Insert bars of some layouts, each with its version, which has none at its time, and the id of its ingest.

    It is one statement, since DuckDB keeps what is registered for a statement until the transaction ends. What the
    pieces raise is raised.
    """
    types = {name: _ARROW_TYPES[sql_type] for layout in set(layouts) for name, sql_type in layout.physical()}
    for layout in set(layouts):
        ensure_columns(cursor, layout)
    schema = pa.schema(
        [("version_id", pa.int32()), ("ts", pa.timestamp("s")), ("ingest_id", pa.int32()), *types.items()]
    )
    raised: list[Exception] = []

    def batches() -> Iterator[pa.RecordBatch]:
        try:
            for version_id, bars, ingest_ids in pieces:
                values = bars.physical()
                columns = [values.get(name, pa.nulls(len(bars), kind)) for name, kind in types.items()]
                ids = pa.array(ingest_ids.astype("int32"))
                versions = pa.repeat(pa.scalar(version_id, pa.int32()), len(bars))
                table = pa.table([versions, _timestamps(bars.times), ids, *columns], schema=schema)
                yield from table.to_batches(_BATCH_ROWS)
        except Exception as error:
            raised.append(error)
            raise

    cursor.register(_INCOMING, pa.RecordBatchReader.from_batches(schema, batches()))
    names = ", ".join(f'"{name}"' for name in schema.names)
    try:
        cursor.execute(f"INSERT INTO {{db}}.bar ({names}) SELECT {names} FROM {_INCOMING}")
    except Exception as error:
        raise (raised[0] if raised else error) from None
    cursor.unregister(_INCOMING)


def copy_with_changes(
    cursor: StoreCursor,
    *,
    old_version: int,
    new_version: int,
    ingest_id: int,
    layout: Layout,
    news: InputBars,
    touched: Int64Array,
    whole_rows: bool,
) -> None:
    """Write a new version: the old one without the bars at the `touched` times, and the new bars.

    Bars that are copied keep the ingest that brought them. A new bar keeps what the old bar at its time has in columns
    that did not come in, unless with `whole_rows`.
    """
    ensure_columns(cursor, layout)
    here = news.physical()
    arriving = {column.layout.name for column in news.columns}
    kept: set[str] = set()
    if not whole_rows:
        staying = (column for column in layout.columns if column.name not in arriving)
        kept = {name for column in staying for name in (column.physical, column.bits) if name}

    def source(name: str) -> str:
        return f'news."{name}"' if name in here else f'old."{name}"' if name in kept else "NULL"

    columns = [name for name, _ in layout.physical()]
    cursor.register(_INCOMING, _incoming_table(news))
    cursor.register(_TOUCHED, pa.table({"ts": _timestamps(touched)}))
    cursor.execute(
        f"INSERT INTO {{db}}.bar (version_id, ts, ingest_id{_further_columns(columns)})\n"
        f"SELECT {new_version}, * FROM (\n"
        f"SELECT ts, ingest_id{_further_columns(columns)} FROM {{db}}.bar\n"
        f"WHERE version_id = {old_version} AND ts NOT IN (SELECT ts FROM {_TOUCHED})\n"
        f"UNION ALL\n"
        f"SELECT news.ts, {ingest_id}{''.join(f', {source(name)}' for name in columns)}\n"
        f"FROM {_INCOMING} AS news\n"
        f"LEFT JOIN (SELECT * FROM {{db}}.bar WHERE version_id = {old_version}) AS old ON old.ts = news.ts\n"
        ") ORDER BY ts"
    )
    cursor.unregister(_INCOMING)
    cursor.unregister(_TOUCHED)


@dataclass(frozen=True, slots=True)
class Cut:
    """A version, of a timeframe, that gets the bars of an older one that start at a time or later."""

    old_version: int
    new_version: int
    start: EpochSeconds
    timeframe: str


def copy_since(cursor: StoreCursor, cuts: Sequence[Cut]) -> None:
    """Write new versions: the bars of old ones that start at a time or later, with their ingests."""
    rows = [(cut.old_version, cut.new_version, cut.start) for cut in cuts]
    cursor.register(_CUTS, rows_of(_CUT_COLUMNS, rows))
    cursor.execute(
        f"INSERT INTO {{db}}.bar SELECT bar.* REPLACE (new_version AS version_id) FROM {{db}}.bar "
        f"JOIN {_CUTS} ON old_version = version_id WHERE ts >= start ORDER BY new_version, ts"
    )
    cursor.unregister(_CUTS)


def copy_version(cursor: StoreCursor, old_version: int, new_version: int) -> None:
    """Write a new version that is the same as an old one, with what is derived from its bars but their checksums."""
    for table, order in (("bar", "ts"), ("outline", "block"), ("repeated_bar", "ts")):
        cursor.execute(
            f"INSERT INTO {{db}}.{table} SELECT * REPLACE ({new_version}::INTEGER AS version_id) FROM {{db}}.{table} "
            f"WHERE version_id = {old_version} ORDER BY {order}"
        )


def copy_sound_bars(
    cursor: StoreCursor, *, old_version: int, new_version: int, ingest_id: int, dropped: Int64Array
) -> None:
    """Write a new version: the old one with each bar once, the one that was written last, and without some times.

    Bars that no write brought count as those of this one.
    """
    names = [name for name, _ in bar_columns(cursor) if name not in ("version_id", "ts", "ingest_id")]
    cursor.register(_TOUCHED, pa.table({"ts": _timestamps(dropped)}))
    cursor.execute(
        f"INSERT INTO {{db}}.bar (version_id, ts, ingest_id{_further_columns(names)})\n"
        f"SELECT {new_version}, ts, CASE WHEN ingest_id IN (SELECT ingest_id FROM {{db}}.ingest) THEN ingest_id "
        f"ELSE {ingest_id} END{_further_columns(names)} FROM {{db}}.bar\n"
        f"WHERE version_id = {old_version} AND ts NOT IN (SELECT ts FROM {_TOUCHED})\n"
        "QUALIFY row_number() OVER (PARTITION BY ts ORDER BY bar.ingest_id DESC, rowid DESC) = 1 ORDER BY ts"
    )
    cursor.unregister(_TOUCHED)


def _incoming_table(bars: InputBars) -> pa.Table:
    table = pa.table({"ts": _timestamps(bars.times), **bars.physical()})
    return pa.Table.from_batches(table.to_batches(max_chunksize=_BATCH_ROWS), table.schema)


def _counted(table: pa.Table, on_rows: OnRows) -> pa.RecordBatchReader:
    """Return the rows of a table, and report those that a statement has read.

    Several statements instead would tell the same, but each would end in the middle of a row group.
    """

    def batches() -> Iterator[pa.RecordBatch]:
        done = 0
        for batch in table.to_batches():
            on_rows(done, table.num_rows)
            yield batch
            done += batch.num_rows

    return pa.RecordBatchReader.from_batches(table.schema, batches())


def _timestamps(times: Int64Array) -> pa.Array:
    return pa.array(times).cast(pa.timestamp("s"))


def _further_columns(names: list[str]) -> str:
    return "".join(f', "{name}"' for name in names)
