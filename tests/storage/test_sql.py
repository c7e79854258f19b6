"""A user's SQL reads the store, and does nothing else."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from lumibot_duckdb import DuckDBDataStorage
from storage.frames import minute_bars
from templates import template

pytestmark = pytest.mark.older_duckdb


@template
def one_series(storage: DuckDBDataStorage) -> None:
    storage.store_ohlcv_data("X", minute_bars(rows=30), "test", "minute")


@pytest.fixture
def filled(storage: DuckDBDataStorage) -> DuckDBDataStorage:
    one_series(storage.path)
    return storage


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DuckDBDataStorage]:
    """A store for many queries. None of them may change it."""
    store = DuckDBDataStorage(tmp_path_factory.mktemp("shared"))
    store.store_ohlcv_data("X", minute_bars(rows=30), "test", "minute")
    yield store
    store.close()


def bars_in(store: DuckDBDataStorage) -> int:
    return int(store.sql("SELECT count(*) AS n FROM bar").to_pylist()[0]["n"])


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
def test_reading_statements_run(shared: DuckDBDataStorage, query: str) -> None:
    table = shared.sql(query)
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
    shared: DuckDBDataStorage, tmp_path: Path, query: str, writing_now: bool
) -> None:
    if writing_now:  # the file is attached for writing now
        shared.store_ohlcv_data(f"Y{bars_in(shared)}", minute_bars(rows=2), "test", "minute")
    rows = shared.statistics().rows
    with pytest.raises(ValueError, match=r"only statements that read|give one statement"):
        shared.sql(query.replace("{folder}", str(tmp_path)))
    assert list(tmp_path.iterdir()) == []
    assert shared.statistics().rows == rows


@pytest.mark.parametrize("query", ["SELEC 1", "SELECT nothing FROM ohlcv_data", "SELECT * FROM frames"])
def test_mistakes_are_reported_in_duckdbs_words(filled: DuckDBDataStorage, query: str) -> None:
    frames = pa.table({"a": [1]})  # a variable is no table
    assert frames.num_rows == 1
    with pytest.raises(duckdb.Error):
        filled.sql(query)
    assert filled.sql("SELECT 1 AS one").to_pylist() == [{"one": 1}]


# -- the store, and nothing else -----------------------------------------------------------------------------

# Each reads a file or writes one, or changes something that a later query would notice.
OUTSIDE = [
    "SELECT * FROM read_csv('{file}')",
    "SELECT * FROM read_text('{file}')",
    "SELECT content FROM read_blob('{file}')",
    "SELECT * FROM glob('{folder}/*')",
    "FROM '{file}'",
    "FROM sniff_csv('{file}')",
    "FROM read_json('{file}')",
    "FROM parquet_metadata('{file}')",
    "FROM read_duckdb('{file}')",
    "FROM duckdb_secrets()",
    "COPY (SELECT 42) TO '{folder}/out.csv'",
    "COPY bar FROM '{file}'",
    "EXPLAIN (ANALYZE /*) select 1 --*/ ) COPY (select 42) TO '{folder}/out.csv'",
    "EXPLAIN (ANALYZE, /* ( */ FORMAT JSON) COPY (select 42) TO '{folder}/out.csv'",
    "/* é */ EXPLAIN ANALYZE /* é */ COPY (select 42) TO '{folder}/out.csv'",
    "explain analyze explain analyze copy (select 42) TO '{folder}/out.csv'",
    "EXPLAIN ANALYZE CREATE TEMP TABLE mine AS SELECT 1",
    "EXPLAIN ANALYZE ATTACH '{folder}/other.duckdb'",
    "SET threads = 1",
    "SET TimeZone = 'Asia/Tokyo'",
    "RESET ALL",
    "PRAGMA threads = 1",
    "SELECT * FROM query_table('{file}')",
    "ATTACH ':memory:' AS other",
    "EXPORT DATABASE '{folder}/out'",
    "IMPORT DATABASE '{folder}'",
    "EXECUTE nothing",
]
READS = ("{file}", "glob", "duckdb_secrets")
NOT_READING = [query for query in OUTSIDE if query.startswith("COPY") or not any(word in query for word in READS)]


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "beside" / "secret.csv"
    path.parent.mkdir()
    path.write_text("asset_symbol,weight\nX,0.25\n")
    return path


@pytest.mark.parametrize("query", OUTSIDE)
def test_a_query_reads_the_store_and_nothing_else(shared: DuckDBDataStorage, secret: Path, query: str) -> None:
    bars = bars_in(shared)
    settings = "SELECT name, value FROM duckdb_settings() WHERE name NOT LIKE '%directory%' ORDER BY name"
    tables = "SELECT table_name FROM information_schema.tables ORDER BY ALL"
    before = shared.sql(settings), shared.sql(tables)
    with pytest.raises((ValueError, duckdb.Error)) as refused:
        shared.sql(query.format(file=secret, folder=secret.parent))
    assert "0.25" not in str(refused.value)
    assert list(secret.parent.iterdir()) == [secret]
    assert (shared.sql(settings), shared.sql(tables)) == before
    assert bars_in(shared) == bars


@pytest.mark.parametrize(
    "statement",
    [
        "SET threads = 1",
        "SET enable_external_access = true",
        "RESET lock_configuration",
        "SELECT * FROM read_csv('{file}')",
        "COPY (SELECT 42) TO '{folder}/out.csv'",
        "ATTACH '{folder}/other.duckdb'",
        "LOAD httpfs",
        "CREATE TABLE mine AS SELECT 1",
        "DELETE FROM bar",
    ],
)
def test_duckdb_itself_refuses_what_the_checks_before_it_refuse(
    shared: DuckDBDataStorage, secret: Path, statement: str
) -> None:
    bars = bars_in(shared)
    with shared._store.connection.query() as duck, pytest.raises(duckdb.Error):
        duck.execute(statement.format(file=secret, folder=secret.parent))
    assert list(secret.parent.iterdir()) == [secret]
    assert bars_in(shared) == bars


def test_a_file_that_is_refused_is_an_error_with_advice(filled: DuckDBDataStorage, secret: Path) -> None:
    with pytest.raises(ValueError, match="allow_files=True"):
        filled.sql(f"SELECT * FROM read_csv('{secret}')")


def test_the_users_own_files_are_joined_if_that_is_allowed(filled: DuckDBDataStorage, secret: Path) -> None:
    query = f"SELECT any_value(weight) AS w, count(*) AS n FROM ohlcv_data JOIN '{secret}' USING (asset_symbol)"
    assert filled.sql(query, allow_files=True).to_pylist() == [{"w": 0.25, "n": 30}]
    assert filled.sql(f"FROM glob('{secret.parent}/*')", allow_files=True).num_rows == 1
    with pytest.raises(ValueError, match="allow_files=True"):  # it was allowed for that one query
        filled.sql(query)


@pytest.mark.parametrize("query", NOT_READING)
def test_files_are_only_read_even_if_that_is_allowed(filled: DuckDBDataStorage, secret: Path, query: str) -> None:
    with pytest.raises((ValueError, duckdb.Error)):
        filled.sql(query.format(file=secret, folder=secret.parent), allow_files=True)
    assert list(secret.parent.iterdir()) == [secret]
    assert filled.sql("SELECT count(*) AS n FROM bar").to_pylist() == [{"n": 30}]


def test_an_error_about_another_file_is_not_one_about_the_store(filled: DuckDBDataStorage, secret: Path) -> None:
    secret.write_bytes(b"PAR1" + b"\xff" * 100 + b"PAR1")
    with pytest.raises(duckdb.Error):
        filled.sql(f"FROM read_parquet('{secret}')", allow_files=True)


def test_a_query_sees_what_was_written_before_and_writes_go_on_after_it(filled: DuckDBDataStorage) -> None:
    for count in range(1, 4):
        filled.store_ohlcv_data(f"Y{count}", minute_bars(rows=2), "test", "minute")
        assert filled.sql("SELECT count(*) AS n FROM bar").to_pylist() == [{"n": 30 + 2 * count}]


def test_threads_query_while_others_write(filled: DuckDBDataStorage) -> None:
    failures: list[BaseException] = []

    def work(act: Callable[[int], object]) -> None:
        try:
            for number in range(8):
                act(number)
        except BaseException as error:
            failures.append(error)

    acts: list[Callable[[int], object]] = [
        lambda n: filled.store_ohlcv_data(f"A{n}", minute_bars(rows=2), "test", "minute"),
        lambda n: filled.store_ohlcv_data(f"B{n}", minute_bars(rows=2), "test", "minute"),
        lambda n: filled.sql("SELECT count(*) FROM ohlcv_data"),
        lambda n: filled.sql("SELECT count(*) FROM ohlcv_data", allow_files=True),
        lambda n: filled.get_historical_prices("X"),
    ]
    threads = [threading.Thread(target=work, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert filled.sql("SELECT count(*) AS n FROM bar").to_pylist() == [{"n": 30 + 2 * 16}]


def test_a_program_that_would_write_waits_for_duckdbs_lock_after_a_query(filled: DuckDBDataStorage) -> None:
    """The instance of queries opens the file a second time; closing it must not drop the lock of the first."""
    filled.sql("SELECT 1")
    pin = filled.pin("X")
    with filled._store.read():
        filled_by = "import duckdb, sys\ntry: duckdb.connect(sys.argv[1])\nexcept duckdb.IOException: print('held')"
        ended = subprocess.run([sys.executable, "-c", filled_by, str(filled.path)], capture_output=True, text=True)
        assert ended.stdout == "held\n"
    assert filled.facts(pin).rows == 30
