"""The examples in docstrings of the storage, its analytics, charts, panels, results and publishing are correct."""

from __future__ import annotations

import doctest
import importlib
import importlib.util
import pkgutil
from importlib.machinery import SourceFileLoader
from pathlib import Path

import pytest

from lumibot_duckdb import analytics, charts, duckdb_storage, panels, publishing, results, storage

pytestmark = pytest.mark.older_duckdb

NAMES = [
    duckdb_storage.__name__,
    *(
        module.name
        for package in (storage, analytics, charts, panels, results, publishing)
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    ),
]


def source_of(name: str) -> str:
    """Return the source of a module without importing it: some import scikit-learn, and every worker collects tests."""
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert isinstance(spec.loader, SourceFileLoader)
    return spec.loader.get_source(name)


MODULES = [name for name in NAMES if ">>> " in source_of(name)]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_work(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUMIBOT_DUCKDB_PATH", str(tmp_path / "bars.duckdb"))
    monkeypatch.setenv("LUMIBOT_DUCKDB_SNAPSHOT_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    found = doctest.testmod(importlib.import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert found.attempted
    assert not found.failed
