"""Libraries that Lumibot imports without need: imported on first use, and then as if they always had been."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from lumibot_duckdb.lumibot_contract import deferred_imports

NAME = "library_for_this_test"
CODE = """
import time
time.sleep(0.05)
from library_for_this_test import part
number = 7
class Thing: pass
def doubled(): return 2 * number
"""


@pytest.fixture
def undo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """Make a library that is deferred, and forget it afterwards; return what ends the deferring."""
    folder = tmp_path / NAME
    folder.mkdir()
    (folder / "__init__.py").write_text(CODE)
    (folder / "part.py").write_text("word = 'part'")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(deferred_imports, "LIBRARIES", (NAME, "a_library_that_is_not_installed"))
    undo = deferred_imports.defer_imports()
    yield undo
    undo()
    for name in (NAME, f"{NAME}.part"):
        sys.modules.pop(name, None)


@pytest.fixture
def library(undo: Callable[[], None], tmp_path: Path) -> Path:
    """Return the folder of the deferred library."""
    return tmp_path / NAME


def imported() -> ModuleType:
    return importlib.import_module(NAME)


def is_loaded() -> bool:
    return f"{NAME}.part" in sys.modules


def test_an_import_alone_does_not_load_it(library: Path) -> None:
    module = imported()
    assert isinstance(module, ModuleType)
    assert (module.__name__, module.__file__) == (NAME, str(library / "__init__.py"))
    assert hasattr(module, "__file__")
    assert importlib.util.find_spec(NAME) is not None
    assert "a_library_that_is_not_installed" not in sys.modules
    assert not is_loaded()


def test_a_use_loads_it_once(library: Path) -> None:
    module = imported()
    assert (module.number, module.doubled()) == (7, 14)
    assert module.Thing is imported().Thing
    assert type(sys.modules[NAME]) is ModuleType
    assert "doubled" in dir(module)
    with pytest.raises(AttributeError, match=f"module '{NAME}' has no attribute 'other'"):
        _ = module.other


@pytest.mark.parametrize(
    "statement",
    [
        "from {0} import number",
        "from {0}.part import word",
        "import {0}.part",
        "from {0} import *",
        "from {0} import part",
    ],
)
def test_any_other_import_loads_it(library: Path, statement: str) -> None:
    imported()
    exec(statement.format(NAME), {})
    assert is_loaded()
    assert imported().number == 7


def test_what_is_set_in_it_is_seen_by_everyone(library: Path) -> None:
    early: Any = imported()
    early.number = 8
    late: Any = imported()
    assert early is not late
    assert late.doubled() == early.doubled() == 16
    late.number = 9
    assert early.doubled() == 18
    del early.number
    assert not hasattr(late, "number")


def test_threads_that_use_it_at_once_get_the_same(library: Path) -> None:
    module = imported()
    things: list[Any] = []
    threads = [threading.Thread(target=lambda: things.append(module.Thing)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(things) == 8
    assert len(set(things)) == 1


def test_an_import_that_fails_fails_at_each_use(library: Path) -> None:
    (library / "__init__.py").write_text("raise RuntimeError('this installation is damaged')")
    module = imported()
    for _ in range(2):
        with pytest.raises(RuntimeError, match="this installation is damaged"):
            _ = module.number
    (library / "__init__.py").write_text("number = 7  # repaired")
    importlib.invalidate_caches()
    assert module.number == 7


def test_a_library_that_is_there_already_stays(library: Path) -> None:
    module: Any = imported()
    assert module.number == 7
    real = sys.modules[NAME]
    deferred_imports.defer_imports()()
    assert sys.modules[NAME] is real


TESTING = "lumibot_module_for_this_test"
TESTING_CODE = """
import library_for_this_test as lib
def answer() -> lib.Thing: ...
def is_thing(value): return isinstance(value, lib.Thing)
def thing(): return lib.Thing()
def word(): return lib.Thing.word
"""


@pytest.fixture
def testing(library: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Import a module that tests for instances of a class, as a module of Lumibot does."""
    (library / "__init__.py").write_text(CODE.replace("class Thing: pass", "class Thing: word = 'thing'"))
    (library.parent / f"{TESTING}.py").write_text(TESTING_CODE)
    monkeypatch.setattr(deferred_imports, "TESTED_FOR", {(TESTING, NAME): ("Thing",)})
    monkeypatch.delitem(sys.modules, TESTING, raising=False)
    return importlib.import_module(TESTING)


def test_a_test_for_instances_does_not_load_it(testing: Any) -> None:
    assert not testing.is_thing(7)
    assert not testing.is_thing(testing.answer)
    assert testing.answer.__annotations__["return"].__name__ == "Thing"
    assert not is_loaded()


def test_tests_see_the_class_of_a_library_that_is_loaded(testing: Any) -> None:
    module: Any = imported()
    assert testing.is_thing(module.Thing())  # which loads it, and gives everyone else its own class
    assert not testing.is_thing(7)
    assert type(testing.thing()) is module.Thing is imported().Thing
    assert testing.lib is sys.modules[NAME]


@pytest.mark.parametrize("use", ["thing", "word"])
def test_a_use_of_the_class_loads_it(testing: Any, use: str) -> None:
    used = getattr(testing, use)()
    assert is_loaded()
    assert testing.is_thing(used) == (use == "thing")
    assert type(testing.thing()) is imported().Thing


def test_another_use_by_the_module_loads_it(testing: Any) -> None:
    assert testing.lib.number == 7
    assert testing.is_thing(imported().Thing())


def test_tests_see_the_class_after_the_end_of_deferring(testing: Any, undo: Callable[[], None]) -> None:
    undo()
    assert NAME not in sys.modules
    module: Any = imported()
    assert testing.is_thing(module.Thing())
    assert type(testing.thing()) is module.Thing


def test_activation_defers_what_lumibot_imports() -> None:
    script = """
import sys
import lumibot_duckdb
lumibot_duckdb.activate()
from lumibot.backtesting import YahooDataBacktesting
from lumibot.strategies import Strategy
import lumibot.tools.yahoo_helper
assert YahooDataBacktesting.__module__.startswith("lumibot_duckdb"), YahooDataBacktesting
import lumibot.entities.bars
assert not {"yfinance.base", "aiohttp.client", "polars.dataframe"} & set(sys.modules)
import pandas as pd
from lumibot.entities import Asset
days = pd.date_range("2024-01-02", periods=2, tz="America/New_York", name="datetime")
frame = pd.DataFrame({"close": [1.0, 2.0]}, days)
bars = lumibot.entities.bars.Bars(frame, "source", Asset("AAPL"))
assert bars.df["close"].tolist() == [1.0, 2.0]
assert "polars.dataframe" not in sys.modules
bars = lumibot.entities.bars.Bars(frame, "source", Asset("AAPL"), return_polars=True)
import polars as pl
assert type(bars.df) is pl.DataFrame, type(bars.df)
assert bars.df["close"].to_list() == [1.0, 2.0]
assert lumibot.entities.bars.Bars(bars.df, "source", Asset("AAPL")).pandas_df["close"].tolist() == [1.0, 2.0]
import yfinance
assert yfinance.Ticker("AAPL").ticker == lumibot.tools.yahoo_helper.yf.Ticker("AAPL").ticker == "AAPL"
assert type(sys.modules["yfinance"]).__name__ == "module"
lumibot_duckdb.deactivate()
import aiohttp
assert aiohttp.ClientSession
"""
    ended = subprocess.run([sys.executable, "-W", "ignore", "-c", script], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
