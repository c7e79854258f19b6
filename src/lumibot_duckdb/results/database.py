"""The results database: sweeps, their trials, and what each trial did."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import pyarrow as pa

from lumibot_duckdb import clock
from lumibot_duckdb.results.errors import (
    InvalidResultError,
    ResultsNotFoundError,
    SweepExistsError,
    SweepNotFoundError,
    TrialNotFoundError,
)
from lumibot_duckdb.results.live_records import LIVE_TABLES
from lumibot_duckdb.results.location import results_path
from lumibot_duckdb.results.names import check_name
from lumibot_duckdb.results.records import SweepRecord, TrialRecord
from lumibot_duckdb.results.results_file import ResultsFile, insert_rows
from lumibot_duckdb.results.tables import Format, in_format, matrix, with_parameters
from lumibot_duckdb.results.trial_rows import (
    CURVES,
    TRIALS_SCHEMA,
    NumberedRecord,
    curve_rows,
    record_of_row,
    sweep_row,
    trial_rows,
    with_zone,
)
from lumibot_duckdb.storage import readonly_sql
from lumibot_duckdb.storage.connection.cursor import StoreCursor
from lumibot_duckdb.storage.times import aware_utc, naive_utc

if TYPE_CHECKING:
    import pandas as pd

Kind = Literal["sweep", "run", "live"]
SweepStatus = Literal["running", "complete", "interrupted", "failed"]

_TABLES = ("sweeps", "trials", *CURVES, "live_sessions", *(name for name in LIVE_TABLES if name not in CURVES))
_TRIALS = ", ".join(f'"{name}"' for name in TRIALS_SCHEMA.names if name != "sweep")


@dataclass(frozen=True, slots=True)
class StoredSweep:
    """A sweep in a results database.

    Attributes:
        record: What was stored when it began.
        kind: "sweep", "run" for a single backtest, or "live" for a session of live trading.
        status: "running" (also after its process was killed), "complete", "interrupted" or "failed".
        ended: When it ended, in UTC; None while it runs.
    """

    record: SweepRecord
    kind: Kind
    status: SweepStatus
    ended: datetime | None


class ResultsDatabase:
    """Results of backtests in a DuckDB file, which is opened for each call only, so that others can use it in between.

    Several processes and threads may write and read at the same time: a call waits while another one has the file open.
    What a call writes is one transaction. All times are in UTC.

    Parameters:
        path: The file. By default `<name>-results.duckdb` beside the store, or in Lumibot's cache folder if the store
            is a published snapshot or its folder is read-only.
        wait_seconds: How long a call waits for others.

    Raises ValueError if results cannot be stored at the path.

    All methods raise errors of the class `StorageError`: `StoreBusyError` if another program has the file open for too
    long, `StoreWriteError` if the disk is full or failed, `NotResultsError` for a damaged file or one
    of something else, and `StoreVersionError` for a file of a newer release. Nothing is changed then. Those that read
    raise `ResultsNotFoundError` if there is no file, and `SweepNotFoundError`.

    >>> import tempfile
    >>> from datetime import datetime, timezone
    >>> now = datetime(2024, 6, 3, 15, 0, tzinfo=timezone.utc)
    >>> results = ResultsDatabase(f"{tempfile.mkdtemp()}/my-results.duckdb")
    >>> settings = {"objective": "sharpe", "direction": "maximize"}
    >>> sweep = SweepRecord("crossover", "Crossover", "my.py", {"fast": [5, 10]}, settings, now, None, None)
    >>> results.begin_sweep(sweep)
    >>> def trial(fast, sharpe):
    ...     return TrialRecord({"fast": fast}, "complete", now, 0.5, statistics={"sharpe": sharpe}, objective=sharpe)
    >>> results.add_trials("crossover", [(1, trial(5, 0.9)), (2, trial(10, 1.4))])
    >>> results.finish_sweep("crossover")
    >>> results.best("crossover")[["rank", "number", "objective", "param_fast"]]
       rank  number  objective  param_fast
    0     1       2        1.4          10
    1     2       1        0.9           5
    >>> results.sql("SELECT sweep, trials, best FROM sweep_summary").to_pylist()
    [{'sweep': 'crossover', 'trials': 2, 'best': 1.4}]
    """

    def __init__(self, path: str | os.PathLike[str] | None = None, *, wait_seconds: float = 30.0) -> None:
        self.path: Path = results_path(path)
        self._file = ResultsFile(self.path, wait_seconds)

    # -- writing -----------------------------------------------------------------------------------------------

    def begin_sweep(self, record: SweepRecord, kind: Kind = "sweep") -> None:
        """Store a sweep that begins. Creates the file if there is none.

        Of the settings, "objective" (the name of a statistic) and "direction" ("maximize" or "minimize") say which
        trials are the best.

        Raises `SweepExistsError` if the name is taken, and `InvalidResultError` for a record that cannot be stored.
        """
        check_name(record.name)
        row = sweep_row(record, kind)
        with self._file.write() as cursor:
            self._begin(cursor, row)

    def add_run(self, record: SweepRecord, backtest: TrialRecord) -> None:
        """Store a single backtest that has ended, as trial 1 of a sweep of the kind "run". Raises as `begin_sweep`."""
        check_name(record.name)
        status = "complete" if backtest.status == "complete" else "failed"
        row = {**sweep_row(record, "run"), "status": status, "ended": naive_utc(clock.utc_now())}
        trials = [(1, backtest)]
        rows = trial_rows(record.name, trials)
        with self._file.write() as cursor:
            self._begin(cursor, row)
            _insert_trials(cursor, record.name, rows, trials)

    def add_trials(self, sweep: str, trials: Iterable[NumberedRecord]) -> None:
        """Store trials of a sweep, each with its number: all of them or, if an error is raised, none.

        A number that the sweep has is not stored twice: a complete trial never changes, and one that failed is
        replaced. So a call can be repeated, and a trial can be run again.

        Raises `InvalidResultError` for a record that cannot be stored.
        """
        given = dict(trials)
        rows = trial_rows(sweep, given.items())
        if not given:
            return
        with self._file.write() as cursor:
            self._require(cursor, sweep)
            complete = _replace_failed(cursor, sweep, list(given))
            new = {number: record for number, record in given.items() if number not in complete}
            if len(new) < len(given):
                rows = trial_rows(sweep, new.items())
            _insert_trials(cursor, sweep, rows, new.items())

    def resume_sweep(self, record: SweepRecord) -> None:
        """Store that a sweep runs again, with the settings of the record: a search may have more trials than before."""
        settings = sweep_row(record, "sweep")["settings"]
        with self._file.write() as cursor:
            self._require(cursor, record.name)
            update = "UPDATE {db}.sweeps SET status = 'running', ended = NULL, settings = ? WHERE sweep = ?"
            cursor.execute(update, [settings, record.name])

    def finish_sweep(self, sweep: str, status: SweepStatus = "complete") -> None:
        """Store how a sweep ended."""
        ends = [each for each in get_args(SweepStatus) if each != "running"]
        if status not in ends:
            raise InvalidResultError(f"{status!r} is not how a sweep ends; use one of {', '.join(ends)}")
        ended = naive_utc(clock.utc_now())
        with self._file.write() as cursor:
            self._require(cursor, sweep)
            update = "UPDATE {db}.sweeps SET status = ?, ended = ? WHERE sweep = ?"
            cursor.execute(update, [status, ended, sweep])

    def delete(self, sweep: str) -> None:
        """Delete a sweep with all its trials. The file keeps its size, and later results use the free space."""
        with self._file.write() as cursor:
            self._require(cursor, sweep)
            for table in _TABLES:
                cursor.execute(f"DELETE FROM {{db}}.{table} WHERE sweep = ?", [sweep])

    # -- sweeps ------------------------------------------------------------------------------------------------

    def sweeps(self, format: Format = "pandas") -> Any:
        """Return all sweeps in the order of their starts, with counts of their trials.

        The columns are those of the view `sweep_summary`.

        Parameters:
            format: "pandas", "polars" or "arrow".
        """
        with self._file.read() as cursor:
            table = cursor.arrow("FROM {db}.sweep_summary ORDER BY started, sweep")
        return in_format(with_zone(table), format)

    def has_sweep(self, sweep: str) -> bool:
        """Return whether there is a sweep of that name; False if there are no results."""
        try:
            with self._file.read() as cursor:
                return bool(cursor.rows("SELECT 1 FROM {db}.sweeps WHERE sweep = ?", [sweep]))
        except ResultsNotFoundError:
            return False

    def sweep(self, sweep: str) -> StoredSweep:
        """Return what is stored of a sweep."""
        with self._file.read() as cursor:
            self._require(cursor, sweep)
            (row,) = cursor.arrow("FROM {db}.sweeps WHERE sweep = ?", [sweep]).to_pylist()
        record = SweepRecord(
            name=row["sweep"],
            strategy=row["strategy"],
            script=row["script"],
            space=json.loads(row["space"]),
            settings=json.loads(row["settings"]),
            started=aware_utc(row["started"]),
            as_of=row["as_of"] and aware_utc(row["as_of"]),
            store=row["store"],
            versions=json.loads(row["versions"]),
        )
        return StoredSweep(record, row["kind"], row["status"], row["ended"] and aware_utc(row["ended"]))

    # -- trials ------------------------------------------------------------------------------------------------

    def trials(self, sweep: str, format: Format = "pandas") -> Any:
        """Return the trials of a sweep, by their numbers.

        Parameters:
            format: "pandas", "polars" or "arrow".

        Returns:
            A row for each trial, with the columns of the table `trials`. In place of its `parameters` there is a column
            `param_<name>` for each, of booleans, integers, numbers or texts. Values of several types are JSON.
        """
        with self._file.read() as cursor:
            self._require(cursor, sweep)
            table = cursor.arrow(f"SELECT {_TRIALS} FROM {{db}}.trials WHERE sweep = ? ORDER BY number", [sweep])
        return in_format(with_parameters(with_zone(table)), format)

    def best(self, sweep: str, n: int = 10, format: Format = "pandas") -> Any:
        """Return the best complete trials of a sweep, the best first.

        Parameters:
            n: How many; of a walk-forward sweep, in each phase of each window.
            format: "pandas", "polars" or "arrow".

        Returns:
            A row for each trial, with its `rank` from 1 on and then the columns of `trials`.
        """
        query = f"""
            SELECT rank, {_TRIALS} FROM {{db}}.trials AS trials
            JOIN (SELECT sweep, number, rank FROM {{db}}.best WHERE sweep = ? AND rank <= ?) AS best
            USING (sweep, number) ORDER BY phase, "window", rank
        """
        with self._file.read() as cursor:
            self._require(cursor, sweep)
            table = cursor.arrow(query, [sweep, n])
        return in_format(with_parameters(with_zone(table)), format)

    def records(self, sweep: str) -> dict[int, TrialRecord]:
        """Return the records of all trials by their numbers, without equity, trades and daily returns."""
        with self._file.read() as cursor:
            self._require(cursor, sweep)
            table = cursor.arrow(f"SELECT {_TRIALS} FROM {{db}}.trials WHERE sweep = ? ORDER BY number", [sweep])
        return {row["number"]: record_of_row(row) for row in table.to_pylist()}

    def trial(self, sweep: str, number: int) -> TrialRecord:
        """Return the whole record of a trial. Raises `TrialNotFoundError`."""
        with self._file.read() as cursor:
            self._require(cursor, sweep)
            key = [sweep, number]
            rows = cursor.arrow(f"SELECT {_TRIALS} FROM {{db}}.trials WHERE sweep = ? AND number = ?", key).to_pylist()
            if not rows:
                raise TrialNotFoundError(f"the sweep {sweep} in {self.path} has no trial {number}")
            curves = {curve: _curve(cursor, curve, sweep, [number]).drop_columns(["number"]) for curve in CURVES}
        return record_of_row(rows[0], curves)

    # -- what trials did ---------------------------------------------------------------------------------------

    def equity(self, sweep: str, numbers: Sequence[int] | None = None, format: Format = "pandas") -> Any:
        """Return the values of the portfolio of some trials (default: all) at each iteration.

        Returns:
            The columns `number`, `time` (UTC), `value` and `cash`, by number and in the order of each backtest.
        """
        return self._rows("equity", sweep, numbers, format)

    def trades(self, sweep: str, numbers: Sequence[int] | None = None, format: Format = "pandas") -> Any:
        """Return the trade events of some trials (default: all).

        Returns:
            The columns `number`, `time` (UTC), `event` ("fill", "canceled", ...), `asset`, `side`, `type`, `quantity`,
            `price` and `fees`, by number and in the order of each backtest.
        """
        return self._rows("trades", sweep, numbers, format)

    def daily_returns(self, sweep: str, numbers: Sequence[int] | None = None) -> pd.DataFrame:
        """Return the daily returns of some trials (default: all complete ones) as a matrix.

        Returns:
            A frame with a row for each calendar day (UTC) and a column for each trial that has daily returns, named by
            its number. 0.01 is 1 %. It has NaN on days on which only other trials have a value.
        """
        with self._file.read() as cursor:
            self._require(cursor, sweep)
            if numbers is None:
                query = "SELECT number FROM {db}.trials WHERE sweep = ? AND status = 'complete'"
                numbers = [number for (number,) in cursor.rows(query, [sweep])]
            table = _curve(cursor, "daily_returns", sweep, numbers)
        return matrix(table)

    def sql(self, query: str, parameters: Sequence[Any] | Mapping[str, Any] | None = None) -> pa.Table:
        """Return the result of a query that only reads. Raises ValueError for another one."""
        readonly_sql.refuse_all_but_reading(query)
        with self._file.query() as duck:
            return readonly_sql.run(duck, query, parameters)

    # -- parts -------------------------------------------------------------------------------------------------

    def _rows(self, curve: str, sweep: str, numbers: Sequence[int] | None, format: Format) -> Any:
        with self._file.read() as cursor:
            self._require(cursor, sweep)
            table = _curve(cursor, curve, sweep, numbers)
        return in_format(table, format)

    def _begin(self, cursor: StoreCursor, row: Mapping[str, Any]) -> None:
        name = row["sweep"]
        if cursor.rows("SELECT 1 FROM {db}.sweeps WHERE sweep = ?", [name]):
            raise SweepExistsError(
                f"there is a sweep {name} in {self.path} already: choose another name, continue it (--resume, "
                "resume=True), or delete it first (lumibot-duckdb results delete)"
            )
        columns, values = ", ".join(row), ", ".join("?" * len(row))
        cursor.execute(f"INSERT INTO {{db}}.sweeps ({columns}) VALUES ({values})", list(row.values()))

    def _require(self, cursor: StoreCursor, sweep: str) -> None:
        """Raise `SweepNotFoundError`, which names the others, if there is no such sweep."""
        if cursor.rows("SELECT 1 FROM {db}.sweeps WHERE sweep = ?", [sweep]):
            return
        names = [name for (name,) in cursor.rows("SELECT sweep FROM {db}.sweeps ORDER BY started DESC, sweep")]
        there = f"it has {', '.join(names[:5])}{' ...' if len(names) > 5 else ''}" if names else "it has none yet"
        raise SweepNotFoundError(f"there is no sweep {sweep} in {self.path}; {there}")


def _replace_failed(cursor: StoreCursor, sweep: str, numbers: list[int]) -> set[int]:
    """Delete those trials that did not complete; return the numbers of those that did."""
    query = "SELECT number, status FROM {db}.trials WHERE sweep = ? AND number IN (SELECT unnest(?))"
    stored = dict(cursor.rows(query, [sweep, numbers]))
    replaced = [number for number, status in stored.items() if status != "complete"]
    if replaced:
        for table in ("trials", *CURVES):
            delete = f"DELETE FROM {{db}}.{table} WHERE sweep = ? AND number IN (SELECT unnest(?))"
            cursor.execute(delete, [sweep, replaced])
    return stored.keys() - set(replaced)


def _insert_trials(cursor: StoreCursor, sweep: str, rows: pa.Table, trials: Collection[NumberedRecord]) -> None:
    insert_rows(cursor, "trials", rows)
    for curve in CURVES:
        insert_rows(cursor, curve, curve_rows(curve, sweep, trials))


def _curve(cursor: StoreCursor, curve: str, sweep: str, numbers: Sequence[int] | None) -> pa.Table:
    """Return rows of a table of `CURVES`, by number. Row ids are in the order in which rows were inserted."""
    columns = ", ".join(f'"{name}"' for name in ("number", *CURVES[curve].names))
    chosen = "" if numbers is None else "AND number IN (SELECT unnest(?))"
    query = f"SELECT {columns} FROM {{db}}.{curve} WHERE sweep = ? {chosen} ORDER BY number, rowid"
    return with_zone(cursor.arrow(query, [sweep] if numbers is None else [sweep, list(numbers)]))
