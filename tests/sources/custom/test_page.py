"""docs/adding-a-source.md and its example do what they say, against a loopback server."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lumibot_duckdb import DuckDBDataStorage
from parity.backtests import working_in
from parity.strategies import Crossing
from sources.custom.acme_server import KEY, AcmeServer

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "adding-a-source.md").read_text()
EXAMPLE = ROOT / "examples" / "backtest_your_provider.py"
BLOCKS = re.findall(r"(?<=```python\n).*?(?=```)", PAGE, re.DOTALL)


@pytest.fixture
def server() -> Iterator[AcmeServer]:
    with AcmeServer() as server:
        yield server


class Quiet(Crossing):
    """A strategy without pages and benchmarks, which the page's backtest would open and download."""

    @classmethod
    def backtest(cls, *arguments: Any, **settings: Any) -> Any:
        from lumibot.entities import Asset

        from lumibot_duckdb.comparison.headless import UNATTENDED

        parameters = {"assets": [Asset("SPY")], "sleeptime": "15M", "step": "day", "length": 20}
        return super().backtest(*arguments, **{**UNATTENDED, **settings, "parameters": parameters})


def test_the_page_is_about_thirty_lines_and_runs(server: AcmeServer, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("LUMIBOT_DUCKDB_PATH", str(tmp_path / "store"))
    names: dict[str, Any] = {"url": server.url, "key": KEY, "MyStrategy": Quiet}
    assert BLOCKS[0].strip().count("\n") < 36
    with working_in(tmp_path):
        for block in BLOCKS:
            exec(compile(block, "docs/adding-a-source.md", "exec"), names)
    assert names["results"] is not None
    with_splits = names["AdjustedAcmeProvider"](server.url, KEY)
    server.splits = [{"ex_date": "2024-02-01", "from": 1, "to": 4}]
    assert with_splits.splits("SPY")[0].split_to == 4
    stored = DuckDBDataStorage(tmp_path / "store").list_series(source="acme")
    assert {info.key.timeframe for info in stored} == {"day"}
    assert stored[0].rows > 20


def run_example(server: AcmeServer, folder: Path, key: str = KEY) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "ACME_URL": server.url,
        "ACME_KEY": key,
        "LUMIBOT_DUCKDB_PATH": str(folder / "store"),
        "LUMIBOT_DISABLE_DOTENV": "1",
    }
    return subprocess.run([sys.executable, str(EXAMPLE)], cwd=folder, env=environment, capture_output=True, text=True)


def test_the_example_downloads_once(server: AcmeServer, tmp_path: Path) -> None:
    first = run_example(server, tmp_path)
    assert first.returncode == 0, first.stderr
    assert "SPY" in first.stdout
    assert server.requests
    server.requests.clear()
    second = run_example(server, tmp_path)
    assert server.requests == []
    assert second.stdout.splitlines()[-3:] == first.stdout.splitlines()[-3:]


def test_a_bad_key_ends_the_example_without_showing_it(server: AcmeServer, tmp_path: Path) -> None:
    ended = run_example(server, tmp_path, key="wrong-key-0815")
    assert ended.returncode != 0
    assert "401" in ended.stderr
    assert "wrong-key-0815" not in ended.stdout + ended.stderr
