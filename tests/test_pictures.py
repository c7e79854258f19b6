"""The pictures of the documentation: every group has one, and a script can draw all of them again."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

DOCS = Path(__file__).resolve().parents[1] / "docs"
IMAGES = DOCS / "images"


@pytest.fixture(scope="module")
def make() -> Any:
    """The script, as a module."""
    spec = importlib.util.spec_from_file_location("make_images", IMAGES / "make.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def shown(page: str) -> list[str]:
    """Return the pictures that a page or a part of one shows."""
    return re.findall(r"^!\[[^\]]{10,}\]\(images/([\w-]+\.png)\)$", page, re.MULTILINE)


def test_every_group_of_indicators_has_a_picture() -> None:
    groups = [part for part in (DOCS / "indicators.md").read_text().split("\n## ") if "| indicator | outputs |" in part]
    assert len(groups) == 6
    assert [len(shown(group)) for group in groups] == [1] * len(groups)
    assert len({name for group in groups for name in shown(group)}) == len(groups)


def test_the_pictures_are_those_of_the_script_and_small(make: Any) -> None:
    files = {file.name: file for file in IMAGES.glob("*.png")}
    assert sorted(files) == sorted(f"{name}.png" for name in make.PICTURES)
    assert {name for page in DOCS.glob("*.md") for name in shown(page.read_text())} == set(files)
    for name, file in files.items():
        assert file.stat().st_size <= make.MOST_BYTES, name
        with Image.open(file) as picture:
            assert 400 < picture.width <= make.WIDTH, name


@pytest.mark.long
def test_the_script_draws_all_pictures(make: Any, tmp_path: Path) -> None:
    pytest.importorskip("talib")
    pytest.importorskip("kaleido")
    make.main(tmp_path)
    for name in make.PICTURES:
        with Image.open(tmp_path / f"{name}.png") as drawn, Image.open(IMAGES / f"{name}.png") as stored:
            assert drawn.size == stored.size, name
        assert (tmp_path / f"{name}.png").stat().st_size <= make.MOST_BYTES
