"""Scripts that cannot be swept, scripts that cannot be forked, and strategies without a script."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

from lumibot_duckdb.sweeps.errors import TargetError, TargetKilledError
from lumibot_duckdb.sweeps.trials import process_safety
from lumibot_duckdb.sweeps.trials.process_safety import why_not_to_fork
from lumibot_duckdb.sweeps.trials.running import TrialSettings, close, describe, prepare, run_trial
from lumibot_duckdb.sweeps.trials.target import ScriptTarget
from lumibot_duckdb.sweeps.trials.trial import Limits, Trial
from sweeps.plain_record import SCRIPTS, assert_same_results, run_alone

WITHOUT_KEYS = {"LUMIBOT_DISABLE_DOTENV": "1"}


@contextmanager
def written(folder: Path, text: str, strategy: str | None = None) -> Iterator[ScriptTarget]:
    script = folder / "script.py"
    script.write_text(text)
    target = ScriptTarget(
        str(script), strategy=strategy, store=folder / "s.duckdb", environment=WITHOUT_KEYS, folder=folder
    )
    try:
        yield target
    finally:
        close(target)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("print(1)", "ended without a call of Strategy.backtest or Strategy.run_backtest"),
        ("print('one')\n1 / 0", "failed before its backtest: ZeroDivisionError: division by zero"),
        ("import sys\nsys.exit(3)", "failed before its backtest: it ended with exit code 3"),
        ("import os\nos._exit(4)", "ended with code 4, before its backtest"),
        ("x = (", "failed before its backtest: SyntaxError"),
        ("token = 'api_key=abcdef123'\nraise ValueError(token)", r"ValueError: api_key=\[hidden\]"),
    ],
)
def test_a_script_without_a_backtest_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with written(tmp_path, text) as target, pytest.raises(TargetError, match=message) as refused:
        describe(target)
    if "1 / 0" in text:
        assert 'script.py", line 2' in refused.value.details
        assert refused.value.details.endswith("Last lines of the output:\none")
        assert "lumibot_duckdb" not in refused.value.details


def test_a_script_that_is_killed_before_its_backtest_is_started_again_for_a_trial(tmp_path: Path) -> None:
    """The system may kill it while other trials need all the memory."""
    killed = "import os, signal\nopen('starts', 'a').write('x')\nos.kill(os.getpid(), signal.SIGKILL)"
    message = "was killed by SIGKILL, which the system sends when memory runs out, before its backtest"
    with written(tmp_path, killed) as target:
        with pytest.raises(TargetKilledError, match=message):
            run_trial(target, Trial(1, {}))
        assert (tmp_path / "starts").read_text() == "xxx"
        with pytest.raises(TargetKilledError, match=message):
            describe(target)
        assert (tmp_path / "starts").read_text() == "xxxx"


def test_a_script_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TargetError, match=r"cannot read the script nowhere\.py"):
        describe(ScriptTarget("nowhere.py", folder=tmp_path))


def test_nothing_is_imported_before_the_script_that_it_could_configure(tmp_path: Path) -> None:
    with (
        written(tmp_path, "import sys\nraise ValueError('lumibot' in sys.modules)") as target,
        pytest.raises(TargetError, match="ValueError: False"),
    ):
        describe(target)


@pytest.mark.skipif(sys.platform != "linux", reason="processes are forked on Linux only")
def test_a_process_with_other_threads_is_not_forked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_safety, "_native_threads", list)  # other tests of this process may have used polars
    running = [each for each in threading.enumerate() if each is not threading.current_thread()]
    assert why_not_to_fork(running) == ""
    goes_on = threading.Event()
    other = threading.Thread(target=goes_on.wait, name="feed of prices")
    other.start()
    try:
        assert why_not_to_fork(running) == "the script has started threads: feed of prices"
    finally:
        goes_on.set()
        other.join()


_LIVE = """
from lumibot.brokers import Broker
from lumibot.traders import Trader
from lumibot.strategies import Strategy

trader = Trader()
broker = type("LiveBroker", (), {"is_backtesting_broker": lambda self: False})
trader._strategies.append(type("Live", (), {"broker": broker()})())
trader.run_all()
"""


@pytest.mark.long
def test_live_trading_is_refused(tmp_path: Path) -> None:
    with written(tmp_path, _LIVE) as target, pytest.raises(TargetError, match="the script starts live trading"):
        describe(target)


@pytest.mark.long
def test_a_strategy_that_is_not_backtested_is_refused_with_a_suggestion(tmp_path: Path) -> None:
    script = str(SCRIPTS / "crossover.py")
    target = ScriptTarget(script, strategy="Crosover", environment=WITHOUT_KEYS, folder=tmp_path)
    with pytest.raises(TargetError, match=r"has no backtest of 'Crosover'; did you mean 'Crossover'\?"):
        describe(target)


@pytest.mark.long
@pytest.mark.parametrize("start", ["auto", "spawn"])
def test_a_script_with_threads_runs_anew_for_each_trial(tmp_path: Path, start: str) -> None:
    text = (SCRIPTS / "crossover.py").read_text()
    if start == "auto":
        text = text.replace(
            'print("the script has begun")',
            'import threading; threading.Thread(target=time.sleep, args=(600,), daemon=True, name="feed").start()',
        )
    with written(tmp_path, text, "Crossover") as target:
        settings = TrialSettings(start=start)  # type: ignore[arg-type]
        found = describe(target, settings)
        assert not found.is_forked
        assert found.reason == ("it was chosen" if start == "spawn" else "the script has started threads: feed")
        values = {"fast": 3, "slow": 15}
        assert_same_results(
            run_trial(target, Trial(1, values), settings=settings),
            run_alone(SCRIPTS / "crossover.py", values, tmp_path),
        )
        assert run_trial(target, Trial(2, {"does": "segfault"}), settings=settings).status == "crashed"
        assert run_trial(target, Trial(3, {"does": "raise"}), settings=settings).status == "failed"
        timeout = run_trial(target, Trial(4, {"does": "hang"}), Limits(seconds=1), settings)
        assert timeout.status == "timeout"
        assert timeout.cpu_seconds > 0


_CLASS = """
import sys
from datetime import datetime

