"""The examples in docs/storage.md run in the order of the page and print what it shows."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "storage.md"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def test_the_examples_print_what_the_page_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    source = "\n".join(BLOCK.findall(PAGE.read_text()))
    examples = doctest.DocTestParser().get_doctest(source, {}, PAGE.name, str(PAGE), 0)
    differences: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.FAIL_FAST)
    result = runner.run(examples, out=differences.append)
    assert result.failed == 0, "".join(differences)
    assert result.attempted > 20
    assert (tmp_path / "bars.duckdb").exists()


def test_the_page_shows_every_operation() -> None:
    examples = "\n".join(BLOCK.findall(PAGE.read_text()))
    operations = (
        "store_ohlcv_data get_historical_prices to_pandas to_polars to_arrow read_pandas read_arrow list_series series "
        "sql pin coverage missing_ranges delete_series verify statistics compact export import_exported close"
    )
    assert {operation for operation in operations.split() if f"storage.{operation}(" not in examples} == set()
    assert "as_of=" in examples
