"""The examples in docs/results.md run in the order of the page and print what it shows."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import duckdb
import pytest

from lumibot_duckdb.results import ResultsDatabase
from pages_of_examples import check_examples
from results.samples import results_at, sweep

PAGE = Path(__file__).parents[2] / "docs" / "results.md"


def test_the_examples_print_what_the_page_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    check_examples(PAGE, doctest.ELLIPSIS)


def test_all_tables_views_and_columns_are_on_the_page(tmp_path: Path) -> None:
    results: ResultsDatabase = results_at(tmp_path)
    results.begin_sweep(sweep())
    page = PAGE.read_text()
    with duckdb.connect(str(results.path), read_only=True) as client:
        views = {name for (name,) in client.sql("SELECT view_name FROM duckdb_views() WHERE NOT internal").fetchall()}
        columns = client.sql("SELECT table_name, column_name FROM duckdb_columns() WHERE NOT internal").fetchall()
    tables = {table for table, _ in columns} - views - {"results_meta"}
    for name in tables | views:
        assert re.search(rf"^\| `{name}` \|", page, re.MULTILINE), name
    for table, column in columns:
        assert table not in tables or f"`{column}`" in page, (table, column)
