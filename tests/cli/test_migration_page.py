"""docs/migration.md: every command on it works, in the order of the page, without a network; every import is there.

Lumibot's own Yahoo source creates the caches that are migrated, from a loopback server.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pandas as pd
import pytest
from lumibot.tools import yahoo_helper

from cli.forked_commands import forked_commands
from lumibot_duckdb import DuckDBDataStorage
from parity.ground import FOREIGN
from sources.yahoo.market import new_york_days, walk
from sources.yahoo.server import Instrument, YahooServer
from sources.yahoo.sides import Side

PAGE = (Path(__file__).parents[2] / "docs" / "migration.md").read_text()
BLOCKS = re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL)
# Python loads this first in every process: it logs and refuses every connection.
NO_NETWORK = """
import os, socket
def refuse(self, address, *rest):
    if self.family != socket.AF_UNIX:
        with open(os.environ["NETWORK_LOG"], "a") as log:
            log.write(f"{address}\\n")
        raise OSError("no network here")
socket.socket.connect = socket.socket.connect_ex = refuse
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with the script of the page, and in `cache` what Lumibot cached."""
    folder = tmp_path
    script = re.fullmatch(r"\$ cat my_strategy.py\n(.*)", BLOCKS[0], re.DOTALL)
    assert script is not None
    (folder / "my_strategy.py").write_text(script[1])
    (folder / "python").mkdir()
    (folder / "python" / "sitecustomize.py").write_text(NO_NETWORK)
    days = new_york_days("2021-06-01", "2024-04-19")
    instruments = {
        "SPY": Instrument(walk(days, 1, price=400.0), kind="ETF", dividends={day.date(): 1.5 for day in days[10::63]}),
        "^IRX": Instrument(walk(days, 3, price=5.0), kind="INDEX"),
    }
    with YahooServer(instruments=instruments) as server:
        server.now = pd.Timestamp("2024-04-20 12:00", tz="UTC")
        side = Side(None, folder)
        with (
            side.entered(server),
            mock.patch.object(yahoo_helper.YahooHelper, "LUMIBOT_YAHOO_CACHE_FOLDER", str(folder / "cache" / "yahoo")),
        ):
            (folder / "cache" / "yahoo").mkdir(parents=True)
            for symbol in instruments:
                assert len(yahoo_helper.YahooHelper.get_symbol_data(symbol)) == len(days)
    return folder


@pytest.fixture
def environment(place: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment of the page's commands."""
    environment = {
        **{name: value for name, value in os.environ.items() if name not in FOREIGN},
        "PYTHONPATH": os.pathsep.join([str(place / "python"), *filter(None, [os.environ.get("PYTHONPATH")])]),
        "LUMIBOT_CACHE_FOLDER": str(place / "cache"),
        "LUMIBOT_DISABLE_DOTENV": "1",
        "NETWORK_LOG": str(place / "network.log"),
        "IS_BACKTESTING": "true",
    }
    with forked_commands(tmp_path_factory.mktemp("commands") / "bin", environment) as environment:
        yield environment


def commands() -> list[str]:
    """Return the commands of the page, each once. Those that delete come last, since all others need the files."""
    shown = [line.removeprefix("$ ") for block in BLOCKS[1:] for line in block.splitlines() if line.startswith("$ ")]
    return sorted(dict.fromkeys(shown), key=lambda command: "--delete" in command)


@pytest.mark.parametrize(
    "without",
    [
        # What runs the script on Lumibot's own storage. Comparisons are tested elsewhere.
        pytest.param(r"LUMIBOT_USE_DUCKDB=false .*|python .*|.* compare .*", id="but those on Lumibot's storage"),
        pytest.param("", id="all", marks=pytest.mark.long),
    ],
)
def test_every_command_works_offline_and_the_comparison_is_identical(
    without: str, place: Path, environment: dict[str, str]
) -> None:
    pickles = {path: path.read_bytes() for path in place.glob("cache/yahoo/*.pickle")}
    assert len(pickles) == 4, "of each symbol its days, and what it is"
    said = {}
    for command in commands():
        if re.fullmatch(without, command):
            continue
        ended = subprocess.run(["bash", "-c", command], cwd=place, env=environment, capture_output=True, text=True)
        assert ended.returncode == 0, (command, ended.stdout, ended.stderr)
        said[command] = ended.stdout + ended.stderr
        if "--delete" not in command:
            assert {path: path.read_bytes() for path in place.glob("cache/yahoo/*.pickle")} == pickles, command
        if "--dry-run" in command:
            assert not list(place.rglob("*.duckdb*")), "a dry run writes nothing"
    assert not list(place.glob("cache/yahoo/*.pickle"))
    if not without:
        compared = [text for command, text in said.items() if " compare " in command]
        assert compared
        assert all("identical: " in text for text in compared)
        assert "<html" in (place / "report.html").read_text()
    runs = [text for command, text in said.items() if command.endswith("run my_strategy.py")]
    assert ["DuckDB: " in text for text in runs] == [True, *([] if without else [False])]
    assert " no downloads, " in runs[0]
    assert not (place / "network.log").exists(), (place / "network.log").read_text()
    series = DuckDBDataStorage(place / "cache" / "duckdb").list_series()
    assert [each.key.asset.symbol for each in series] == ["SPY", "^IRX"]


def test_every_import_of_the_table_is_there() -> None:
    rows = re.findall(
        r"\| `(from lumibot\.\S+ import \w+)` \| `(from lumibot_duckdb\.backtesting import \w+)` \|", PAGE
    )
    assert len(rows) == 8
    for before, after in rows:
        theirs: dict[str, Any] = {}
        ours: dict[str, Any] = {}
        exec(before, theirs)
        exec(after, ours)
        name = before.split()[-1]
        assert issubclass(ours[name], theirs[name])


def test_every_variable_of_ours_is_on_the_page() -> None:
    sources = Path(__file__).parents[2].joinpath("src").rglob("*.py")
    named = {
        name for path in sources for name in re.findall(r"\bLUMIBOT_(?:DUCKDB_\w+|USE_DUCKDB)\b", path.read_text())
    }
    assert {name for name in named if f"`{name}`" not in PAGE} == set()
