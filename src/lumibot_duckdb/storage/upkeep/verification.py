"""Verification: checks that a store is sound, and whether its bars are plausible. Changes nothing.

The checks of the tables are files in `sql/verify`. The first line of each states whether its findings are damage or
just remarkable. `price_checks.py` and `gap_checks.py` check the bars of series.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.resources import files
from itertools import chain, islice
from typing import Any, NamedTuple

import duckdb

from lumibot_duckdb.storage import migrations
from lumibot_duckdb.storage.api import OnRows, SeriesInfo
from lumibot_duckdb.storage.bars.checksums import (
    Checksums,
    SegmentSums,
    all_checksums,
    computed_checksums,
    differing,
    segment_days,
    segment_range,
    stored_checksums,
    sums_of,
    unchecked_to,
)
from lumibot_duckdb.storage.bars.columns import bar_columns
from lumibot_duckdb.storage.bars.layout import Layout
from lumibot_duckdb.storage.bars.outline_records import wrong_outlines
from lumibot_duckdb.storage.bars.repeats import wrong_repeats
from lumibot_duckdb.storage.bars.spool import Spool
from lumibot_duckdb.storage.connection.cursor import StoreCursor
from lumibot_duckdb.storage.connection.duckdb_errors import DamagedBlockError, damage_reason
from lumibot_duckdb.storage.connection.store_connection import StoreConnection
from lumibot_duckdb.storage.errors import StorageError, StoreBusyError, StoreDamagedError
from lumibot_duckdb.storage.sql_files import sql_file
from lumibot_duckdb.storage.times import naive_utc, utc_now
from lumibot_duckdb.storage.upkeep.bar_checks import BarChecks, recorded_splits
from lumibot_duckdb.storage.upkeep.bar_scan import ROWS_AT_A_TIME, Stretch, stretches
from lumibot_duckdb.storage.upkeep.findings import LISTED_BARS, Finding, FoundBar, Severity, VerificationReport
from lumibot_duckdb.storage.upkeep.salvage import irreplaceable, without_salvage
from lumibot_duckdb.storage.upkeep.store_copy import Piece, pieces
from lumibot_duckdb.storage.upkeep.version_keys import keys_of_versions

_NAMED_PER_CHECK = 20
_DOUBLED = "doubled_bars"
_DEEPER = "implausible_bars"
"""The check that those of bars replace: it names no bar but the first."""


_REBUILT = "--repair computes it again from the bars"
REPAIRS = {
    "outlines": _REBUILT,
    "checksums": "--repair lets the next backtest request these bars again, and keeps what is there until then",
    "doubled_bars": "--repair keeps the one that was written last",
    "recorded_facts": "--repair counts the bars again, and lets the next backtest request those that are missing",
    "bars_of_no_ingest": "--repair counts them as its own",
    "bars_of_no_version": "--repair deletes them",
    "versions_of_no_series": "--repair deletes them, or marks them as superseded",
    "rows_of_nothing": "--repair deletes them",
    "coverage_ranges": "--repair deletes them, so that the next backtest requests these bars again",
    "labels": "set this label again: lumibot-duckdb label SYMBOL NAME=VALUE",
    "snapshots": "delete the snapshot: lumibot-duckdb snapshot NAME --delete",
    "repaired_in_snapshots": "delete the snapshot if nothing needs it any more: lumibot-duckdb snapshot NAME --delete",
    "blocks": "--repair keeps what can be read, in a new file, and lets the next backtest request what is lost",
}
"""What a repair does about the findings of a check."""


def verify(
    connection: StoreConnection, series: Sequence[SeriesInfo] | None = None, on_rows: OnRows | None = None
) -> VerificationReport:
    """Check the whole store, and the bars of some series. Nothing is changed.

    The file is read from the disk, not from what this process has in memory. `on_rows` receives how many bars are read.
    """
    connection.close()
    unreadable = _unreadable_columns(connection)
    if unreadable:
        return VerificationReport(_count(connection, "series"), _count(connection, "bar"), _of_blocks(unreadable))
    findings: list[Finding] = []
    with connection.read() as cursor:
        ((count,),) = cursor.rows("SELECT count(*) FROM {db}.series")
        versions = {v for (v,) in cursor.rows("SELECT DISTINCT version_id FROM {db}.bar")}
        todo = pieces(cursor, versions, ROWS_AT_A_TIME)
        large = [piece.condition() for piece in pieces(cursor, versions)]
        ((rows,),) = cursor.rows("SELECT count(*) FROM {db}.bar")
        findings += _wrong_layouts(cursor)
        splits = recorded_splits(cursor) if series else {}
    checks = BarChecks(series or (), splits)
    scan = _Scan(checks)
    findings += scan.run(connection, todo, on_rows)
    findings += _wrong_outlines(connection)
    done = ({_DOUBLED} if scan.without_doubles else set()) | ({_DEEPER} if series is not None else set())
    for name, damage, sql in _checks():
        if name not in done:
            findings += _findings(connection, name, damage, sql, large)
    findings += [Finding("spool", "info", what) for what in Spool(connection.path).sentences()]
    findings += checks.findings()
    return VerificationReport(count, rows, findings)


class _Unreadable(NamedTuple):
    table: str
    column: str
    reason: str


class _Scan:
    """Reads all bars once, gives them to checks, and compares their checksums.

    `without_doubles` says whether each bar is there once, as far as it was read.
    """

    def __init__(self, checks: BarChecks) -> None:
        self._checks = checks
        self.without_doubles = False

    def run(self, connection: StoreConnection, todo: Sequence[Piece], on_rows: OnRows | None) -> Iterator[Finding]:
        """Yield the versions whose checksums differ."""
        done, total = 0, sum(piece.rows for piece in todo)

        def on_piece(rows: int) -> None:
            nonlocal done
            done += rows
            if on_rows is not None:
                on_rows(done, total)

        try:
            with connection.read() as cursor:
                known = _Checksums(cursor)
            doubled = False
            for stretch in stretches(connection, todo, on_piece):
                doubled |= bool((stretch.times[1:] == stretch.times[:-1]).any())
                known.add(stretch)
                self._checks.add(stretch)
            self.without_doubles = not doubled
            wrong = (finding for each in known.differing() for finding in _wrong_checksums(connection, each))
            yield from islice(wrong, _NAMED_PER_CHECK)
        except (StoreDamagedError, duckdb.Error, ValueError) as error:  # also for junk in the tables
            yield Finding("checksums", "error", f"the checksums cannot be checked: {damage_reason(error)}")


class _Checksums:
    """The stored checksums of all versions, and those of the bars that were read."""

    def __init__(self, cursor: StoreCursor) -> None:
        self._stored = dict(all_checksums(cursor))
        self._unchecked = unchecked_to(cursor)
        self._days = dict(
            cursor.rows("SELECT version_id, timeframe FROM {db}.series_version JOIN {db}.series USING (series_id)")
        )
        self._repaired = {version_id for (version_id,) in cursor.rows(sql_file("repaired_versions.sql"))}
        self._computed: dict[int, Checksums] = {}

    def add(self, stretch: Stretch) -> None:
        timeframe = self._days.get(stretch.version_id)
        if timeframe is None or stretch.version_id <= self._unchecked:
            return  # those are compared one by one
        known = self._computed.setdefault(stretch.version_id, {})
        for number, sums in sums_of(stretch.times, stretch.columns, segment_days(timeframe)).items():
            known.setdefault(number, SegmentSums()).add(sums.bars, sums.sums)

    def differing(self) -> list[int]:
        """Return the versions whose checksums seem to differ; they may have been written to meanwhile."""
        versions = sorted((self._stored.keys() | self._computed.keys()) - self._repaired)
        return [v for v in versions if list(differing(self._stored.get(v, {}), self._computed.get(v, {})))]


def _wrong_checksums(connection: StoreConnection, version_id: int) -> Iterator[Finding]:
    """Compare the checksums of one version again, in one state of the store."""
    with connection.read() as cursor:
        key = keys_of_versions(cursor, version_id).get(version_id)
        stored = stored_checksums(cursor, version_id)
        computed = {} if key is None else computed_checksums(cursor, version_id, key.timeframe)
    if key is None:
        if stored:  # else the version was deleted meanwhile
            what = f"there are checksums of version {version_id}, which does not exist"
            yield Finding("checksums", "error", what, version_id=version_id, repair="--repair deletes them")
        return
    found = list(differing(stored, computed))
    if not found:
        return
    days = segment_days(key.timeframe)
    bars = []
    for number, columns, more in found[:LISTED_BARS]:
        within = segment_range(number, days)
        note = (
            f"column {', '.join(columns)}" if not more else f"{abs(more)} bars {'too many' if more > 0 else 'missing'}"
        )
        bars.append(FoundBar(within.start, note, within.end))
    what = f"the bars of version {version_id} are not those that were stored"
    yield Finding("checksums", "error", what, key, tuple(bars), len(found), REPAIRS["checksums"], version_id)


def _of_blocks(unreadable: Sequence[_Unreadable]) -> list[Finding]:
    tables = list(dict.fromkeys(each.table for each in unreadable))
    lost = irreplaceable(tables)
    repair = REPAIRS["blocks"]
    if lost:
        repair = f"--repair cannot replace table {', '.join(lost)}. {without_salvage(tables)}"
    return [
        Finding("blocks", "error", f"column {column} of table {table} cannot be read: {reason}", repair=repair)
        for table, column, reason in unreadable
    ]


def _count(connection: StoreConnection, table: str) -> int:
    """Return how many rows a table has, which DuckDB knows without most of its blocks; 0 if it needs one that fails."""
    try:
        with connection.read() as cursor:
            ((rows,),) = cursor.rows(f"SELECT count(*) FROM {{db}}.{table}")
            return int(rows)
    except (StoreDamagedError, duckdb.Error):
        return 0


def _unreadable_columns(connection: StoreConnection) -> list[_Unreadable]:
    """Read every value of every table; return the columns that cannot be read."""
    found: list[_Unreadable] = []
    try:
        for table, columns in _columns(connection).items():
            try:
                _read(connection, table, columns)
            except StoreBusyError:
                raise
            except (StorageError, duckdb.Error):
                found += _unreadable_columns_of(connection, table, columns)
    except DamagedBlockError as error:
        raise StoreDamagedError(
            f"{connection.path} cannot be checked or repaired, because {error.reason}. Restore a backup of it "
            "(lumibot-duckdb restore)"
        ) from error
    return found


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


def _unreadable_columns_of(connection: StoreConnection, table: str, columns: Sequence[str]) -> Iterator[_Unreadable]:
    """Read the columns of a table one after the other, which also needs less memory; yield those that fail."""
    with connection.read() as cursor:
        ((end,),) = cursor.rows(f'SELECT coalesce(max(rowid), 0) + 1 FROM {{db}}."{table}"')
    for column in columns:
        try:
            _read_in_parts(connection, table, column, 0, end)
        except (StoreBusyError, duckdb.OutOfMemoryException):
            raise
        except (StorageError, duckdb.Error) as error:
            yield _Unreadable(table, column, damage_reason(error.__cause__ or error))


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
    sql = sql.replace("{now}", f"TIMESTAMP '{naive_utc(utc_now())}'").replace(
        "{repaired}", sql_file("repaired_versions.sql")
    )
    try:
        with connection.read() as cursor:
            for condition in conditions if "{piece}" in sql else [""]:
                found += cursor.rows(sql.replace("{piece}", condition))
    except duckdb.Error as error:
        yield Finding(name, "error", f"the tables have values that cannot be checked: {damage_reason(error)}")
    for what, *version in found[:_NAMED_PER_CHECK]:
        severity: Severity = "error" if damage else "warning"
        yield Finding(name, severity, what, version_id=version[0] if version else None, repair=REPAIRS.get(name, ""))


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
            wrong = chain(wrong_outlines(cursor), wrong_repeats(cursor))
            for version_id, what in islice(wrong, _NAMED_PER_CHECK):
                yield Finding("outlines", "error", what, version_id=version_id, repair=_REBUILT)
    except (StoreDamagedError, duckdb.Error) as error:
        yield Finding("outlines", "error", f"the outlines cannot be checked: {damage_reason(error)}")


def _wrong_layouts(cursor: StoreCursor) -> Iterator[Finding]:
    """Compare the manifests with the columns that there are."""
    there = dict(bar_columns(cursor))
    for layout_id, definition in cursor.rows("SELECT layout_id, definition FROM {db}.layout ORDER BY layout_id"):
        try:
            wanted = Layout.from_json(definition).physical()
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            yield Finding("layouts", "error", f"layout {layout_id} cannot be read: {error}")
            continue
        for name, sql_type in wanted:
            if there.get(name) != sql_type:
                yield Finding("layouts", "error", f"layout {layout_id} needs a column {name} of type {sql_type} in bar")
