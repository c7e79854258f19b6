"""`lumibot-duckdb run` on Lumibot's example strategies: scripts with Lumibot's own import, on all four sources.

That each trades the same on both classes is tested elsewhere; here, that an unmodified script gets ours,
whether it names Lumibot's class or `BACKTESTING_DATA_SOURCE` names the source.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
import pytest

from cli.files import PROGRAM
from lumibot_duckdb import DuckDBDataStorage, deactivate
from lumibot_duckdb.activation.script import run_script
from lumibot_duckdb.cli.main import main
from parity.backtests import UNREPEATABLE, BacktestResult, assert_same_result
from parity.example_runs import GROUNDS
from parity.ground import FOREIGN

SCRIPT = """
import sys
from pathlib import Path

from lumibot.backtesting import {source}

from parity.backtests import run
from parity.example_runs import GROUNDS

ground, name, folder = sys.argv[1:]
example = GROUNDS[ground].runs[name]
result = run(
    example.load(),
    {source},
    Path(folder),
    example.start,
    example.end,
    example.all_parameters(),
    **GROUNDS[ground].settings | example.keywords,
)
"""
ALL = [(ground, name) for ground, there in GROUNDS.items() for name in there.runs]
# One of each kind; every one of them is run in make soak.
SOME = {
    ("polygon", "bracket"),
    ("yahoo", "momentum"),
    ("alpaca", "first_backtest"),
    ("ccxt days", "ccxt_example"),
}


@pytest.fixture(scope="module")
def server_of() -> Iterator[Callable[[str], Any]]:
    """Return the server of a ground, which runs until the last test of the module."""
    with ExitStack() as running:
        servers: dict[str, Any] = {}

        def server(ground: str) -> Any:
            if ground not in servers:
                servers[ground] = running.enter_context(GROUNDS[ground].served())
            return servers[ground]

        yield server


@pytest.fixture(autouse=True)
def process_is_given_back(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])
    monkeypatch.setattr(sys, "argv", list(sys.argv))
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    deactivate()


def ran(start: Callable[[], object]) -> BacktestResult:
    """Return the result of the script that `start` runs."""
    start()
    main_module: ModuleType = sys.modules["__main__"]
    result: BacktestResult = main_module.result
    return result


@pytest.mark.parametrize(
    ("ground", "name"), [pytest.param(*run, marks=[] if run in SOME else [pytest.mark.long]) for run in ALL]
)
def test_an_example_runs_on_the_store_as_it_is(
    ground: str, name: str, tmp_path: Path, server_of: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    there, server = GROUNDS[ground], server_of(ground)
    by_environment = sorted(there.runs).index(name) % 2 == 1
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(source="PandasDataBacktesting" if by_environment else there.class_name))
    results = []
    for side in ("theirs", "ours"):
        folder = tmp_path / side
        arguments = [ground, name, str(folder / "run")]
        with there.entered(folder, server):
            if by_environment:
                monkeypatch.setenv("BACKTESTING_DATA_SOURCE", there.word)
            if side == "theirs":
                results.append(ran(lambda given=arguments: run_script(script, given)))
            else:
                results.append(ran(lambda given=arguments: main(["run", str(script), *given])))
    theirs, ours = results
    assert_same_result(theirs, ours, fills=there.runs[name].fills)
    sources = [result.strategy.broker.data_source for result in results]
    assert [type(source).__name__ for source in sources] == [there.class_name] * 2
    assert type(sources[0]).__module__.startswith("lumibot.")
    assert type(sources[1]).__module__.startswith("lumibot_duckdb.")
    assert sources[1].use_duckdb
    assert not (tmp_path / "theirs" / "store.duckdb").exists()
    asked_for_bars = (tmp_path / "theirs" / "lumibot").exists() and any((tmp_path / "theirs" / "lumibot").rglob("*.*"))
    stored = DuckDBDataStorage(tmp_path / "ours" / "store.duckdb").list_series()
    assert bool(stored) == asked_for_bars
    assert [file for file in (tmp_path / "ours" / "lumibot").rglob("*") if file.is_file()] == []


BEFORE_ANYTHING_ELSE = """
import sys
if {program!r} in sys.argv[0]:
    from types import SimpleNamespace
    import pandas as pd
    from sources.yahoo.sides import Side
    from pathlib import Path
    server = SimpleNamespace(url={url!r}, moment=lambda: pd.Timestamp({moment!r}))
    ground = Side(None, Path({folder!r})).entered(server)
    ground.__enter__()
"""


@pytest.mark.long
def test_the_file_that_lumibot_ships_runs_from_the_shell(tmp_path: Path, server_of: Callable[[str], Any]) -> None:
    """Scripts run in separate processes; only a `sitecustomize` directs them to the loopback server."""
    shipped = Path(import_module("lumibot.example_strategies").__file__ or "").with_name("stock_bracket.py")
    server = server_of("yahoo")
    results = {}
    for side, call in (("theirs", [sys.executable, shipped]), ("ours", [PROGRAM, "run", shipped])):
        folder = tmp_path / side
        folder.mkdir()
        (folder / "sitecustomize.py").write_text(
            BEFORE_ANYTHING_ELSE.format(
                program=shipped.name if side == "theirs" else PROGRAM.name,
                url=server.url,
                moment=str(server.moment()),
                folder=str(folder),
            )
        )
        paths = [str(folder), str(Path(__file__).parents[1]), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
        environment = {
            **{name: value for name, value in os.environ.items() if name not in FOREIGN},
            "PYTHONPATH": os.pathsep.join(paths),
            "SHOW_PLOT": "False",
            "SHOW_TEARSHEET": "False",
            "SHOW_INDICATORS": "False",
        }
        ended = subprocess.run(list(map(str, call)), cwd=folder, env=environment, capture_output=True, text=True)
        assert ended.returncode == 0, ended.stderr
        told = [line for line in ended.stderr.splitlines() if line.startswith("DuckDB: ")]
        assert len(told) == (side == "ours")
        (events,) = folder.glob("logs/*_trade_events.csv")
        (stats,) = folder.glob("logs/*_stats.csv")
        trades = pd.read_csv(events, dtype=str)
        trades = trades.drop(columns=[name for name in UNREPEATABLE if name in trades])
        results[side] = (trades, pd.read_csv(stats, dtype=str)[["datetime", "portfolio_value", "cash"]])
    for theirs, ours in zip(results["theirs"], results["ours"], strict=True):
        pd.testing.assert_frame_equal(theirs, ours)
    assert (results["ours"][0]["status"] == "fill").sum() > 1
    assert (tmp_path / "ours" / "store.duckdb").exists()
    assert list((tmp_path / "ours" / "lumibot").rglob("*.pickle")) == []
