"""The examples in docstrings of live trading are correct."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

from lumibot_duckdb import live

FOLDER = Path(live.__file__).parent
MODULES = [
    ".".join([live.__name__, *file.relative_to(FOLDER).with_suffix("").parts])
    for file in sorted(FOLDER.rglob("*.py"))
    if ">>> " in file.read_text(encoding="utf-8")
]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_work(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUMIBOT_DUCKDB_PATH", str(tmp_path))
    found = doctest.testmod(importlib.import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert found.attempted
    assert not found.failed
