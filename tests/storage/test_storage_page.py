"""The examples in docs/storage.md run in the order of the page and print what it shows."""

from __future__ import annotations

import doctest
from pathlib import Path

import pytest

from pages_of_examples import check_examples, examples_of

PAGE = Path(__file__).parents[2] / "docs" / "storage.md"


def test_the_examples_print_what_the_page_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LUMIBOT_DUCKDB_SNAPSHOT_CACHE", str(tmp_path / "cache"))
    check_examples(PAGE, doctest.FAIL_FAST)
    assert (tmp_path / "bars.duckdb").exists()


def test_the_page_shows_every_operation() -> None:
    examples = examples_of(PAGE)
    operations = (
        "store_ohlcv_data get_historical_prices to_pandas to_polars to_arrow read_pandas read_arrow list_series series "
        "sql pin coverage missing_ranges delete_series verify statistics compact export import_exported close"
    )
    assert {operation for operation in operations.split() if f"storage.{operation}(" not in examples} == set()
    assert "as_of=" in examples
