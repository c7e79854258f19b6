"""Verification: checks that a store is sound, and reports implausible bars. Changes nothing.

Each check is a file in `sql/verify`. Its first line states whether its findings are damage or just remarkable.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from itertools import chain, islice
from typing import Any

import duckdb

from lumibot_duckdb.storage import migrations
from lumibot_duckdb.storage.bars.columns import bar_columns
from lumibot_duckdb.storage.bars.layout import Layout
from lumibot_duckdb.storage.bars.outline_records import wrong_outlines
from lumibot_duckdb.storage.bars.repeats import wrong_repeats
from lumibot_duckdb.storage.bars.spool import Spool
from lumibot_duckdb.storage.connection.cursor import StoreCursor
from lumibot_duckdb.storage.connection.store_connection import StoreConnection
from lumibot_duckdb.storage.errors import StorageError, StoreBusyError, StoreDamagedError
from lumibot_duckdb.storage.times import naive_utc, utc_now
from lumibot_duckdb.storage.upkeep.store_copy import pieces

_NAMED_PER_CHECK = 20


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding. `damage` means that the store is wrong; otherwise bars are just implausible."""

    check: str
    damage: bool
    what: str


@dataclass(frozen=True, slots=True)
class VerificationReport:
    """What `verify` checked and found. At most the first 20 findings of a check are listed."""

    series: int
    rows: int
    findings: list[Finding] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        """Whether nothing is damaged. Implausible bars do not count: they are stored unchanged."""
        return not any(finding.damage for finding in self.findings)


def verify(connection: StoreConnection) -> VerificationReport:
    """Check the whole store. Nothing is changed.

    The file is read from the disk, not from what this process has in memory.
    """
    connection.close()
    unreadable = list(_unreadable_columns(connection))
    if unreadable:
        return VerificationReport(0, 0, unreadable)
    findings: list[Finding] = []
    with connection.read() as cursor:
        ((series,),) = cursor.rows("SELECT count(*) FROM {db}.series")
        versions = {v for (v,) in cursor.rows("SELECT DISTINCT version_id FROM {db}.bar")}
        conditions = [piece.condition() for piece in pieces(cursor, versions)]
        ((rows,),) = cursor.rows("SELECT count(*) FROM {db}.bar")
        findings += _wrong_layouts(cursor)
    findings += _wrong_outlines(connection)
    for name, damage, sql in _checks():
        findings += _findings(connection, name, damage, sql, conditions)
    findings += [Finding("spool", False, what) for what in Spool(connection.path).sentences()]
    return VerificationReport(series, rows, findings)


def _unreadable_columns(connection: StoreConnection) -> Iterator[Finding]:
    """Read every value of every table; yield the columns that cannot be read."""
    for table, columns in _columns(connection).items():
        try:
            _read(connection, table, columns)
        except StoreBusyError:
            raise
        except (StorageError, duckdb.Error):
            yield from _unreadable_columns_of(connection, table, columns)


def _columns(connection: StoreConnection) -> dict[str, list[str]]:
    """Return the names of the columns of each table."""
    columns: dict[str, list[str]] = {}
    with connection.read() as cursor:
        migrations.state(cursor)
        for table, column in cursor.rows(
            "SELECT table_name, column_name FROM duckdb_columns() WHERE database_name = '{db}' AND table_oid IN "
            "(SELECT table_oid FROM duckdb_tables() WHERE database_name = '{db}') ORDER BY table_name, column_index"
        ):
            columns.setdefault(table, []).append(column)
    return columns


def _unreadable_columns_of(connection: StoreConnection, table: str, columns: Sequence[str]) -> Iterator[Finding]:
    """Read the columns of a table one after the other, which also needs less memory; yield those that fail."""
    with connection.read() as cursor:
        ((end,),) = cursor.rows(f'SELECT coalesce(max(rowid), 0) + 1 FROM {{db}}."{table}"')
    for column in columns:
        try:
            _read_in_parts(connection, table, column, 0, end)
        except (StoreBusyError, duckdb.OutOfMemoryException):
            raise
        except (StorageError, duckdb.Error) as error:
            yield Finding("blocks", True, f"column {column} of table {table} cannot be read: {error}")


def _read_in_parts(connection: StoreConnection, table: str, column: str, first: int, end: int) -> None:
    """Read the values of one column in the rows from `first` to before `end`; in smaller parts if memory runs out."""
    try:
        _read(connection, table, [column], f"WHERE rowid >= {first} AND rowid < {end}")
    except duckdb.OutOfMemoryException:
        middle = (first + end) // 2
        if middle == first:
            raise
        _read_in_parts(connection, table, column, first, middle)
        _read_in_parts(connection, table, column, middle, end)


def _read(connection: StoreConnection, table: str, columns: Sequence[str], condition: str = "") -> None:
    """Read columns of a table in a separate transaction, since none continues after an error."""
    values = ", ".join(f'bit_xor(hash("{column}"))' for column in columns)
    with connection.read() as cursor:
        cursor.rows(f'SELECT {values} FROM {{db}}."{table}" {condition}')


def _findings(
    connection: StoreConnection, name: str, damage: bool, sql: str, conditions: list[str]
) -> Iterator[Finding]:
    """Run one check, in a separate transaction: junk in a table can make it fail."""
    found: list[tuple[Any, ...]] = []
    sql = sql.replace("{now}", f"TIMESTAMP '{naive_utc(utc_now())}'")
    try:
        with connection.read() as cursor:
            for condition in conditions if "{piece}" in sql else [""]:
                found += cursor.rows(sql.replace("{piece}", condition))
    except duckdb.Error as error:
        yield Finding(name, True, f"the tables have values that cannot be checked: {error}")
    for (what,) in found[:_NAMED_PER_CHECK]:
        yield Finding(name, damage, what)


def _checks() -> Iterator[tuple[str, bool, str]]:
    """Yield name, whether it finds damage, and SQL of every check."""
    folder = files("lumibot_duckdb.storage") / "sql" / "verify"
    for file in sorted(folder.iterdir(), key=lambda file: file.name):
        if file.name.endswith(".sql"):
            sql = file.read_text("utf-8")
            yield file.name.removesuffix(".sql"), sql.startswith("-- damage:"), sql


def _wrong_outlines(connection: StoreConnection) -> Iterator[Finding]:
    """Compare the outlines with the bars."""
    try:
        with connection.read() as cursor:
            for what in islice(chain(wrong_outlines(cursor), wrong_repeats(cursor)), _NAMED_PER_CHECK):
                yield Finding("outlines", True, what)
    except (StoreDamagedError, duckdb.Error) as error:
        yield Finding("outlines", True, f"the outlines cannot be checked: {error}")


def _wrong_layouts(cursor: StoreCursor) -> Iterator[Finding]:
    """Compare the manifests with the columns that there are."""
    there = dict(bar_columns(cursor))
    for layout_id, definition in cursor.rows("SELECT layout_id, definition FROM {db}.layout ORDER BY layout_id"):
        try:
            wanted = Layout.from_json(definition).physical()
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            yield Finding("layouts", True, f"layout {layout_id} cannot be read: {error}")
            continue
        for name, sql_type in wanted:
            if there.get(name) != sql_type:
                yield Finding("layouts", True, f"layout {layout_id} needs a column {name} of type {sql_type} in bar")
