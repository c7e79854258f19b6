"""A store is brought to the newest schema in one step, all or nothing; a newer one is refused."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import duckdb
import pytest

from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.storage import migrations
from lumibot_duckdb.storage.api import CorporateAction
from lumibot_duckdb.storage.bars import writing
from lumibot_duckdb.storage.connection.store_connection import StoreConnection
from lumibot_duckdb.storage.errors import StoreDamagedError, StoreVersionError
from storage.frames import assert_same, minute_bars
from storage.new_process import opened_anew

pytestmark = pytest.mark.older_duckdb

FRAME = minute_bars(rows=30)
SPLIT = CorporateAction(dt.date(2020, 8, 31), 1, 4)
WITH_CHECKSUMS = 7
LATER = (
    "ALTER TABLE {db}.asset ADD COLUMN isin VARCHAR; UPDATE {db}.asset SET isin = 'unknown';",
    "ALTER TABLE {db}.asset RENAME COLUMN isin TO figi;",
)


def schema_version(storage: DuckDBDataStorage) -> str:
    with StoreConnection.of(storage.path).read() as cursor:
        return str(cursor.rows("SELECT value FROM {db}.store_meta WHERE key = 'schema_version'")[0][0])


def release_with(monkeypatch: pytest.MonkeyPatch, *later: str) -> None:
    """Let this release have further migrations."""
    first = migrations.scripts()
    scripts = (*first, *enumerate(later, first[-1][0] + 1))
    monkeypatch.setattr(migrations, "scripts", lambda: scripts)


def release_at(monkeypatch: pytest.MonkeyPatch, newest: int) -> None:
    """Let this release be an older one."""
    scripts = migrations.scripts()[:newest]
    monkeypatch.setattr(migrations, "scripts", lambda: scripts)
    if newest < WITH_CHECKSUMS:
        monkeypatch.setattr(writing, "add_checksums", lambda *_: None)


def test_the_migrations_are_numbered_without_gaps() -> None:
    assert [number for number, _ in migrations.scripts()] == list(range(1, migrations.newest() + 1))


def test_a_new_store_has_the_newest_schema(storage: DuckDBDataStorage) -> None:
    storage.store_ohlcv_data("X", FRAME, "test", "minute")
    assert schema_version(storage) == str(migrations.newest())


@pytest.mark.parametrize("first_use", ["read", "write", "sql", "list"])
def test_an_older_store_is_migrated_at_its_first_use(
    storage: DuckDBDataStorage, monkeypatch: pytest.MonkeyPatch, first_use: str
) -> None:
    storage.store_ohlcv_data("X", FRAME, "test", "minute")
    release_with(monkeypatch, *LATER)
    newer = opened_anew(storage.path)
    if first_use == "read":
        assert_same(newer.get_historical_prices("X"), FRAME)
    elif first_use == "write":
        newer.store_ohlcv_data("X", minute_bars("2024-02-01 09:30"), "test", "minute")
    elif first_use == "sql":
        assert newer.sql("SELECT figi FROM asset").to_pylist() == [{"figi": "unknown"}]
    else:
        assert len(newer.list_series()) == 1
    assert schema_version(newer) == str(migrations.newest())
    assert newer.sql("SELECT figi FROM asset").to_pylist() == [{"figi": "unknown"}]
    assert_same(newer.get_historical_prices("X", end="2024-01-31"), FRAME)


@pytest.mark.parametrize("first_use", ["actions", "chains", "renewal", "compaction", "verification"])
def test_a_store_of_schema_1_works_on(
    storage: DuckDBDataStorage, monkeypatch: pytest.MonkeyPatch, first_use: str
) -> None:
    with monkeypatch.context() as patch:
        release_at(patch, 1)
        storage.store_ohlcv_data("X", FRAME, "test", "minute", adjustment="split")
        storage.store_ohlcv_data("Y", FRAME, "test", "minute")
        pin = storage.pin("X")
        storage.close()
    newer = opened_anew(storage.path)
    if first_use == "actions":
        assert newer.corporate_actions("X", "test") is None
        newer.record_corporate_actions("X", [], "test")
        assert newer.record_corporate_actions("X", [SPLIT], "test", restates=["split"])
        assert newer.facts(newer.pin("X")).rows == 0
    elif first_use == "chains":
        newer.store_option_chain("X", {"Chains": {}}, "test", SPLIT.ex_date)
    elif first_use == "renewal":
        newer.restate_series("X", "test", "minute", adjustment="split")
        assert newer.coverage("X") == []
    elif first_use == "compaction":
        newer.compact()
    assert newer.verify().findings == []
    assert schema_version(newer) == str(migrations.newest())
    assert_same(newer.read_pandas(pin), FRAME)
    assert_same(newer.get_historical_prices("Y"), FRAME)


def test_the_release_of_schema_1_refuses_a_store_of_this_one(
    storage: DuckDBDataStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage.record_corporate_actions("X", [SPLIT], "test")
    storage.store_ohlcv_data("X", FRAME, "test", "minute")
    newest = migrations.newest()
    release_at(monkeypatch, 1)
    older = DuckDBDataStorage(storage.path)
    for use in (lambda: older.pin("X"), lambda: older.store_ohlcv_data("X", FRAME, "test", "minute")):
        with pytest.raises(
            StoreVersionError, match=rf"\(schema {newest}; this one knows up to 1\): upgrade the package"
        ):
            use()


def test_a_migration_that_fails_changes_nothing(storage: DuckDBDataStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    storage.store_ohlcv_data("X", FRAME, "test", "minute")
    with monkeypatch.context() as patch:
        release_with(patch, *LATER, "DROP VIEW {db}.ohlcv_data; SELECT nonsense;")
        with pytest.raises(duckdb.Error, match="nonsense"):
            DuckDBDataStorage(storage.path).list_series()
    assert schema_version(storage) == str(migrations.newest())
    assert_same(DuckDBDataStorage(storage.path).get_historical_prices("X"), FRAME)
    assert storage.sql("SELECT count(*) AS n FROM ohlcv_data").to_pylist() == [{"n": 30}]
    assert "figi" not in storage.sql("FROM asset").column_names


def test_a_store_of_a_newer_release_is_refused_and_left_alone(
    storage: DuckDBDataStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        storage.store_ohlcv_data("X", FRAME, "test", "minute")
        release_with(patch, *LATER)
        assert len(storage.list_series()) == len(DuckDBDataStorage(storage.path).list_series()) == 1
    storage.close()
    content = storage.path.read_bytes()
    older = opened_anew(storage.path)
    with pytest.raises(StoreVersionError, match=r"newer release of lumibot-duckdb .* upgrade the package"):
        older.get_historical_prices("X")
    with pytest.raises(StoreVersionError):
        older.store_ohlcv_data("X", FRAME, "test", "minute")
    for use in (older.list_series, older.verify, older.compact, older.statistics, lambda: older.sql("SELECT 1")):
        with pytest.raises(StoreVersionError):
            use()
    older.close()
    assert storage.path.read_bytes() == content


def test_another_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "mine.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE TABLE mine AS SELECT 1 AS a")
    storage = DuckDBDataStorage(path)
    with pytest.raises(StoreDamagedError, match=r"not a lumibot-duckdb store \(it has mine\)"):
        storage.list_series()
    with pytest.raises(StoreDamagedError):
        storage.store_ohlcv_data("X", FRAME, "test", "minute")
    storage.close()
    with duckdb.connect(str(path), read_only=True) as connection:
        assert connection.execute("SHOW TABLES").fetchall() == [("mine",)]


def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "text.duckdb"
    path.write_text("not a database" * 1000)
    storage = DuckDBDataStorage(path)
    with pytest.raises(StoreDamagedError):
        storage.list_series()
    with pytest.raises(StoreDamagedError):
        storage.store_ohlcv_data("X", FRAME, "test", "minute")
    assert path.read_text() == "not a database" * 1000


def test_an_empty_database_becomes_a_store(tmp_path: Path) -> None:
    path = tmp_path / "empty.duckdb"
    duckdb.connect(str(path)).close()
    storage = DuckDBDataStorage(path)
    assert storage.list_series() == []
    storage.store_ohlcv_data("X", FRAME, "test", "minute")
    assert_same(storage.get_historical_prices("X"), FRAME)
    storage.close()
