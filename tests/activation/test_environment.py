"""`activate()` imports no module, and undoes its changes if it fails half-way."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import lumibot.backtesting
import pytest

import lumibot_duckdb
from lumibot_duckdb.activation import activation


@pytest.fixture(autouse=True)
def _inactive_afterwards() -> Iterator[None]:
    yield
    lumibot_duckdb.deactivate()


def home_of_a_source() -> str:
    return str(lumibot.backtesting.YahooDataBacktesting.__module__.split(".")[0])


def lazily_loaded(file: Path) -> ModuleType:
    """Return a module that is executed at its first attribute access, as `importlib` documents it."""
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None
    assert spec.loader is not None
    spec.loader = importlib.util.LazyLoader(spec.loader)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_no_lazily_loaded_module_is_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "needs_a_display.py"
    file.write_text("raise ImportError('no display')\n")
    monkeypatch.setitem(sys.modules, file.stem, lazily_loaded(file))
    lumibot_duckdb.activate()
    assert home_of_a_source() == "lumibot_duckdb"


def test_what_fails_half_way_is_undone_and_can_be_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(module: ModuleType) -> None:
        raise RuntimeError("half-way")

    before = list(sys.meta_path)
    with monkeypatch.context() as patched:
        patched.setattr(activation, "_change_globals", fail)
        with pytest.raises(RuntimeError, match="half-way"):
            lumibot_duckdb.activate()
    assert home_of_a_source() == "lumibot"
    assert type(lumibot.backtesting) is ModuleType
    assert sys.meta_path == before
    lumibot_duckdb.activate()
    assert home_of_a_source() == "lumibot_duckdb"
