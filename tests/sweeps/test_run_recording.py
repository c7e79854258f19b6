"""`run --record` stores what the script itself sees of its backtests, and never stops it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lumibot_duckdb.results import ResultsDatabase

KEY = "key-of-a-broker-123"
SCRIPT = """\
import json, shutil, sys
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd
from lumibot.backtesting import PandasDataBacktesting
from lumibot.entities import Asset, Data, TradingFee
from lumibot.strategies import Strategy

RESULTS = Path("store-results.duckdb")
days = pd.date_range("2024-01-01", "2024-03-01", tz="America/New_York")
closes = 100 * np.exp(np.random.default_rng(5).normal(0, 0.02, len(days)).cumsum())
frame = pd.DataFrame({"open": closes, "high": closes * 1.01, "low": closes * 0.99, "close": closes}, days)
frame["volume"] = 1e6


class Switching(Strategy):
    parameters = {"every": 3, "account": {"api_key": "KEY"}}

    def on_trading_iteration(self):
        position = self.get_position("AAA")
        if position is None:
            self.submit_order(self.create_order("AAA", 10, "buy"))
        elif self.get_datetime().day % self.parameters["every"] == 0:
            self.submit_order(self.create_order("AAA", position.quantity, "sell"))


class Failing(Switching):
    def on_trading_iteration(self):
        raise KeyError("no KEY for it")


def backtest(strategy, **settings):
    asset = Asset("AAA")
    return strategy.run_backtest(
        PandasDataBacktesting, datetime(2024, 1, 5), datetime(2024, 2, 20),
        pandas_data={asset: Data(asset, frame, timestep="day")}, buy_trading_fees=[TradingFee(percent_fee=0.001)],
        benchmark_asset=None, risk_free_rate=0.02, show_plot=False, show_tearsheet=False, save_tearsheet=False,
        show_indicators=False, quiet_logs=True, analyze_backtest=False, **settings,
    )


seen = []
for every in (3, 4):
    analysis, strategy = backtest(Switching, parameters={"every": every})
    log = strategy.broker._trade_event_log_df
    fills = log[log["status"] == "fill"]
    seen.append({
        "total_return": float(analysis["total_return"]), "value": strategy.portfolio_value,
        "values": strategy.stats["portfolio_value"].tolist(), "times": [str(time) for time in strategy.stats.index],
        "fills": [[str(row["time"]), row["price"], row["filled_quantity"]] for _, row in fills.iterrows()],
    })
try:
    backtest(Failing)
except KeyError:
    pass
print(json.dumps({"seen": seen, "arguments": sys.argv[1:]}))
if RESULTS.exists():
    shutil.copy(RESULTS, "kept.duckdb")
    RESULTS.write_text("no database")
    backtest(Switching)
    backtest(Switching)
print("the end")
sys.exit(5)
""".replace("KEY", KEY)


@dataclass
class Recorded:
    ended: subprocess.CompletedProcess[str]
    seen: list[dict[str, Any]]
    results: ResultsDatabase


def run(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    (folder / "my.py").write_text(SCRIPT)
    environment = {**os.environ, "MY_BROKER_KEY": KEY, "LUMIBOT_DUCKDB_PATH": str(folder / "store.duckdb")}
    command = [sys.executable, "-m", "lumibot_duckdb", "run", *options, "my.py", "--key", KEY]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    folder = tmp_path_factory.mktemp("recorded")
    ended = run(folder, "--record", "--name", "try")
    printed = json.loads(next(line for line in ended.stdout.splitlines() if line.startswith("{")))
    assert printed["arguments"] == ["--key", KEY]
    return Recorded(ended, printed["seen"], ResultsDatabase(folder / "kept.duckdb"))


pytestmark = pytest.mark.xdist_group("run recording")  # the script runs once


def test_the_script_ends_as_it_would(recorded: Recorded) -> None:
    assert recorded.ended.returncode == 5, recorded.ended
    assert recorded.ended.stdout.endswith("the end\n")


def test_each_backtest_is_a_run_with_its_own_name(recorded: Recorded) -> None:
    rows = recorded.results.sweeps("arrow").to_pylist()
    assert [(row["sweep"], row["kind"], row["status"], row["strategy"]) for row in rows] == [
        ("try", "run", "complete", "Switching"),
        ("try-2", "run", "complete", "Switching"),
        ("try-3", "run", "failed", "Failing"),
    ]
    record = recorded.results.sweep("try").record
    assert record.script == "my.py --key [hidden]"
    assert record.store is not None
    assert record.store.endswith("store.duckdb")
    assert record.settings["start"].startswith("2024-01-05")
    assert record.settings["source"].endswith("PandasDataBacktesting")


def test_the_record_has_what_the_script_sees(recorded: Recorded) -> None:
    for name, every, seen in zip(("try", "try-2"), (3, 4), recorded.seen, strict=True):
        record = recorded.results.trial(name, 1)
        assert record.status == "complete"
        assert record.parameters == {"every": every, "account": {"api_key": "[hidden]"}}
        assert record.equity is not None
        assert record.trades is not None
        assert record.equity["value"].to_pylist() == seen["values"]
        times = record.equity.to_pandas()["time"].dt.tz_convert("America/New_York")
        assert list(map(str, times)) == seen["times"]
        fills = record.trades.to_pandas().query("event == 'fill'")
        fills["time"] = fills["time"].dt.tz_convert("America/New_York").map(str)
        assert fills[["time", "price", "quantity"]].to_numpy().tolist() == seen["fills"]
        assert record.statistics["end_value"] == seen["values"][-1]
        assert record.statistics["total_return"] == pytest.approx(seen["total_return"])
        assert record.statistics["closed_trades"] == len(seen["fills"]) // 2
        assert record.seconds > 0
        assert record.cpu_seconds > 0
        assert record.peak_memory > 50e6
        assert record.versions["lumibot"]


def test_a_backtest_that_failed_is_recorded_without_keys(recorded: Recorded) -> None:
    record = recorded.results.trial("try-3", 1)
    assert (record.status, record.error) == ("failed", "KeyError: 'no [hidden] for it'")
    assert record.traceback is not None
    assert "my.py" in record.traceback
    assert "run_recording" not in record.traceback
    assert KEY not in repr(record)


def test_an_error_of_recording_is_one_warning(recorded: Recorded) -> None:
    warnings = [line for line in recorded.ended.stderr.splitlines() if "could not record a backtest" in line]
    assert len(warnings) == 1, recorded.ended.stderr
    assert "not a DuckDB file" in warnings[0]


@pytest.mark.long
def test_the_output_and_the_files_are_those_without_recording(recorded: Recorded, tmp_path: Path) -> None:
    plain = run(tmp_path)
    assert plain.returncode == 5
    folder = recorded.results.path.parent
    printed = [[line for line in each.stdout.splitlines() if line.startswith("{")] for each in (plain, recorded.ended)]
    assert printed[0] == printed[1] != []
    kinds = [
        {file.name.rpartition("_")[2] for file in each.rglob("*") if file.is_file()} for each in (tmp_path, folder)
    ]
    ours = {f"{name}.duckdb{end}" for name in ("kept", "store-results") for end in ("", ".lock", ".turn")}
    assert kinds[1] - ours == kinds[0]
