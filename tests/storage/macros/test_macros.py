"""The macros are part of the schema: every store has them, for every client, and users' own macros are kept."""

from __future__ import annotations

import hashlib
import logging
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.cli.main import main
from lumibot_duckdb.storage import macros, migrations
from lumibot_duckdb.storage.connection.engine import Engine
from lumibot_duckdb.storage.errors import StorageError
from storage.frames import minute_bars
from storage.macros.bars import SERIES
from storage.test_released_schemas import unpacked

pytestmark = pytest.mark.older_duckdb

DIGESTS = {
    8: "c20c4afd0c1fda1ead652e57e737fba85234fb6e2ed86badc0981fd3304739c9",
    9: "3146d27294209b982ceebfdee10703b1f743db288baf767bf627bd6a4da51aa4",
}
"""The macros of each schema. Once it is released, a change of the macros needs a new schema, and a new line here."""
PRESENT = (
    "SELECT DISTINCT CASE function_type WHEN 'macro' THEN 'MACRO ' ELSE 'MACRO TABLE ' END || function_name "
    "FROM duckdb_functions() WHERE database_name = current_database() AND function_type LIKE '%macro' ORDER BY ALL"
)
EMA = "FROM ema('WALK', timeframe := 'minute') WHERE ema IS NOT NULL"
ROWS = len(SERIES["WALK", "test", "minute"]) - 19


def present(path: Path) -> set[str]:
    with duckdb.connect(str(path), read_only=True) as connection:
        return {macro for (macro,) in connection.execute(PRESENT).fetchall()}


def test_a_change_of_the_macros_is_a_new_schema() -> None:
    digest = hashlib.sha256(macros.definitions().encode()).hexdigest()
    assert {migrations.newest(): digest} == {migrations.newest(): DIGESTS[migrations.newest()]}


def test_every_definition_is_found() -> None:
    assert macros.definitions().count("CREATE OR REPLACE MACRO") == len(macros.defined())
    assert {"MACRO sma", "MACRO TABLE sma", "MACRO TABLE bollinger", "MACRO TABLE resample"} < macros.defined()


def test_a_new_store_has_them(client: duckdb.DuckDBPyConnection) -> None:
    assert {macro for (macro,) in client.execute(PRESENT).fetchall()} == macros.defined()


def created(create: Callable[[duckdb.DuckDBPyConnection], object]) -> list[tuple[object, ...]]:
    """Create the macros in a database with the tables of a store; return all there is to know about them."""
    with duckdb.connect() as connection:
        connection.execute("".join(script for _, script in migrations.scripts()).replace("{db}", "memory"))
        create(connection)
        return connection.execute("""
            SELECT database_name, function_name, function_type, parameters, macro_definition FROM duckdb_functions()
            WHERE database_name IN ('memory', 'temp') AND function_type LIKE '%macro' ORDER BY ALL
        """).fetchall()


def test_the_placeholder_changes_no_definition() -> None:
    bound_in_full = created(lambda connection: connection.execute(macros.definitions().replace("{db}", "memory")))
    assert created(lambda connection: macros.create(connection, "memory", macros.definitions())) == bound_in_full


def test_a_client_that_has_attached_it(file: Path) -> None:
    with duckdb.connect() as connection:
        connection.execute(f"ATTACH '{file}' AS \"any name\" (READ_ONLY)")
        connection.execute('USE "any name"')
        assert len(connection.execute(EMA).fetchall()) == ROWS
        query = "SELECT sma(close, \"timestamp\", 20) AS a FROM ohlcv_data WHERE asset_symbol = 'WALK' QUALIFY a > 0"
        assert len(connection.execute(query).fetchall()) == ROWS


