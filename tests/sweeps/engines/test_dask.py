"""Sweeps on a Dask cluster: what runs where, and what workers refuse."""

from __future__ import annotations

import sys
import time
from concurrent.futures import Future
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from cli.conftest import command  # noqa: F401  a fixture
from cli.files import Command
from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.results.records import TrialRecord
from lumibot_duckdb.sweeps import Sweep, run
from lumibot_duckdb.sweeps.engines import cluster_trials, dask_executor, executor_for, worker
from lumibot_duckdb.sweeps.engines.cluster import ClusterExecutor
from lumibot_duckdb.sweeps.engines.errors import EngineError, WorkerError
from lumibot_duckdb.sweeps.errors import SweepClosedError, SweepError
from lumibot_duckdb.sweeps.trials.running import TrialSettings
from lumibot_duckdb.sweeps.trials.target import PickledTarget, ScriptTarget, Target, TargetDescription
from lumibot_duckdb.sweeps.trials.trial import Limits, Trial
from sweeps.fakes import END, PARAMETERS, START, FakeTrials, Strategy, backtested

distributed = pytest.importorskip("distributed")
pytestmark = pytest.mark.xdist_group("sweeps: dask")


def sweep(address: str, **options: Any) -> Sweep:
    space = {"x": range(1, 13), "y": [0.5, 1.5]}
    return run(Strategy, space, START, END, engine="dask", address=address, name="mine", **options)


def wait_until(reached: Any) -> None:
    deadline = time.monotonic() + 30
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_sweep_on_two_workers(address: str, fake: FakeTrials, tmp_path: Path) -> None:
    found = sweep(address, store=tmp_path / "store")
    assert found.status == "complete"
    expected = {(x, y): backtested(Trial(1, {"x": x, "y": y})) for x in range(1, 13) for y in (0.5, 1.5)}
    records = found.records
    assert sorted(records) == list(range(1, 25))
    assert len(fake.trials) == 24
    for number, record in records.items():
        alone = expected[record.parameters["x"], record.parameters["y"]]
        assert (record.objective, record.status) == (alone.statistics["sharpe"], "complete")
        assert found.database.trial("mine", number).equity == alone.equity
    assert found.database.sweep("mine").record.settings["engine"] == "dask"
    assert found.database.sweep("mine").record.settings["jobs"] == 2
    wait_until(lambda: not worker._targets)  # the workers have ended the target's processes
    assert fake.closed.is_set()


def test_workers_get_the_class_only_as_bytes(
    address: str, fake: FakeTrials, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Target] = []

    def describe(target: Target) -> TargetDescription:
        seen.append(target)
        return fake.describe(target)

    monkeypatch.setattr(worker, "describe", describe)
    sweep(address, store=tmp_path / "store")
    assert isinstance(seen[0], PickledTarget)
    assert (seen[0].name, seen[0].folder, seen[0].store) == ("Strategy", tmp_path, tmp_path / "store/lumibot.duckdb")
    assert seen[0].environment["PYTHONHASHSEED"].isdigit()
    assert str(Path(__file__).parents[2]) in seen[0].environment["PYTHONPATH"].split(":")