import numpy as np
import pandas as pd
from lumibot.backtesting import PandasDataBacktesting
from lumibot.entities import Asset, Data
from lumibot.strategies import Strategy

from lumibot_duckdb.sweeps.trials.running import close, describe, run_trial
from lumibot_duckdb.sweeps.trials.target import ClassTarget
from lumibot_duckdb.sweeps.trials.trial import Trial


class Holding(Strategy):
    parameters = {"quantity": 1}

    def initialize(self):
        self.sleeptime = "1D"

    def on_trading_iteration(self):
        if self.first_iteration:
            self.submit_order(self.create_order("ABC", self.parameters["quantity"], "buy"))


if __name__ == "__main__":
    days = pd.date_range("2024-01-02", "2024-03-01", freq="B", tz="America/New_York")
    price = np.arange(len(days)) + 100.0
    bars = pd.DataFrame({name: price for name in ("open", "high", "low", "close", "volume")}, index=days)
    asset = Asset("ABC")
    target = ClassTarget(
        Holding,
        {
            "datasource_class": PandasDataBacktesting,
            "backtesting_start": datetime(2024, 1, 8),
            "backtesting_end": datetime(2024, 2, 8),
            "pandas_data": {asset: Data(asset, bars, timestep="day")},
            "benchmark_asset": None,
            "risk_free_rate": 0.0,
        },
    )
    print(describe(target).parameters)
    for quantity in (10, 20):
        record = run_trial(target, Trial(1, {"quantity": quantity}))
        fills = [each["quantity"] for each in record.trades.to_pylist() if each["event"] == "fill"]
        print(record.status, record.error, fills)
    close()
"""


@pytest.mark.long
def test_a_class_of_the_running_script_is_swept(tmp_path: Path) -> None:
    script = tmp_path / "sweeping.py"
    script.write_text(_CLASS)
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.stdout.splitlines()[-3:] == ["{'quantity': 1}", "complete None [10.0]", "complete None [20.0]"], (
        done.stderr
    )


@pytest.mark.long
def test_bars_of_the_store_give_the_same_results_as_the_script_alone(tmp_path: Path) -> None:
    from lumibot_duckdb import DuckDBDataStorage, clock

    scripts: dict[str, object] = {}
    exec(compile((SCRIPTS / "crossover.py").read_text(), "crossover.py", "exec"), scripts)
    store = tmp_path / "s.duckdb"
    with DuckDBDataStorage(store) as storage:
        for symbol in ("AAA", "BBB", "CCC"):
            storage.store_ohlcv_data(symbol, scripts["bars"](symbol), "csv", "day")  # type: ignore[operator]
    script = str(SCRIPTS / "crossover.py")
    target = ScriptTarget(script, ("stored",), store=store, environment=WITHOUT_KEYS, folder=tmp_path)
    alone = run_alone(SCRIPTS / "crossover.py", {"slow": 30}, tmp_path, ["stored"], {"LUMIBOT_DUCKDB_PATH": str(store)})
    try:
        assert_same_results(prepare(target, Trial(1, {"slow": 30})), alone)
        as_of = clock.utc_now()
        with DuckDBDataStorage(store) as storage:
            restated = scripts["bars"]("AAA") * 2  # type: ignore[operator]
            storage.store_ohlcv_data("AAA", restated, "csv", "day", replace=True)
        pinned = run_trial(target, Trial(1, {"slow": 30}), settings=TrialSettings(as_of=as_of))
        assert_same_results(pinned, alone)
        current = run_trial(target, Trial(1, {"slow": 30}))
        assert current.equity != alone.equity
    finally:
        close(target)


@pytest.mark.long
def test_trials_die_with_the_process_that_started_them(tmp_path: Path) -> None:
    text = (
        "import sys\nfrom lumibot_duckdb.sweeps.trials.running import run_trial\n"
        "from lumibot_duckdb.sweeps.trials.target import ScriptTarget\n"
        "from lumibot_duckdb.sweeps.trials.trial import Trial\n"
        f"target = ScriptTarget({str(SCRIPTS / 'crossover.py')!r}, strategy='Crossover', folder={str(tmp_path)!r})\n"
        "run_trial(target, Trial(1, {'does': 'hang'}))\n"
    )
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen([sys.executable, "-c", text], cwd=tmp_path, env=environment) as process:
        try:
            family = _server_and_trial(psutil.Process(process.pid))
        finally:
            process.kill()
    _, alive = psutil.wait_procs(family, timeout=20)
    assert alive == []
    assert list(tmp_path.glob("lumibot-duckdb-sweep-*")) == []


def _server_and_trial(started: psutil.Process) -> list[psutil.Process]:
    """Wait until a trial runs; return it and its server."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        family: list[psutil.Process] = started.children(recursive=True)
        if len(family) == 2 and family[-1].cpu_times().user > 0.05:
            return family
        time.sleep(0.1)
    raise AssertionError("no trial has started")