def test_sql_of_the_storage_and_of_the_command_line(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with DuckDBDataStorage(file) as storage:
        assert storage.sql(EMA).num_rows == ROWS
        found = storage.sql(
            "FROM rsi($symbol, timeframe := $timeframe, n := $n)", {"symbol": "DAILY", "timeframe": "day", "n": 5}
        )
        assert found.num_rows == len(SERIES["DAILY", "test", "day"])
        assert storage.sql("FROM resample(?, 'hour')", ["WALK"]).num_rows == 43
    assert main(["sql", "--store", str(file), "--csv", f"SELECT count(*) AS n FROM ({EMA})"]) == 0
    assert capsys.readouterr().out == f"n\n{ROWS}\n"


def test_arguments_may_be_subqueries(client: duckdb.DuckDBPyConnection) -> None:
    symbols = "SELECT list(DISTINCT asset_symbol) FROM ohlcv_data WHERE asset_symbol IN ('WALK', 'HALTED')"
    found = client.execute(f"FROM ema(({symbols}), 'minute', n := (SELECT 5 + 15)) ORDER BY ALL").fetchall()
    assert found == client.execute("FROM ema(['HALTED', 'WALK'], 'minute', n := 20) ORDER BY ALL").fetchall()
    assert len(found) > 3000


SCALARS = {
    "sma(close, {t}, 20, per := s)": "sma",
    "wma(close, {t}, 20, per := s)": "wma",
    "zscore(close, {t}, 20, per := s)": "zscore",
    "roc(close, {t}, 10, per := s)": "roc",
    "momentum(close, {t}, 10, per := s)": "momentum",
    "drawdown(close, {t}, per := s)": "drawdown",
    "williams_r(high, low, close, {t}, 14, per := s)": "williams_r",
    "cci(high, low, close, {t}, 20, per := s)": "cci",
    "vwap(high, low, close, volume, {t}, 20, per := s)": "vwap",
    "bollinger_lower(close, {t}, 20, 2, per := s)": "bollinger.lower",
    "bollinger_upper(close, {t}, 20, 2, per := s)": "bollinger.upper",
    "donchian_lower(low, {t}, 20, per := s)": "donchian.lower",
    "donchian_middle(high, low, {t}, 20, per := s)": "donchian.middle",
    "donchian_upper(high, {t}, 20, per := s)": "donchian.upper",
}


@pytest.mark.parametrize("expression", SCALARS)
def test_scalar_macros_equal_table_macros(client: duckdb.DuckDBPyConnection, expression: str) -> None:
    name, _, output = SCALARS[expression].partition(".")
    text = expression.replace("{t}", '"timestamp"').replace("per := s", "per := asset_symbol")
    ((rows, differing),) = client.execute(f"""
        SELECT
            count(*),
            count(*) FILTER (scalar IS DISTINCT FROM wanted AND coalesce(abs(scalar / wanted - 1) > 1e-9, true))
        FROM (
            SELECT asset_symbol, "timestamp", {text} AS scalar FROM ohlcv_data WHERE asset_symbol IN ('WALK', 'HALTED')
        )
        JOIN (
            SELECT asset_symbol, "timestamp", {output or name} AS wanted
            FROM {name}(['WALK', 'HALTED'], timeframe := 'minute')
        ) USING (asset_symbol, "timestamp")
    """).fetchall()
    assert (rows > 3000, differing) == (True, 0)


def copies(storage: DuckDBDataStorage, folder: Path) -> list[Path]:
    """Make every kind of copy of a store, and let the store be compacted; return all files."""
    storage.backup(folder / "backup.duckdb")
    storage.replica(folder / "replica.duckdb")
    storage.export(folder / "exported")
    with DuckDBDataStorage(folder / "imported.duckdb") as imported:
        imported.import_exported(folder / "exported")
    with DuckDBDataStorage(folder / "merged.duckdb") as merged:
        merged.merge(folder / "backup.duckdb")
    with DuckDBDataStorage(folder / "restored.duckdb") as restored:
        restored.store_ohlcv_data("OTHER", minute_bars(rows=3), "test", "minute")
        assert restored.restore(folder / "backup.duckdb", confirm=lambda report: True).restored
    storage.compact()
    storage.close()
    return [
        storage.path,
        *(folder / f"{name}.duckdb" for name in ("backup", "replica", "imported", "merged", "restored")),
    ]


def test_every_copy_has_them_and_the_users_own(storage: DuckDBDataStorage, tmp_path: Path) -> None:
    storage.store_ohlcv_data("X", minute_bars(rows=60), "test", "minute")
    storage.close()
    with duckdb.connect(str(storage.path)) as shell:
        shell.execute("CREATE SCHEMA mine; CREATE TYPE mood AS ENUM ('good', 'bad'); CREATE SEQUENCE numbers")
        shell.execute("CREATE MACRO mine.scaled(value, times := 3) AS value * times")
        shell.execute(
            "CREATE MACRO scaled(value, times := 2) AS value * times, (value, times, plus) AS value * times + plus"
        )
        shell.execute("CREATE MACRO closes(symbol := 'X') AS TABLE SELECT close FROM bar, asset WHERE name = symbol")
        shell.execute("CREATE TABLE notes (id INTEGER DEFAULT nextval('numbers'), feeling mood, twice INTEGER)")
        shell.execute("INSERT INTO notes (feeling, twice) VALUES ('good', scaled(4))")
        shell.execute("CREATE VIEW large AS SELECT scaled(close) AS double FROM closes()")
    for path in copies(storage, tmp_path):
        with duckdb.connect(str(path), read_only=True) as connection:
            assert len(connection.execute("FROM ema('X', 'minute') WHERE ema > 0").fetchall()) == 41
            if path.stem in ("imported", "merged"):  # into a store of its own
                assert present(path) == macros.defined()
                continue
            assert connection.execute("SELECT scaled(5), scaled(5, 2, 1), mine.scaled(5)").fetchall() == [(10, 11, 15)]
            assert connection.execute("SELECT count(double) FROM large").fetchall() == [(60,)]
            assert connection.execute("FROM notes").fetchall() == [(1, "good", 8)]


def test_an_upgrade_keeps_the_users_macros(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = unpacked(7, tmp_path)
    with duckdb.connect(str(path)) as shell:
        shell.execute(
            "CREATE MACRO obv(a) AS a + 1; CREATE MACRO rsi(a) AS TABLE SELECT a AS mine; CREATE MACRO own() AS 5"
        )
    with DuckDBDataStorage(path) as storage, caplog.at_level(logging.WARNING):
        assert storage.sql("SELECT obv(1) AS a, own() AS b, mine FROM rsi(7)").to_pylist() == [
            {"a": 2, "b": 5, "mine": 7}
        ]
        assert storage.sql("FROM ema('LONG', 'minute')").num_rows == 12_000
        assert storage.sql("FROM obv('LONG', 'minute')").num_rows == 12_000
    assert "the store keeps its own MACRO TABLE rsi instead" in caplog.text
    assert present(path) == {*macros.defined(), "MACRO own", "MACRO obv"}


def test_a_later_upgrade_replaces_our_macros_alone(
    storage: DuckDBDataStorage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    storage.store_ohlcv_data("X", minute_bars(rows=60), "test", "minute")
    storage.close()
    with duckdb.connect(str(storage.path)) as shell:
        shell.execute("CREATE OR REPLACE MACRO ema(symbol) AS TABLE SELECT symbol AS mine; CREATE MACRO trix(a) AS a")
    scripts = migrations.scripts()
    monkeypatch.setattr(migrations, "scripts", lambda: (*scripts, (len(scripts) + 1, "SELECT 1;")))
    later = macros.definitions().replace("MACRO {db}.natr(", "MACRO {db}.normalised_range(")
    monkeypatch.setattr(macros, "definitions", lambda: later)
    macros.defined.cache_clear()
    Engine.close_current()  # it has the macros of this release
    try:
        with DuckDBDataStorage(storage.path) as newer:
            assert newer.sql("FROM normalised_range('X', 'minute')").num_rows == 60
            assert newer.sql("SELECT mine, trix(2) AS t FROM ema('a')").to_pylist() == [{"mine": "a", "t": 2}]
            newer.close()
        assert present(storage.path) == {*macros.defined(), "MACRO trix"}
        assert "MACRO TABLE natr" not in macros.defined()
        assert "keeps its own MACRO TABLE ema instead" in caplog.text
    finally:
        macros.defined.cache_clear()
        Engine.close_current()


def test_an_upgrade_that_fails_changes_no_macro(storage: DuckDBDataStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    storage.store_ohlcv_data("X", minute_bars(rows=60), "test", "minute")
    storage.close()

    def fail(*arguments: object, **more: object) -> None:
        raise RuntimeError("interrupted")

    scripts = migrations.scripts()
    with monkeypatch.context() as patch:
        patch.setattr(migrations, "scripts", lambda: (*scripts, (len(scripts) + 1, "SELECT 1;")))
        patch.setattr(migrations.macros, "_create_model", fail)
        Engine.close_current()
        with pytest.raises(RuntimeError, match="interrupted"):
            DuckDBDataStorage(storage.path).list_series()
    storage.close()
    assert present(storage.path) == macros.defined()


def test_a_database_without_tables_that_has_macros(tmp_path: Path) -> None:
    path = tmp_path / "mine.duckdb"
    with duckdb.connect(str(path)) as shell:
        shell.execute("CREATE MACRO own() AS 5; CREATE MACRO sma(a) AS a")
    with DuckDBDataStorage(path) as storage:
        with pytest.raises(
            StorageError, match=r"has a macro with the name of one .*\"sma\" already exists.* choose another path"
        ):
            storage.store_ohlcv_data("X", minute_bars(rows=60), "test", "minute")
        storage.close()
        with duckdb.connect(str(path)) as shell:
            shell.execute("DROP MACRO sma")
        storage.store_ohlcv_data("X", minute_bars(rows=60), "test", "minute")
        assert storage.sql("SELECT own() AS a").to_pylist() == [{"a": 5}]


def test_a_forked_process_creates_stores(storage: DuckDBDataStorage, tmp_path: Path) -> None:
    code = """
import os, sys
from pathlib import Path
from lumibot_duckdb import DuckDBDataStorage
from storage.frames import minute_bars
DuckDBDataStorage(sys.argv[1] + "/a.duckdb").store_ohlcv_data("X", minute_bars(rows=60), "test", "minute")
pid = os.fork()
name = "b" if pid else "c"
with DuckDBDataStorage(sys.argv[1] + f"/{name}.duckdb") as store:
    store.store_ohlcv_data("X", minute_bars(rows=60), "test", "minute")
    assert store.sql("FROM ema('X', 'minute')").num_rows == 60
if not pid:
    os._exit(0)  # DuckDB 1.5 aborts at the usual end of a forked process
assert os.waitpid(pid, 0)[1] == 0
"""
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, cwd=Path(__file__).parents[2])
    assert all(present(tmp_path / f"{name}.duckdb") == macros.defined() for name in "abc")


@pytest.mark.parametrize("act", [lambda s: s.verify(), lambda s: s.statistics()])
def test_a_store_with_macros_is_sound(file: Path, act: Callable[[DuckDBDataStorage], object]) -> None:
    with DuckDBDataStorage(file) as storage:
        act(storage)
        assert storage.verify().findings == []