def test_a_command_on_a_cluster(address: str, fake: FakeTrials, command: Command) -> None:  # noqa: F811
    (command.folder / "crossing.py").write_text("print('never run')\n")
    options = ("--engine", "dask", "--address", address)
    ended = command("sweep", "crossing.py", "--set", "x=1:6:1", "--name", "mine", *options)
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith("Sweep mine: 6 trials of Strategy, 2 at a time\n6 trials: 6 complete\n")
    ended = command("sweep", "crossing.py", "--set", "x=1:6:1", "--name", "mine", "--resume")  # on this machine
    assert "; 6 are stored already" in ended.out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--engine", "dsk"), "there is no engine 'dsk'; choose one of local, dask, ray"),
        (("--engine", "dask"), "name the address of Dask's scheduler, such as tcp://10.0.0.1:8786"),
        (("--address", "tcp://h:1"), "tcp://h:1 is the address of a cluster: choose the engine, dask or ray, too"),
        (
            ("--engine", "ray", "--optuna", "3", "--pruner", "median"),
            "--pruner needs trials on this machine: leave out --engine, or --pruner",
        ),
    ],
)
def test_wrong_choices(options: tuple[str, ...], message: str, fake: FakeTrials, command: Command) -> None:  # noqa: F811
    (command.folder / "crossing.py").write_text("print('never run')\n")
    ended = command("sweep", "crossing.py", "--set", "x=1:6:1", *options)
    assert (ended.code, ended.out) == (2, "")
    assert message in ended.err
    assert fake.trials == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("dask", "tcp://127.0.0.1:9"), "the Dask scheduler at tcp://127.0.0.1:9 does not answer within 0.2 seconds"),
        (("dask", "nonsense://x"), "the Dask scheduler at nonsense://x does not answer within 0.2 seconds"),
        (("ray", "127.0.0.1:9"), "the Ray cluster at 127.0.0.1:9 does not answer ([Errno 111] Connection refused)"),
    ],
)
def test_a_cluster_that_does_not_answer(
    options: tuple[str, str],
    message: str,
    fake: FakeTrials,
    command: Command,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if options[0] == "ray":
        pytest.importorskip("ray")
    monkeypatch.setattr(dask_executor, "CONNECT_SECONDS", 0.2)
    (command.folder / "crossing.py").write_text("print('never run')\n")
    ended = command("sweep", "crossing.py", "--set", "x=1", "--engine", options[0], "--address", options[1])
    assert (ended.code, ended.out, ended.err.count("\n")) == (1, "", 1)
    assert message in ended.err
    assert fake.trials == []


@pytest.mark.parametrize(("engine", "package"), [("dask", "distributed"), ("ray", "ray")])
def test_an_engine_that_is_not_installed(engine: str, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules, f"lumibot_duckdb.sweeps.engines.{engine}_executor", raising=False)
    with pytest.raises(EngineError, match=rf"needs the package {package}: pip install 'lumibot-duckdb\[{engine}\]'"):
        executor_for(engine, "127.0.0.1:1")


def test_a_scheduler_without_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    distributed = pytest.importorskip("distributed")
    monkeypatch.setattr(dask_executor, "CONNECT_SECONDS", 0.3)
    with (
        distributed.LocalCluster(
            n_workers=0,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            silence_logs=50,
            processes=False,
            protocol="tcp",
        ) as cluster,
        pytest.raises(EngineError, match="has no workers: start some with `dask worker tcp://127"),
    ):
        dask_executor.DaskExecutor(cluster.scheduler_address)


versions = worker.versions_of_run


@pytest.mark.parametrize(
    ("package", "version"), [("lumibot", "3.9.1"), ("lumibot-duckdb", "0.0.9"), ("python", "2.7.18")]
)
def test_workers_with_other_releases_refuse(
    package: str, version: str, address: str, fake: FakeTrials, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "versions_of_run", lambda: {**versions(), package: version})
    with pytest.raises(WorkerError, match=rf"the worker on .* has {package} {version.rpartition('.')[0]}.*, and this"):
        sweep(address, store="store")
    assert fake.trials == []
    assert Sweep("mine", "store/lumibot-results.duckdb").status == "failed"


def test_other_versions_are_recorded_and_reported(
    address: str, fake: FakeTrials, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []  # importing Lumibot replaces the handlers of logs
    monkeypatch.setattr(cluster_trials.logger, "warning", lambda text, *values: said.append(text % values))
    fake.run = lambda trial: replace(backtested(trial), versions={**versions(), "duckdb": "1.4.9"})
    found = sweep(address, store="store")
    assert said == [
        f"trials ran with duckdb 1.4.9, and here is {versions()['duckdb']}; the results file has the versions of each "
        "trial"
    ]
    assert {each.versions["duckdb"] for each in found.records.values()} == {"1.4.9"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"strategy": "Other"}, "the strategy is 'Other', and here 'Strategy'"),
        ({"end": START}, "its end is 2020-01-01, and here 2022-01-01"),
        ({"parameters": {**PARAMETERS, "y": 2.5}}, "the parameter y is 2.5, and here 0.5"),
        ({"parameters": {**PARAMETERS, "z": 1}}, "the parameter z is 1, and here not there"),
    ],
)
def test_a_backtest_that_differs_on_a_worker(
    changes: dict[str, Any], message: str, address: str, fake: FakeTrials, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "describe", lambda target: replace(fake.describe(target), **changes))
    with pytest.raises(WorkerError, match=message):
        sweep(address, store="store")
    assert fake.trials == []


