"""docs/indicators.md documents every indicator as it is, and its examples run."""

from __future__ import annotations

import re
from pathlib import Path

import duckdb
import pytest

from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.analytics.catalogue import CATALOGUE
from storage.macros.bars import walk
from storage.macros.test_conditions import INDICATORS

PAGE = (Path(__file__).parents[3] / "docs" / "indicators.md").read_text()
ROW = re.compile(r"^\| `(\w+)\((.*?)\)` \| ((?:`\w+`(?:, )?)+) \|.*\| (SQL, Python|Python) \|$", re.MULTILINE)
EXAMPLES = re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)
COMMON = ["symbol", "timeframe", "source", "asset_type"]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with DuckDBDataStorage(tmp_path_factory.mktemp("page")) as storage:
        for seed, symbol in enumerate(("SPY", "QQQ")):
            storage.store_ohlcv_data(symbol, walk(300, "2023-01-02", "B", seed, 1.0), "yahoo", "day")
            storage.store_ohlcv_data(symbol, walk(2_000, seed=seed), "polygon", "minute")
    return storage.path


@pytest.mark.parametrize("query", EXAMPLES)
def test_every_example_runs(path: Path, query: str) -> None:
    with DuckDBDataStorage(path) as storage:
        assert storage.sql(query).num_rows > 0


def test_it_has_an_example_for_each_group() -> None:
    parts = {part.partition("\n")[0]: part for part in PAGE.split("\n## ")}
    for group in (
        "Moving averages",
        "Bands",
        "Momentum",
        "Trend",
        "Volatility",
        "Volume",
        "In any query",
        "Resampling",
    ):
        assert "```sql\n" in parts[group], group


def test_it_lists_every_indicator_with_its_parameters_and_outputs(path: Path) -> None:
    listed = {name: (parameters, outputs, layers) for name, parameters, outputs, layers in ROW.findall(PAGE)}
    assert sorted(name for name, (_, _, layers) in listed.items() if layers != "Python") == INDICATORS
    assert {name for name, (_, _, layers) in listed.items() if layers == "Python"} == {"kama", "psar", "supertrend"}
    with duckdb.connect(str(path), read_only=True) as connection:
        for name in INDICATORS:
            parameters, outputs, _ = listed[name]
            given = [each for each in parameters.split(", ") if each]
            ((names,),) = connection.execute(
                "SELECT DISTINCT parameters FROM duckdb_functions() "
                "WHERE function_type = 'table_macro' AND function_name = ?",
                [name],
            ).fetchall()
            assert names == [*COMMON[:2], *(each.partition("=")[0] for each in given), *COMMON[2:]], name
            by_default = connection.execute(f"DESCRIBE FROM {name}('SPY')").fetchall()
            columns = ["asset_symbol", "timestamp", "close", *re.findall(r"\w+", outputs)]
            assert [column for column, *_ in by_default] == columns, name
            explicit = "".join(f", {each.replace('=', ' := ')}" for each in given)
            same = "SELECT count(*) FROM (FROM {0}('SPY', 'minute') EXCEPT FROM {0}('SPY', 'minute'{1}))"
            assert connection.execute(same.format(name, explicit)).fetchall() == [(0,)], name


def test_its_parts_are_the_groups_of_the_catalogue() -> None:
    parts = {part.partition("\n")[0]: ROW.findall(part) for part in PAGE.split("\n## ")}
    listed = {name: title.lower() for title, rows in parts.items() for name, *_ in rows}
    assert listed == {name: indicator.group for name, indicator in CATALOGUE.items()}


def test_it_lists_every_scalar_macro(path: Path) -> None:
    section = PAGE.partition("## In any query")[2].partition("\n## ")[0]
    with duckdb.connect(str(path), read_only=True) as connection:
        for name, parameters in re.findall(r"`(\w+)\(([^`]*)\)`", section):
            query = (
                "SELECT DISTINCT parameters FROM duckdb_functions() WHERE function_type = 'macro' AND function_name = ?"
            )
            assert connection.execute(query, [name]).fetchall() == [([*parameters.split(", "), "per"],)]
