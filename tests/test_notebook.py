"""examples/analytics.ipynb runs and shows what it has. `PYTHONPATH=tests python tests/test_notebook.py` updates it.

The update needs Kaleido and Chrome or Chromium: next to the figures that notebooks show, it stores a picture of each
for viewers that only show pictures, such as GitHub's.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).resolve().parents[1] / "examples" / "analytics.ipynb"
FIGURE = "application/vnd.plotly.v1+json"
MOST_BYTES = 300_000


def executed(folder: Path, renderer: str) -> Any:
    """Return the notebook after its cells ran in a folder. Cells with the tag "skip-execution" are left out."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    with mock.patch.dict(os.environ, {"PLOTLY_RENDERER": renderer, "PYTHONWARNINGS": "ignore"}):
        client = NotebookClient(notebook, timeout=300, record_timing=False, resources={"metadata": {"path": folder}})
        client.execute()
    return notebook


def outputs(notebook: Any) -> list[dict[str, Any]]:
    """Return what the cells show, by its format, in their order."""
    return [dict(output["data"]) for cell in notebook.cells for output in cell.get("outputs", ())]


def figures(notebook: Any) -> list[Any]:
    """Return the traces of each figure, with six decimals: the last digits differ between processors."""
    drawn = [json.dumps(shown[FIGURE]["data"]) for shown in outputs(notebook) if FIGURE in shown]
    return [json.loads(text, parse_float=lambda number: round(float(number), 6)) for text in drawn]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Any:
    pytest.importorskip("talib")
    return executed(tmp_path_factory.mktemp("notebook"), "plotly_mimetype")


def test_the_cells_show_what_is_stored_in_the_notebook(ran: Any) -> None:
    stored = nbformat.read(NOTEBOOK, as_version=4)
    assert len(stored.cells) == 10
    texts = [
        [shown.get("text/plain") for shown in outputs(notebook) if FIGURE not in shown] for notebook in (ran, stored)
    ]
    assert len(texts[0]) == 6
    assert texts[0] == texts[1]
    assert figures(ran) == figures(stored)


def test_it_ends_with_a_heat_map_and_a_chart(ran: Any) -> None:
    heat_map, chart = (shown[FIGURE]["data"] for shown in outputs(ran)[-2:])
    assert [trace["type"] for trace in heat_map] == ["heatmap"]
    assert [trace["name"] for trace in chart] == ["AAPL", "volume", "sma(50)", "ema(20)", "rsi(14)"]


def test_it_is_small_and_has_pictures_for_other_viewers() -> None:
    assert NOTEBOOK.stat().st_size < MOST_BYTES
    stored = nbformat.read(NOTEBOOK, as_version=4)
    assert ["image/png" in shown for shown in outputs(stored) if FIGURE in shown] == [True, True]
    assert "/home/" not in NOTEBOOK.read_text()
    assert "/tmp/" not in NOTEBOOK.read_text()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as empty:
        nbformat.write(executed(Path(empty), "plotly_mimetype+png"), NOTEBOOK)