def test_the_time_of_day_may_differ(address: str, fake: FakeTrials, monkeypatch: pytest.MonkeyPatch) -> None:
    later = END.replace(hour=15, minute=3)
    monkeypatch.setattr(worker, "describe", lambda target: replace(fake.describe(target), end=later))
    assert sweep(address, store="store").status == "complete"


def test_a_pruner_needs_this_machine(fake: FakeTrials) -> None:
    with pytest.raises(SweepError, match="a pruner needs trials on this machine"):
        sweep("tcp://127.0.0.1:9", search="optuna", trials=3, pruner="median")


def test_an_error_of_a_worker_ends_the_sweep(address: str, fake: FakeTrials) -> None:
    def run_out(trial: Trial) -> TrialRecord:
        raise ModuleNotFoundError("No module named 'pandas'")

    fake.run = run_out
    with pytest.raises(EngineError, match=r"could not run trial \d+ \(ModuleNotFoundError: No module named 'pandas'\)"):
        sweep(address, store="store")


def test_interrupted_trials_end_on_their_workers(address: str, fake: FakeTrials) -> None:
    """An error of the sweep's process, such as a second Ctrl-C, kills the trials that run elsewhere."""

    def hang(trial: Trial) -> TrialRecord:
        if trial.number == 2:
            raise WorkerError("broken")
        assert fake.closed.wait(30)
        return backtested(trial)

    fake.run = hang
    with pytest.raises(WorkerError, match="broken"):
        sweep(address, store="store")
    assert fake.closed.wait(10)


def test_trials_of_a_lost_sweep_end(address: str, fake: FakeTrials) -> None:
    """A scheduler that loses the connection cancels the trials, which the workers then kill."""
    executor = dask_executor.DaskExecutor(address)
    content = executor.begin("lost", b"")
    started = executor.submit(_hold, content, "lost")
    wait_until(lambda: "lost" in worker._targets)
    executor._client.close()
    wait_until(lambda: "lost" not in worker._targets)
    assert started.cancelled() or started.exception() is not None


def _hold(content: bytes, identity: str) -> None:
    """Stand for a trial that hangs until its target is ended."""
    worker._targets[identity] = worker._Held()
    wait_until(lambda: identity not in worker._targets)


class LosingExecutor(ClusterExecutor):
    """A cluster whose trials end with an error, or return it."""

    def __init__(self, outcomes: list[Any]) -> None:
        super().__init__("the cluster", 1)
        self.outcomes = outcomes

    def capacity(self) -> int:
        return 1

    def begin(self, identity: str, content: bytes) -> Any:
        return content

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, distributed.scheduler.KilledWorker):
            future.set_exception(outcome)
        elif outcome == "cancelled":
            future.cancel()
            future.set_running_or_notify_cancel()
        else:
            future.set_result(outcome)
        return future

    def is_loss(self, error: BaseException) -> bool:
        return dask_executor.DaskExecutor.is_loss(self, error)  # type: ignore[arg-type]

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        pass


def test_trials_whose_workers_are_lost() -> None:
    whole, closed = backtested(Trial(1, {"x": 1})), SweepClosedError()
    killed = distributed.scheduler.KilledWorker("key", None, 3)
    executor = LosingExecutor([killed, closed, closed, whole, *[closed] * 4, "cancelled", closed])
    trials = cluster_trials.ClusterTrials(
        executor, ScriptTarget("x.py"), TargetDescription("S", "", {}, None, None, True), Limits(), TrialSettings()
    )
    given_up = trials.submit(Trial(1, {"x": 5})).result()
    assert (given_up.status, given_up.parameters) == ("crashed", {"x": 5})
    assert given_up.error == "its workers were lost again and again, so it was given up"
    assert trials.submit(Trial(2, {"x": 1})).result() == whole  # its worker was shut down twice
    assert trials.submit(Trial(3, {"x": 1})).result().status == "crashed"
    with pytest.raises(EngineError, match="the connection with the cluster was lost: once it is there again, the same"):
        trials.submit(Trial(4, {"x": 1})).result()
    trials.close()
    with pytest.raises(SweepClosedError):
        trials.submit(Trial(5, {"x": 1})).result()
    assert executor.outcomes == []


