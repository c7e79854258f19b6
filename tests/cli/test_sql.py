"""`sql`: read-only queries, as a table, CSV or JSON."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cli.files import Command, csv_of
from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.cli.main import main
from lumibot_duckdb.storage import migrations
from lumibot_duckdb.storage.connection.store_connection import StoreConnection
from lumibot_duckdb.storage.errors import StoreVersionError
from lumibot_duckdb.storage.row_query import query_rows
from templates import template

Write = Callable[..., Path]


@template
def imported(storage: DuckDBDataStorage) -> None:
    days = [f"2024-{month:02}-{day:02}" for month in range(1, 13) for day in range(1, 29)]
    files = [storage.path.with_name(f"{name}.csv") for name in ("A", "B", "C", "D")]
    for file in files:
        file.write_text(csv_of(days))
    assert main(["--store", str(storage.path), "import", *map(str, files)]) == 0


@pytest.fixture
def filled(command: Command) -> Command:
    imported(command.store)
    return command


def test_a_table_is_aligned_and_shows_null(filled: Command) -> None:
    columns = "asset_symbol, count(*) AS n, NULL::VARCHAR AS x, 1.5 AS y"
    query = f"SELECT {columns} FROM ohlcv_data GROUP BY ALL ORDER BY ALL LIMIT 2"
    ended = filled("sql", query)
    assert (ended.code, ended.err) == (0, "")
    assert ended.out == (
        "asset_symbol    n  x       y\n"
        "------------  ---  ----  ---\n"
        "A             336  NULL  1.5\n"
        "B             336  NULL  1.5\n"
    )  # fmt: skip


def test_a_long_table_stops_at_a_thousand_rows_and_reports_it(filled: Command) -> None:
    ended = filled("sql", "FROM ohlcv_data")
    assert len(ended.out.splitlines()) == 1_002
    assert ended.err == "The first 1,000 rows. --limit N shows more; --csv and --json print all.\n"
    assert filled("sql", "FROM ohlcv_data LIMIT 1000").err == ""


def test_a_limit_holds_in_every_form(filled: Command) -> None:
    assert len(filled("sql", "--limit", 3, "FROM ohlcv_data").out.splitlines()) == 5
    assert len(filled("sql", "--limit", 1_200, "FROM ohlcv_data").out.splitlines()) == 1_202
    assert len(filled("sql", "--limit", 3, "--csv", "FROM ohlcv_data").out.splitlines()) == 4
    assert len(json.loads(filled("sql", "--limit", 3, "--json", "FROM ohlcv_data").out)) == 3


def test_csv_has_all_rows_with_the_numbers_as_they_are(filled: Command) -> None:
    ended = filled("sql", "--csv", "FROM ohlcv_data ORDER BY asset_symbol, timestamp")
    rows = list(csv.DictReader(io.StringIO(ended.out)))
    assert len(rows) == 4 * 336
    assert [float(row["open"]) for row in rows[:336]] == [100.25 + i for i in range(336)]
    assert rows[0]["timestamp"] == "2024-01-01 05:00:00"
    assert rows[0]["dividend"] == ""


def test_json_is_one_array_of_objects(filled: Command) -> None:
    query = """SELECT asset_symbol AS s, timestamp AS t, DATE '2024-01-02' AS d, 0.1::DOUBLE AS x, NULL AS n,
        'nan'::DOUBLE AS nan, [1, 2] AS l, {'a': TIME '09:30'} AS o, 2.50::DECIMAL(5, 2) AS c
        FROM ohlcv_data ORDER BY ALL LIMIT 1"""
    assert json.loads(filled("sql", "--json", query).out) == [
        {
            "s": "A",
            "t": "2024-01-01T05:00:00",
            "d": "2024-01-02",
            "x": 0.1,
            "n": None,
            "nan": None,
            "l": [1, 2],
            "o": {"a": "09:30:00"},
            "c": 2.5,
        }
    ]


def test_no_rows_are_an_empty_result_in_every_form(filled: Command) -> None:
    query = "SELECT open FROM ohlcv_data WHERE false"
    assert filled("sql", query).out == "open\n----\n"
    assert filled("sql", "--csv", query).out == "open\n"
    assert json.loads(filled("sql", "--json", query).out) == []


def test_the_query_may_come_from_standard_input(filled: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("-- how many\nSELECT count(*) AS n FROM ohlcv_data;\n"))
    assert filled("sql", "-", "--csv").out == "n\n1344\n"


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("SELEC 1", 'Parser Error: syntax error at or near "SELEC"'),
        ("SELECT nothing FROM ohlcv_data", "Binder Error: Referenced column"),
        ("FROM nowhere", "Catalog Error: Table with name nowhere does not exist!"),
        ("DELETE FROM bar", "only statements that read are allowed"),
        ("CREATE TABLE t AS SELECT 1", "only statements that read are allowed"),
        ("ATTACH 'x.duckdb'", "only statements that read are allowed"),
        ("COPY (SELECT 1) TO 'x.csv'", "only statements that read are allowed"),
        ("SELECT 1; SELECT 2", "give one statement, not 2"),
        ("SELECT 1::DATE + 'x'", "Error: "),
    ],
)
def test_a_query_that_cannot_run_is_one_line_and_exit_code_1(filled: Command, query: str, message: str) -> None:
    before = filled.store.read_bytes()
    ended = filled("sql", query)
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith("lumibot-duckdb: ")
    assert message in ended.err
    assert ended.err.count("\n") == 1
    assert filled.store.read_bytes() == before


@pytest.mark.parametrize(
    "options", [["sql", ""], ["sql", "SELECT 1", "--limit", "0"], ["sql"], ["sql", "x", "--csv", "--json"]]
)
def test_a_call_that_cannot_be_is_exit_code_2(command: Command, options: list[str]) -> None:
    ended = command(*options)
    assert ended.code == 2
    assert ended.err.startswith("lumibot-duckdb: ")


def test_values_of_every_type_have_a_text(filled: Command) -> None:
    query = """SELECT 1::HUGEINT AS h, INTERVAL 1 DAY AS i, MAP {'a': 1} AS m, [1, 2]::INTEGER[2] AS a, 'x'::BLOB AS b,
        '00000000-0000-0000-0000-000000000001'::UUID AS u"""
    assert filled("sql", "--csv", query).out == (
        'h,i,m,a,b,u\n1,"1 day, 0:00:00","{""a"": 1}","[1, 2]",78,00000000-0000-0000-0000-000000000001\n'
    )
    (row,) = json.loads(filled("sql", "--json", query).out)
    assert row["h"] == 1
    assert (row["m"], row["a"], row["i"]) == ({"a": 1}, [1, 2], "1 day, 0:00:00")


def test_a_query_imports_neither_numpy_nor_arrow_nor_pandas(filled: Command) -> None:
    code = (
        "import sys; from lumibot_duckdb.cli.main import main; code = main(sys.argv[1:]); "
        "heavy = {'pandas', 'pyarrow', 'numpy', 'lumibot', 'polars'} & set(sys.modules); "
        "sys.exit(f'{code} {heavy}' if code or heavy else 0)"
    )
    for form in ([], ["--csv"], ["--json"]):
        call = [sys.executable, "-c", code, "--store", str(filled.store), "sql", "FROM ohlcv_data LIMIT 3", *form]
        ended = subprocess.run(call, capture_output=True, text=True)
        assert ended.returncode == 0, ended.stderr


def test_a_full_temporary_folder_is_one_line(filled: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("lumibot_duckdb.cli.query_output.write_csv", full)
    ended = filled("sql", "--csv", "FROM ohlcv_data")
    assert (ended.code, ended.out) == (1, "")
    assert "No space left on device; name another one in TMPDIR" in ended.err


def test_a_store_of_an_older_release_is_upgraded(command: Command) -> None:
    connection = StoreConnection.of(command.store)
    command.store.parent.mkdir()
    with connection.write() as cursor:
        cursor.execute(migrations.scripts()[0][1])
        cursor.execute("INSERT INTO {db}.store_meta VALUES ('schema_version', '1'), ('store_id', 'x')")
    with pytest.raises(StoreVersionError), query_rows(command.store, "SELECT 1", upgrade=False):
        pass
    ended = command("sql", "--csv", "SELECT value FROM store_meta WHERE key = 'schema_version'")
    assert ended.out == f"value\n{migrations.newest()}\n"


def test_without_a_store_there_is_nothing_to_ask(command: Command) -> None:
    ended = command("sql", "SELECT 1")
    assert ended.code == 3
    assert f"there is no store at {command.store}" in ended.err


def test_explain_and_describe_are_shown(filled: Command) -> None:
    assert "ohlcv_data" not in filled("sql", "EXPLAIN SELECT count(*) FROM ohlcv_data").err
    assert "asset_symbol" in filled("sql", "DESCRIBE ohlcv_data").out


def test_cells_of_several_lines_and_wide_ones_stay_in_their_columns() -> None:
    from lumibot_duckdb.cli.layout import table

    text = table(["a", "long"], [["1", "x\ny"], ["2", "z" * 100]], [True, False], width=30)
    assert text.splitlines() == ["a  long", "-  " + "-" * 27, "1  x", "   y", "2  " + "z" * 26 + "…"]


def test_other_files_are_read_only_with_allow_files(filled: Command, tmp_path: Path) -> None:
    weights = tmp_path / "weights.csv"
    weights.write_text("asset_symbol,weight\nA,0.25\n")
    query = f"SELECT any_value(weight) AS w, count(*) AS n FROM ohlcv_data JOIN '{weights}' USING (asset_symbol)"
    refused = filled("sql", "--csv", query)
    assert (refused.code, refused.out) == (1, "")
    assert "--allow-files" in refused.err
    assert filled("sql", "--csv", "--allow-files", query).out == "w,n\n0.25,336\n"
    for writes in (
        f"COPY (SELECT 1) TO '{weights}'",
        f"EXPLAIN (ANALYZE /*) select 1 --*/ ) COPY (select 1) TO '{weights}'",
    ):
        assert filled("sql", "--allow-files", writes).code == 1
        assert weights.read_text().startswith("asset_symbol")
