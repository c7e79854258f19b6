"""If a Lumibot release lacks a name that we import, Lumibot's own class is used, or an error says what to do."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import lumibot_duckdb
from lumibot_duckdb.lumibot_contract.enforcement import STRICT
from lumibot_duckdb.sources.registry import CLASSES

_WITHOUT = """
import json, os, sys
from importlib import import_module

os.environ["IS_BACKTESTING"] = "true"
from lumibot_duckdb.sources.registry import CLASSES

for each in CLASSES.values():
    each.load_lumibots()  # Lumibot itself does not need the name
import_module("lumibot.strategies.strategy_executor")
module, name = import_module(sys.argv[1]), sys.argv[2]
getattr(module, name)  # it may be imported lazily
delattr(module, name)
lazy = getattr(module, "__getattr__", None)

def missing(wanted):
    if wanted == name or lazy is None:
        raise AttributeError(wanted)
    return lazy(wanted)

module.__getattr__ = missing
import lumibot_duckdb
import lumibot_duckdb.backtesting as public
from lumibot_duckdb.lumibot_contract.enforcement import LumibotContractError

found = {}
for each in public.__all__:
    try:
        found[each] = "ours" if getattr(getattr(public, each), "use_duckdb", True) else "Lumibot's"
    except LumibotContractError:
        found[each] = "error"
lumibot_duckdb.activate()
print(json.dumps(found))
"""
_PACKAGES = ("activation", "lumibot_contract", "sources", "windows")
_VITAL = {("lumibot.entities", "Asset"), ("lumibot.entities", "Data")}
"""Names without which no class of Lumibot's works either."""
_IN_EVERY_RUN = {
    ("lumibot.backtesting.alpaca_backtesting", "AlpacaOptionHistoryUnavailable"),
    ("lumibot.constants", "LUMIBOT_DEFAULT_PYTZ"),
}


def _imported() -> list[tuple[str, str]]:
    """Return the names that the modules on which a backtest depends import from Lumibot's modules."""
    root = Path(lumibot_duckdb.__file__).parent
    trees = [ast.parse(file.read_text()) for package in _PACKAGES for file in (root / package).rglob("*.py")]
    imports = [each for tree in trees for each in ast.walk(tree) if isinstance(each, ast.ImportFrom)]
    names = {(each.module or "", alias.name) for each in imports for alias in each.names}
    return sorted(each for each in names - _VITAL if each[0].startswith("lumibot."))


def _classes_without(module: str, name: str) -> dict[str, str]:
    command = [sys.executable, "-c", _WITHOUT, module, name]
    ran = subprocess.run(command, env={**os.environ, STRICT: "false"}, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    found: dict[str, str] = json.loads(ran.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize(
    ("module", "name"),
    [pytest.param(*each, marks=[] if each in _IN_EVERY_RUN else [pytest.mark.long]) for each in _imported()],
)
def test_no_missing_name_is_an_import_error(module: str, name: str) -> None:
    if not hasattr(import_module(module), name):
        pytest.skip("the installed release of Lumibot lacks this name; another release has it")
    found = _classes_without(module, name)
    assert {found[each] for each in CLASSES} <= {"ours", "Lumibot's"}


def test_only_the_source_that_needs_a_name_falls_back() -> None:
    found = _classes_without("lumibot.tools.shared_bar_cache", "validate_rows")
    assert [each for each, kind in found.items() if kind != "ours"] == ["AlpacaBacktesting"]


def test_a_class_without_counterpart_is_an_error() -> None:
    found = _classes_without("lumibot.tools.helpers", "parse_timestep_qty_and_unit")
    assert {each for each, kind in found.items() if kind == "error"} == {"ProviderDataBacktesting", "WindowedData"}