def test_a_target_that_ends_while_it_is_checked(fake: FakeTrials, monkeypatch: pytest.MonkeyPatch) -> None:
    def check(content: bytes) -> Any:
        worker.end_target("short")
        return "target"

    monkeypatch.setattr(worker, "_checked_target", check)
    with pytest.raises(SweepClosedError), worker._held("short", b""):
        raise AssertionError("no trial of a sweep that has ended may run")
    assert fake.closed.is_set()
    assert "short" not in worker._targets


def test_an_idle_target_ends(fake: FakeTrials, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "IDLE_SECONDS", 0.05)
    content = b"not read, since the target is known"
    held = worker._Held()
    held.target = object()  # type: ignore[assignment]
    worker._targets["idle"] = held
    with worker._held("idle", content):
        with worker._held("idle", content):
            pass
        time.sleep(0.15)
        assert "idle" in worker._targets  # one of its trials runs
        assert not fake.closed.is_set()
    wait_until(lambda: "idle" not in worker._targets)
    assert fake.closed.is_set()


def test_a_snapshot_that_is_published_during_a_sweep_does_not_change_it(
    address: str, fake: FakeTrials, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LUMIBOT_DUCKDB_SNAPSHOT_CACHE", str(tmp_path / "cache"))
    stores: list[Path | None] = []

    def describe(target: Target) -> TargetDescription:
        stores.append(target.store)
        return fake.describe(target)

    monkeypatch.setattr(worker, "describe", describe)
    from publishing.conftest import bars

    with DuckDBDataStorage(tmp_path / "own") as storage:
        storage.store_ohlcv_data("AAPL", bars(100), "mine", "minute")
        storage.publish(tmp_path / "shared")
        begun = DuckDBDataStorage(tmp_path / "shared").path

        def publish_again(trial: Trial) -> TrialRecord:
            storage.store_ohlcv_data("AAPL", bars(200), "mine", "minute")
            storage.publish(tmp_path / "shared")
            return backtested(trial)

        fake.run = publish_again
        options = {"engine": "dask", "address": address, "store": tmp_path / "shared", "results": "r.duckdb"}
        run(Strategy, {"x": [1]}, START, END, **options)
    assert stores == [begun]


MODULE = """
import numpy as np
import pandas as pd
from lumibot.entities import Asset, Data
from lumibot.strategies import Strategy


class Holding(Strategy):
    parameters = {"share": 0.5}

    def initialize(self):
        self.sleeptime = "1D"

    def on_trading_iteration(self):
        if self.get_position("AAA") is None:
            quantity = int(self.parameters["share"] * self.cash / self.get_last_price("AAA"))
            self.submit_order(self.create_order("AAA", quantity, "buy"))


def data():
    days = pd.bdate_range("2020-01-02", "2020-03-31", tz="America/New_York")
    close = 100.0 + np.arange(len(days))
    columns = {"open": close, "high": close, "low": close, "close": close, "volume": 1e6}
    return {Asset("AAA"): Data(Asset("AAA"), pd.DataFrame(columns, days), timestep="day")}
"""


@pytest.mark.long
def test_a_strategy_of_a_module_on_workers_that_do_not_have_it(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process of the backtest finds the module where the sweep has found it."""
    from lumibot.backtesting import PandasDataBacktesting

    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "holding_of_a_test.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path / "modules")
    import holding_of_a_test  # type: ignore[import-not-found]

    options: dict[str, Any] = {"source": PandasDataBacktesting, "store": "store", "benchmark_asset": None}
    options |= {"pandas_data": holding_of_a_test.data(), "risk_free_rate": 0.0}
    period = datetime(2020, 1, 6), datetime(2020, 3, 27)
    space = {"share": [0.25, 0.5, 0.75]}
    here = run(holding_of_a_test.Holding, space, *period, name="here", **options)
    there = run(holding_of_a_test.Holding, space, *period, name="there", engine="dask", address=address, **options)
    assert [each.status for each in there.records.values()] == ["complete"] * 3
    for number in (1, 2, 3):
        alone, record = here.database.trial("here", number), there.database.trial("there", number)
        assert record.parameters == alone.parameters
        assert record.statistics == alone.statistics
        assert (record.equity, record.trades, record.daily_returns) == (
            alone.equity,
            alone.trades,
            alone.daily_returns,
        )
