"""Sessions of live trading in a results database: written in small steps while they run, and read at any time."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import get_args

import pyarrow as pa

from lumibot_duckdb import clock
from lumibot_duckdb.results.errors import InvalidResultError, SessionNotFoundError
from lumibot_duckdb.results.live_records import (
    LIVE_TABLES,
    LiveBatch,
    LiveSessionRecord,
    SessionStatus,
    StoredSession,
)
from lumibot_duckdb.results.location import results_path
from lumibot_duckdb.results.names import check_name
from lumibot_duckdb.results.records import SweepRecord
from lumibot_duckdb.results.results_file import ResultsFile, insert_rows
from lumibot_duckdb.results.trial_rows import keyed, sweep_row, with_zone
from lumibot_duckdb.storage.connection.cursor import StoreCursor
from lumibot_duckdb.storage.times import aware_utc, naive_utc

KIND = "live"
"""The kind of a session among the sweeps."""
SILENT_AFTER = timedelta(minutes=3)
"""A running session writes at least once a minute; after this time without, its process has probably ended."""
_NUMBER = 1
"""The number that the rows of a session have in tables of trials."""


class LiveSessions:
    """The sessions of live trading in a results database.

    Parameters:
        path: As for `ResultsDatabase`, in whose file they are.
        wait_seconds: How long a call waits for other programs that have the file open.

    Raises as the methods of `ResultsDatabase` do. Times are in UTC.

    >>> import tempfile
    >>> from datetime import datetime, timezone
    >>> from lumibot_duckdb.results.records import EQUITY_SCHEMA
    >>> now = datetime(2024, 6, 3, 15, 0, tzinfo=timezone.utc)
    >>> sessions = LiveSessions(f"{tempfile.mkdtemp()}/my-results.duckdb")
    >>> sessions.begin(LiveSessionRecord("id-1", "crossover-live", "Crossover", "my.py", {}, now, None))
    'crossover-live'
    >>> equity = pa.table([[now], [100_000.0], [100_000.0]], schema=EQUITY_SCHEMA)
    >>> sessions.append("id-1", [LiveBatch(1, {"equity": equity})])
    >>> sessions.finish("id-1")
    >>> sessions.summary().select(["sweep", "status", "last_value"]).to_pylist()
    [{'sweep': 'crossover-live', 'status': 'complete', 'last_value': 100000.0}]
    """

    def __init__(self, path: str | os.PathLike[str] | None = None, *, wait_seconds: float = 30.0) -> None:
        self.path: Path = results_path(path)
        self._file = ResultsFile(self.path, wait_seconds)

    # -- writing -----------------------------------------------------------------------------------------------

    def begin(self, record: LiveSessionRecord) -> str:
        """Store a session that begins, and return its name. A session that is stored already keeps its name.

        Earlier sessions of the strategy that have not written for minutes are marked as interrupted.

        Raises `InvalidResultError` for a record that cannot be stored.
        """
        check_name(record.name)
        now = naive_utc(clock.utc_now())
        with self._file.write() as cursor:
            stored = _name_of(cursor, record.session_id)
            if stored is not None:
                return stored
            _interrupt_silent(cursor, record, now)
            name = _free_name(cursor, record.name)
            row = sweep_row(_sweep(record, name), KIND)
            columns, values = ", ".join(row), ", ".join("?" * len(row))
            cursor.execute(f"INSERT INTO {{db}}.sweeps ({columns}) VALUES ({values})", list(row.values()))
            cursor.execute("INSERT INTO {db}.live_sessions VALUES (?, ?, ?, 0, 0)", [name, record.session_id, now])
        return name

    def append(self, session_id: str, batches: Iterable[LiveBatch]) -> None:
        """Store batches of rows: all of them or, if an error is raised, none. Those that are stored are left out.

        Without batches, this says that the session still runs. Raises `SessionNotFoundError` if it was deleted.
        """
        with self._file.write() as cursor:
            name = _required(cursor, session_id)
            [(stored,)] = cursor.rows("SELECT batches FROM {db}.live_sessions WHERE session_id = ?", [session_id])
            new = [batch for batch in batches if batch.number > stored]
            for table, schema in LIVE_TABLES.items():
                parts = [batch.tables[table] for batch in new if table in batch.tables]
                if parts:
                    insert_rows(cursor, table, keyed(pa.concat_tables(parts), schema, name, _NUMBER))
            cursor.execute(
                "UPDATE {db}.live_sessions SET updated = ?, batches = ?, lost = lost + ? WHERE session_id = ?",
                [
                    naive_utc(clock.utc_now()),
                    max([stored, *(batch.number for batch in new)]),
                    sum(batch.lost for batch in new),
                    session_id,
                ],
            )

    def finish(self, session_id: str, status: SessionStatus = "complete", ended: datetime | None = None) -> None:
        """Store how a session ended, and when (default: now). One that has ended keeps its first end."""
        if status not in get_args(SessionStatus):
            raise InvalidResultError(f"{status!r} is not how a session ends; use one of {get_args(SessionStatus)}")
        moment = naive_utc(ended or clock.utc_now())
        with self._file.write() as cursor:
            name = _required(cursor, session_id)
            update = "UPDATE {db}.sweeps SET status = ?, ended = ? WHERE sweep = ? AND ended IS NULL"
            cursor.execute(update, [status, moment, name])

    # -- reading -----------------------------------------------------------------------------------------------

    def summary(self) -> pa.Table:
        """Return a row for each session, in the order of their starts: the columns of the view `live_summary`.

        The status of one that runs but has not written for minutes is "interrupted".
        """
        since = naive_utc(clock.utc_now() - SILENT_AFTER)
        status = "CASE WHEN status = 'running' AND updated < ? THEN 'interrupted' ELSE status END AS status"
        with self._file.read() as cursor:
            table = cursor.arrow(f"SELECT * REPLACE ({status}) FROM {{db}}.live_summary", [since])
        return with_zone(table)

    def session(self, name: str) -> StoredSession:
        """Return what is stored of a session. Raises `SessionNotFoundError`, which names the others."""
        with self._file.read() as cursor:
            query = "FROM {db}.sweeps JOIN {db}.live_sessions USING (sweep) WHERE sweep = ?"
            rows = cursor.arrow(query, [name]).to_pylist()
            if not rows:
                raise _not_found(cursor, name, self.path)
        (row,) = rows
        record = LiveSessionRecord(
            session_id=row["session_id"],
            name=name,
            strategy=row["strategy"],
            script=row["script"],
            settings=json.loads(row["settings"]),
            started=aware_utc(row["started"]),
            store=row["store"],
            versions=json.loads(row["versions"]),
        )
        ended, updated = row["ended"] and aware_utc(row["ended"]), aware_utc(row["updated"])
        is_silent = row["status"] == "running" and clock.utc_now() - updated > SILENT_AFTER
        return StoredSession(record, "interrupted" if is_silent else row["status"], updated, ended, row["lost"])

    def tables(self, name: str) -> dict[str, pa.Table]:
        """Return all rows of a session, by the names of `LIVE_TABLES`, in the order in which they were stored."""
        with self._file.read() as cursor:
            if not cursor.rows("SELECT 1 FROM {db}.live_sessions WHERE sweep = ?", [name]):
                raise _not_found(cursor, name, self.path)
            return {table: _rows_of(cursor, table, schema, name) for table, schema in LIVE_TABLES.items()}


def _rows_of(cursor: StoreCursor, table: str, schema: pa.Schema, name: str) -> pa.Table:
    columns = ", ".join(f'"{column}"' for column in schema.names)
    query = f"SELECT {columns} FROM {{db}}.{table} WHERE sweep = ? AND number = ? ORDER BY rowid"
    return with_zone(cursor.arrow(query, [name, _NUMBER])).cast(schema)


def _name_of(cursor: StoreCursor, session_id: str) -> str | None:
    rows = cursor.rows("SELECT sweep FROM {db}.live_sessions WHERE session_id = ?", [session_id])
    return str(rows[0][0]) if rows else None


def _required(cursor: StoreCursor, session_id: str) -> str:
    name = _name_of(cursor, session_id)
    if name is None:
        raise SessionNotFoundError("this session was deleted from the results, or the file was replaced")
    return name


def _free_name(cursor: StoreCursor, name: str) -> str:
    """Return a name that no sweep has: this one, or with the lowest number after it that is free."""
    number, free = 1, name
    while cursor.rows("SELECT 1 FROM {db}.sweeps WHERE sweep = ?", [free]):
        number += 1
        free = f"{name}-{number}"
    return free


def _interrupt_silent(cursor: StoreCursor, record: LiveSessionRecord, now: datetime) -> None:
    query = """
        UPDATE {db}.sweeps SET status = 'interrupted', ended = live_sessions.updated FROM {db}.live_sessions
        WHERE live_sessions.sweep = sweeps.sweep AND sweeps.status = 'running' AND sweeps.strategy = ?
        AND live_sessions.updated < ?
    """
    cursor.execute(query, [record.strategy, now - SILENT_AFTER])


def _sweep(record: LiveSessionRecord, name: str) -> SweepRecord:
    return SweepRecord(
        name=name,
        strategy=record.strategy,
        script=record.script,
        space={},
        settings=record.settings,
        started=record.started,
        as_of=None,
        store=record.store,
        versions=record.versions,
    )


def _not_found(cursor: StoreCursor, name: str, path: Path) -> SessionNotFoundError:
    kinds = cursor.rows("SELECT kind FROM {db}.sweeps WHERE sweep = ?", [name])
    if kinds:
        what = "recorded backtest" if kinds[0][0] == "run" else kinds[0][0]
        return SessionNotFoundError(f"{name} in {path} is a {what}, not a session of live trading")
    names = [each for (each,) in cursor.rows("SELECT sweep FROM {db}.live_sessions ORDER BY updated DESC")]
    there = f"it has {', '.join(names[:5])}{' ...' if len(names) > 5 else ''}" if names else "it has none yet"
    return SessionNotFoundError(f"there is no session {name} of live trading in {path}; {there}")
