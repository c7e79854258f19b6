"""Pages have the smallest bundle of plotly.js that draws them, and the bundles are what the registry had."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
from plotly.offline import get_plotlyjs

from comparison.browser import CHROMIUM, browser
from lumibot_duckdb.pages import bundles
from lumibot_duckdb.pages.page import whole_page

FOLDER = Path(bundles.__file__).with_name("plotly")
SOURCES: dict[str, dict[str, str]] = json.loads((FOLDER / "sources.json").read_text())
# Plots of every type that a bundle is said to draw.
DATA: dict[str, dict[str, Any]] = {
    "candlestick": {"open": [1, 2], "high": [3, 3], "low": [1, 1], "close": [2, 1]},
    "ohlc": {"open": [1, 2], "high": [3, 3], "low": [1, 1], "close": [2, 1]},
    "contour": {"z": [[1, 2], [3, 4]]},
    "heatmap": {"z": [[1, 2], [3, 4]]},
    "histogram": {"x": [1, 2, 2]},
    "pie": {"values": [1, 2]},
    "box": {"y": [1, 2, 3]},
}


def plot(kind: str) -> dict[str, Any]:
    return {"data": [{"type": kind, **DATA.get(kind, {"x": [1, 2], "y": [1, 2]})}], "layout": {}}


def page(*kinds: str, traces: tuple[str, ...] = ()) -> str:
    body = "".join(f'<div class="plot" data-plot="{kind}"></div>' for kind in kinds)
    return whole_page("Plots", body, {kind: plot(kind) for kind in kinds}, traces=traces)


def test_each_bundle_is_the_published_file() -> None:
    assert set(SOURCES) == {name for name, _ in bundles.BUNDLES} == {path.name for path in FOLDER.glob("*.js")}
    for name, source in SOURCES.items():
        content = (FOLDER / name).read_bytes()
        assert hashlib.sha256(content).hexdigest() == source["sha256"]
        assert f"v{source['version']}\n".encode() in content[:200]
    assert (FOLDER / "LICENSE").read_text().startswith("MIT License")


def test_the_bundles_belong_to_the_installed_plotly() -> None:
    """Its figures may use what plotly.js of the same minor version understands."""
    found = re.search(r"plotly\.js v(\d+\.\d+)\.", get_plotlyjs()[:200])
    assert found is not None
    assert {source["version"].rpartition(".")[0] for source in SOURCES.values()} == {found[1]}


@pytest.mark.parametrize(
    ("kinds", "traces", "below"),
    [
        (("scatter", "bar", "candlestick"), (), 1_300_000),
        (("scatter", "heatmap"), (), 1_520_000),
        (("scatter",), ("heatmap",), 1_520_000),
        (("scatter", "heatmap", "candlestick"), (), 5_000_000),
        (("sunburst",), (), 5_000_000),
    ],
)
def test_the_smallest_bundle_with_all_traces_is_chosen(
    kinds: tuple[str, ...], traces: tuple[str, ...], below: int
) -> None:
    assert below * 0.9 < len(page(*kinds, traces=traces)) < below


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_a_bundle_draws_what_it_is_listed_with(tmp_path: Path) -> None:
    with browser(tmp_path) as opened:
        for name, kinds in bundles.BUNDLES:
            file = tmp_path / f"{name}.html"
            file.write_text(page(*sorted(kinds)), encoding="utf-8")
            opened.open(file, 1000, 800)
            assert opened.errors == []
            assert opened.value("Plotly.version") == SOURCES[name]["version"]
            types = "[...document.querySelectorAll('.plot')].map(plot => plot._fullData[0].type)"
            assert opened.value(types) == sorted(kinds)
