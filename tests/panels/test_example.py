"""The example trains on a panel and trades on its predictions, and checks that neither sees the future."""

from __future__ import annotations

import importlib.util
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("sklearn")
pytestmark = [pytest.mark.xdist_group("scikit-learn"), pytest.mark.usefixtures("one_thread")]  # it is imported once

EXAMPLE = Path(__file__).parents[2] / "examples" / "train_and_backtest.py"


@pytest.fixture
def example() -> Any:
    spec = importlib.util.spec_from_file_location("train_and_backtest", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(example: Any, folder: Path, capsys: pytest.CaptureFixture[str], **dates: datetime) -> str:
    example.main(str(folder), **dates)
    return capsys.readouterr().out


@pytest.mark.usefixtures("clean_directory")
def test_the_example(example: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    printed = run(example, tmp_path, capsys, until=datetime(2023, 1, 18), garbage_from=datetime(2023, 1, 11))
    assert "after 44 decisions" in printed
    assert "44 decisions were made on the features of the panel" in printed
    assert "with garbage from 2023-01-11 on, the model and 20 earlier decisions are the same" in printed


@pytest.mark.long
@pytest.mark.usefixtures("clean_directory")
def test_the_whole_example(example: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    printed = run(example, tmp_path, capsys)
    assert "512 decisions were made on the features of the panel" in printed
    assert "with garbage from 2023-04-03 on, the model and 252 earlier decisions are the same" in printed


@pytest.mark.usefixtures("clean_directory")
def test_the_example_notices_features_of_the_future(example: Any, tmp_path: Path) -> None:
    """What the example asserts would fail for a strategy that reads the bar of its own day."""
    storage = example.DuckDBDataStorage(tmp_path / "bars.duckdb")
    example.fill(storage)
    panel = storage.panel(example.SYMBOLS, example.FEATURES, start="2023-01-03", end="2023-01-10")
    early = panel.rename(columns={"asset_symbol": "symbol"}).assign(time=panel["timestamp"], buy=True)
    with pytest.raises(AssertionError):
        example.decided_on_the_panel(storage, early)
    right = early.assign(time=early["timestamp"] + example.pd.DateOffset(days=1))
    assert example.decided_on_the_panel(storage, right) == len(right)
    with pytest.raises(AssertionError):
        example.decided_on_the_panel(storage, right.assign(return_1=right["return_1"].shift(-1)))
    storage.close()
