"""A user's SQL reads the store, and does nothing else."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from lumibot_duckdb import DuckDBDataStorage
from storage.frames import minute_bars


@pytest.fixture
def filled(storage: DuckDBDataStorage) -> DuckDBDataStorage:
    storage.store_ohlcv_data("X", minute_bars(rows=30), "test", "minute")
    return storage


@pytest.mark.parametrize(
    "query",
    [
        "SELECT count(*) FROM ohlcv_data",
        "select count(*) from ohlcv_data;",
        "-- how many\nSELECT count(*) FROM ohlcv_data",
        "FROM ohlcv_data LIMIT 3",
        "WITH t AS (FROM ohlcv_data) SELECT max(close) FROM t",
        "DESCRIBE ohlcv_data",
        "SUMMARIZE ohlcv_data",
        "SHOW TABLES",
        "EXPLAIN SELECT * FROM ohlcv_data",
        "explain analyze SELECT * FROM ohlcv_data",
        "EXPLAIN (FORMAT JSON) SELECT * FROM ohlcv_data",
        "VALUES (1), (2)",
        "SELECT * FROM bar JOIN series ON current_version = version_id",
    ],
)
def test_reading_statements_run(filled: DuckDBDataStorage, query: str) -> None:
    table = filled.sql(query)
    assert isinstance(table, pa.Table)
    assert table.num_rows > 0


def test_parameters_by_position_and_by_name(filled: DuckDBDataStorage) -> None:
    by_position = filled.sql("SELECT count(*) AS n FROM ohlcv_data WHERE asset_symbol = ?", ["X"])
    by_name = filled.sql("SELECT count(*) AS n FROM ohlcv_data WHERE asset_symbol = $symbol", {"symbol": "X"})
    assert by_position.to_pylist() == by_name.to_pylist() == [{"n": 30}]


@pytest.mark.parametrize("writing_now", [False, True])
@pytest.mark.parametrize(
    "query",
    [
        "DELETE FROM bar",
        "UPDATE bar SET close = 1",
        "INSERT INTO bar SELECT * FROM bar",
        "CREATE TABLE t AS SELECT 1",
        "CREATE TEMP TABLE t AS SELECT 1",
        "DROP VIEW ohlcv_data",
        "ALTER TABLE bar ADD COLUMN z INTEGER",
        "COPY ohlcv_data TO '{folder}/out.csv'",
        "EXPORT DATABASE '{folder}/out'",
        "ATTACH '{folder}/other.duckdb' AS other",
        "DETACH memory",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET threads = 1",
        "RESET threads",
        "PRAGMA enable_profiling",
        "CALL enable_logging()",
        "CHECKPOINT",
        "VACUUM",
        "BEGIN",
        "COMMIT",
        "USE memory",
        "PREPARE p AS SELECT 1",
        "EXPLAIN ANALYZE DELETE FROM bar",
        "EXPLAIN ANALYZE COPY (SELECT 1) TO '{folder}/out.csv'",
        "EXPLAIN /* what */ ANALYZE INSERT INTO bar SELECT * FROM bar",
        "FROM enable_logging(storage_path = '{folder}/log')",
        'SELECT * FROM "Checkpoint"()',
        "SELECT write_log /* now */ ('x')",
        "FROM query('FROM enable_logging()')",
        "SELECT 1; SELECT 2",
        "SELECT 1; DROP TABLE bar",
        "",
        "   ",
        "-- nothing",
    ],
)
def test_other_statements_are_refused_and_change_nothing(
    filled: DuckDBDataStorage, tmp_path: Path, query: str, writing_now: bool
) -> None:
    if writing_now:  # the file is attached for writing now
        filled.store_ohlcv_data("Y", minute_bars(rows=2), "test", "minute")
    before = sorted(path.name for path in tmp_path.iterdir())
    rows = filled.statistics().rows
    with pytest.raises(ValueError, match=r"only statements that read|give one statement"):
        filled.sql(query.replace("{folder}", str(tmp_path)))
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    assert filled.statistics().rows == rows


@pytest.mark.parametrize("query", ["SELEC 1", "SELECT nothing FROM ohlcv_data", "SELECT * FROM frames"])
def test_mistakes_are_reported_in_duckdbs_words(filled: DuckDBDataStorage, query: str) -> None:
    frames = pa.table({"a": [1]})  # a variable is no table
    assert frames.num_rows == 1
    with pytest.raises(duckdb.Error):
        filled.sql(query)
    assert filled.sql("SELECT 1 AS one").to_pylist() == [{"one": 1}]
