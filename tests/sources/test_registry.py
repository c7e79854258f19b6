"""The registry names what there is, and everything that is derived from it agrees."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import lumibot_duckdb
import lumibot_duckdb.backtesting as public
from lumibot_duckdb.sources import registry
from lumibot_duckdb.sources.registry import CLASSES, SOURCES, SourceSpec

ROOT = Path(__file__).parents[2]
SPECS = [pytest.param(spec, id=name) for name, spec in SOURCES.items()]


@pytest.mark.parametrize("spec", SPECS)
def test_every_part_of_a_source_is_where_the_registry_says(spec: SourceSpec) -> None:
    for each in spec.classes:
        ours, lumibots = each.load(), each.load_lumibots()
        assert (ours.__module__, ours.__name__) == (each.module, each.name)
        assert (lumibots.__module__, lumibots.__name__) == (each.lumibot_module, each.name)
        assert issubclass(ours, lumibots)
        assert getattr(public, each.name) is ours
    registry.load(spec.mixin_without_duckdb)
    assert all(reader.name for reader in spec.load_cache_readers())
    assert spec.stored_provider is None or find_spec(spec.stored_provider) is not None


def test_each_folder_of_a_source_is_in_the_registry() -> None:
    folders = {path.parent.name for path in Path(registry.__file__).parent.glob("*/source.py")}
    assert folders - {"custom"} == set(SOURCES), "a provider that a user wrote takes the place of nothing in Lumibot"


def test_the_registry_and_the_public_modules_are_light_and_list_their_names() -> None:
    heavy = {"lumibot", "pandas", "numpy", "duckdb", "ccxt", "alpaca", "polygon", "yfinance"}
    script = f"""
import sys
import lumibot_duckdb, lumibot_duckdb.backtesting, lumibot_duckdb.sources.registry
print(dir(lumibot_duckdb), dir(lumibot_duckdb.backtesting), sep="\\n")
print({heavy!r} & {{name.split(".")[0] for name in sys.modules}})
"""
    listed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    package, backtesting, loaded = listed.splitlines()
    assert package == str(sorted(lumibot_duckdb.__all__))
    assert backtesting == str(sorted([*CLASSES, *public._WITHOUT_COUNTERPART]))
    assert loaded == "set()"


def test_editors_see_every_public_name() -> None:
    assert set(re.findall(r"(\w+) as \1\b", Path(public.__file__).read_text())) == set(public.__all__)


def test_the_order_of_old_caches_is_that_of_their_imports() -> None:
    readers = [reader.name for spec in SOURCES.values() for reader in spec.load_cache_readers()]
    assert readers.index("Alpaca bars") < readers.index("Alpaca shared bars"), "CSV files are what Lumibot reads first"


def test_unknown_names_are_no_attributes() -> None:
    with pytest.raises(AttributeError, match="NoSuchBacktesting"):
        public.NoSuchBacktesting  # noqa: B018


def test_the_table_in_the_docs_is_that_of_the_registry() -> None:
    lines = (ROOT / "docs" / "sources.md").read_text().splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    title, *table = rows[: len(SOURCES) + 2]
    assert title[0] == "source"
    found = [(re.sub(r"\[(.+?)\]\(#.+?\)|( \(.+\))", r"\1", name), *cells) for name, *cells in table[1:]]
    expected = [
        (
            spec.title,
            ", ".join(f"`{each.name}`" for each in spec.classes),
            f"`{spec.client}`" if spec.client else "",
            spec.bars,
        )
        for spec in SOURCES.values()
    ]
    assert found == expected


def test_the_readme_lists_every_class_of_every_source() -> None:
    rows = [line for line in (ROOT / "README.md").read_text().splitlines() if line.startswith("| ")]
    for spec in SOURCES.values():
        classes = ", ".join(f"`{each.name}`" for each in spec.classes)
        assert any(row.endswith(f"| {classes} |") for row in rows), f"no row of the README is about {classes}"
