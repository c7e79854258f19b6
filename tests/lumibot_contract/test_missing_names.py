"""If a Lumibot release lacks a name that we import, Lumibot's own class is used, or an error says what to do."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path

import pytest

import lumibot_duckdb
from lumibot_duckdb.lumibot_contract.enforcement import STRICT
from lumibot_duckdb.sources.registry import CLASSES

pytestmark = pytest.mark.xdist_group("missing names")  # Lumibot is imported once

_WITHOUT = """
import json, os, sys
from importlib import import_module

os.environ["IS_BACKTESTING"] = "true"
from lumibot_duckdb.sources.registry import CLASSES

for each in CLASSES.values():
    each.load_lumibots()  # Lumibot itself does not need the name
import_module("lumibot.strategies.strategy_executor")

def classes_without(module, name):
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
    return found

print("ready", flush=True)
for line in sys.stdin:
    child = os.fork()
    if not child:
        module, name = line.split()
        print(json.dumps(classes_without(import_module(module), name)), flush=True)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    print("ended" if status == 0 else "failed", flush=True)
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
    texts = [file.read_text() for package in _PACKAGES for file in (root / package).rglob("*.py")]
    trees = [ast.parse(text) for text in texts if "from lumibot." in text]
    imports = [each for tree in trees for each in ast.walk(tree) if isinstance(each, ast.ImportFrom)]
    names = {(each.module or "", alias.name) for each in imports for alias in each.names}
    return sorted(each for each in names - _VITAL if each[0].startswith("lumibot."))


ClassesWithout = Callable[[str, str], dict[str, str]]


@pytest.fixture(scope="module")
def classes_without(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClassesWithout]:
    """Return which classes there are without a name, in a process that is forked after Lumibot was imported."""
    errors = tmp_path_factory.mktemp("missing") / "errors.txt"
    with errors.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-c", _WITHOUT],
            env={**os.environ, STRICT: "false"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=file,
            text=True,
        )
    assert process.stdin is not None
    assert process.stdout is not None
    stdin, stdout = process.stdin, process.stdout

    def lines_until(*ends: str) -> list[str]:
        lines = []
        for line in stdout:
            lines.append(line.strip())
            if lines[-1] in ends:
                break
        return lines

    def ask(module: str, name: str) -> dict[str, str]:
        stdin.write(f"{module} {name}\n")
        stdin.flush()
        *said, ended = lines_until("ended", "failed") or [""]
        assert ended == "ended", errors.read_text()
        found: dict[str, str] = json.loads(said[-1])
        return found

    assert lines_until("ready")[-1:] == ["ready"], errors.read_text()
    yield ask
    process.communicate()


@pytest.mark.parametrize(
    ("module", "name"),
    [pytest.param(*each, marks=[] if each in _IN_EVERY_RUN else [pytest.mark.long]) for each in _imported()],
)
def test_no_missing_name_is_an_import_error(module: str, name: str, classes_without: ClassesWithout) -> None:
    if not hasattr(import_module(module), name):
        pytest.skip("the installed release of Lumibot lacks this name; another release has it")
    found = classes_without(module, name)
    assert {found[each] for each in CLASSES} <= {"ours", "Lumibot's"}


def test_only_the_source_that_needs_a_name_falls_back(classes_without: ClassesWithout) -> None:
    found = classes_without("lumibot.tools.shared_bar_cache", "validate_rows")
    assert [each for each, kind in found.items() if kind != "ours"] == ["AlpacaBacktesting"]


def test_a_class_without_counterpart_is_an_error(classes_without: ClassesWithout) -> None:
    found = classes_without("lumibot.tools.helpers", "parse_timestep_qty_and_unit")
    assert {each for each, kind in found.items() if kind == "error"} == {"ProviderDataBacktesting", "WindowedData"}
