"""Sorts the bars of one file before they are stored, and settles clock changes and repeated times.

The bars are in a temporary DuckDB database that spills to disk, so memory is bounded.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from itertools import pairwise
from threading import Event, Thread
from types import TracebackType
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from lumibot_duckdb.importing.arrays import CodeArray, FloatArray, IntArray
from lumibot_duckdb.importing.refusal import Refusal
from lumibot_duckdb.importing.steps import OnStep, Step

_MEMORY_LIMIT = "512MB"
_THREADS = 2
_BATCH_ROWS = 262_144
_REPORTED_EVERY = 0.2


@dataclass(frozen=True, slots=True)
class StagedBars:
    """Bars of one series in the order of time: `times` in epoch seconds, and the values by column."""

    series: int
    times: IntArray
    values: Mapping[str, FloatArray]


class Staging:
    """Takes the rows of a file in any order and returns the bars of each series in order. Use it in a `with` block."""

    def __init__(self, columns: Sequence[str]) -> None:
        self._columns = tuple(columns)
        self._folder = tempfile.TemporaryDirectory(prefix="lumibot-duckdb-import-")
        self._db = duckdb.connect(
            ":memory:",
            config={
                "memory_limit": _MEMORY_LIMIT,
                "threads": _THREADS,
                "temp_directory": self._folder.name,
            },
        )
        for setting in ("enable_progress_bar = true", "enable_progress_bar_print = false", "progress_bar_time = 0"):
            self._db.execute(f"SET {setting}")  # DuckDB counts, and prints nothing
        columns_sql = "".join(f', "{column}" DOUBLE' for column in self._columns)
        self._db.execute(f"CREATE TABLE bar (row BIGINT, series INTEGER, ts BIGINT, later INTEGER{columns_sql})")
        self._db.execute("CREATE TABLE refused_time (series INTEGER, ts BIGINT)")
        self._db.execute("CREATE TABLE refused (row BIGINT, reason UTINYINT)")
        for refusal in Refusal:
            self._db.execute(f"SET VARIABLE {refusal.name.lower()} = {refusal.value}::UTINYINT")

    def __enter__(self) -> Staging:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._db.close()
        self._folder.cleanup()

    @contextmanager
    def reporting(self, step: Step, on_step: OnStep) -> Iterator[None]:
        """Report from another thread how far DuckDB is with the statements of a `with` block, which are one step."""
        ended = Event()

        def follow() -> None:
            done = 0.0
            while not ended.wait(_REPORTED_EVERY):
                done = max(done, self._db.query_progress() / 100)
                on_step(step, min(done, 1.0))

        follower = Thread(target=follow, daemon=True, name="import progress")
        on_step(step, 0.0)
        follower.start()
        try:
            yield
        finally:
            ended.set()
            follower.join()
        on_step(step, 1.0)

    def add(
        self, rows: IntArray, series: IntArray, times: IntArray, later: IntArray, values: Mapping[str, FloatArray]
    ) -> None:
        """Add bars: their row numbers, series, times in epoch seconds, and values. `later` as in `LocalTimes`."""
        data = {"row": rows, "series": series.astype(np.int32), "ts": times, "later": later.astype(np.int32)}
        self._insert("bar", pa.table({**data, **{column: values[column] for column in self._columns}}))

    def add_times(self, series: IntArray, times: IntArray) -> None:
        """Add the times of rows refused for their prices. They are not bars, but they show how far apart bars are."""
        self._insert("refused_time", pa.table({"series": series.astype(np.int32), "ts": times}))

    def refuse(self, rows: IntArray, reasons: CodeArray) -> None:
        """Add the numbers of rows that are not bars, each with its code of `Refusal`."""
        self._insert("refused", pa.table({"row": rows, "reason": reasons}))

    def settle(self) -> tuple[int, int]:
        """Settle clock changes and repeated times after all rows were added.

        Returns how many bars were assumed to be in the first of two repeated hours, and how many identical duplicates
        were dropped.
        """
        unsure = 0
        if self._count("bar WHERE later <> 0"):
            self._db.execute(_sql("settle_clock_changes.sql"))
            unsure = self._count("twice WHERE steps = 0")
        before = self._count("bar")
        self._db.execute(_sql("merge_repeats.sql"))
        conflicts = self._count("refused WHERE reason = getvariable('conflict')")
        return unsure, before - conflicts - self._count("bar")

    def gaps(self) -> dict[int, int]:
        """Return how often bars of a series are so many seconds apart. A weekend between two days does not count."""
        return dict(self._rows(_sql("gaps.sql")))

    def empty_columns(self) -> dict[int, set[str]]:
        """Return the columns in which no bar of a series has a value, by the series' number."""
        counts = ", ".join(f'count(*) FILTER (NOT isnan("{column}"))' for column in self._columns)
        found = self._rows(f"SELECT series, {counts} FROM bar GROUP BY series")
        return {
            series: {column for column, filled in zip(self._columns, filled_of, strict=True) if not filled}
            for series, *filled_of in found
        }

    def count(self) -> int:
        """Return the number of bars."""
        return self._count("bar")

    def bounds(self) -> tuple[int, int] | None:
        """Return the first and the last time of all bars in epoch seconds, None if there are no bars."""
        found = self._rows("SELECT min(ts), max(ts) FROM bar HAVING count(*) > 0")
        return (int(found[0][0]), int(found[0][1])) if found else None

    def refusals(self) -> Counter[Refusal]:
        """Return the number of refused rows for each reason."""
        counts = self._rows("SELECT reason, count(*) FROM refused GROUP BY reason")
        return Counter({Refusal(code): count for code, count in counts})

    def first_refused(self) -> int | None:
        """Return the number of the first row that was refused."""
        ((row,),) = self._rows("SELECT min(row) FROM refused")
        return None if row is None else int(row)

    def refused_among(self, first: int, last: int) -> Mapping[int, Refusal]:
        """Return the refused rows from one row number to another, with the reasons."""
        found = self._rows("SELECT row, reason FROM refused WHERE row BETWEEN ? AND ?", first, last)
        return {row: Refusal(code) for row, code in found}

    def bars(self, at_most: int) -> Iterator[StagedBars]:
        """Yield all bars by series and time, at most `most` at once."""
        query = "SELECT * EXCLUDE (row, later) FROM bar ORDER BY series, ts"
        reader: pa.RecordBatchReader = self._db.sql(query).to_arrow_reader(_BATCH_ROWS)
        waiting: list[pa.Table] = []
        for batch in reader:
            table = pa.Table.from_batches([batch])
            for part in _by_series(table, at_most):
                full = sum(table.num_rows for table in waiting) + part.num_rows > at_most
                if waiting and (full or waiting[0]["series"][0] != part["series"][0]):
                    yield self._together(waiting)
                    waiting = []
                waiting.append(part)
        if waiting:
            yield self._together(waiting)

    def _together(self, parts: Sequence[pa.Table]) -> StagedBars:
        table = pa.concat_tables(parts)
        values = {column: table[column].to_numpy() for column in self._columns}
        return StagedBars(table["series"][0].as_py(), table["ts"].to_numpy(), values)

    def _insert(self, table: str, rows: pa.Table) -> None:
        if rows.num_rows:
            self._db.register("piece", rows)
            self._db.execute(f"INSERT INTO {table} SELECT * FROM piece")
            self._db.unregister("piece")

    def _count(self, what: str) -> int:
        ((count,),) = self._rows(f"SELECT count(*) FROM {what}")
        return int(count)

    def _rows(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        return self._db.execute(query, list(parameters)).fetchall()


def _by_series(table: pa.Table, at_most: int) -> Iterator[pa.Table]:
    """Yield the rows of each series in pieces of limited size."""
    changes = np.flatnonzero(np.diff(table["series"].to_numpy())) + 1
    for start, end in pairwise([0, *changes.tolist(), table.num_rows]):
        for first in range(start, end, at_most):
            yield table.slice(first, min(at_most, end - first))


def _sql(name: str) -> str:
    return (files(__package__) / "sql" / name).read_text(encoding="utf-8")
