"""Parameter sweeps in Python, and what a sweep has found."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Executor
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lumibot_duckdb.publishing.opening import opened_store
from lumibot_duckdb.results.database import ResultsDatabase
from lumibot_duckdb.results.location import results_path
from lumibot_duckdb.results.records import TrialRecord, Value
from lumibot_duckdb.sweeps.beginning import begun, check_name
from lumibot_duckdb.sweeps.engines import OpenExecutor, check_choice, open_engine
from lumibot_duckdb.sweeps.engines.local import local_executor
from lumibot_duckdb.sweeps.errors import SweepError
from lumibot_duckdb.sweeps.examination import examine
from lumibot_duckdb.sweeps.plan import SweepPlan, usable_cpus
from lumibot_duckdb.sweeps.search.dimensions import of_json
from lumibot_duckdb.sweeps.search.method import Search, SearchKind
from lumibot_duckdb.sweeps.search.objectives import Direction, Objective
from lumibot_duckdb.sweeps.search.space import Space
from lumibot_duckdb.sweeps.sweep_run import SweepRun
from lumibot_duckdb.sweeps.trials.running import close
from lumibot_duckdb.sweeps.trials.target import ClassTarget
from lumibot_duckdb.sweeps.trials.trial import Limits
from lumibot_duckdb.sweeps.walk_forward.out_of_sample import Stability, parameter_stability
from lumibot_duckdb.sweeps.walk_forward.windows import WalkForward

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class BestTrial:
    """The best trial of a sweep.

    Attributes:
        number: Its number in the sweep.
        parameters: The searched parameters with their values.
        objective: The value of what the sweep optimised.
        statistics: All statistics, by the names of `trading_statistics.STYLES`.
    """

    number: int
    parameters: Mapping[str, Value]
    objective: float
    statistics: Mapping[str, float | None]


class Sweep:
    """A sweep in a results file. What it returns is read from there, so it may also be one that still runs.

    Parameters:
        name: The name of the sweep.
        results: The results file; by default the one of the default store, as for `ResultsDatabase`.

    Attributes:
        path: The results file.
        database: The results, for what is not here: equity, trades, SQL.
        objective: What makes a trial the best.
        searched: The names of the searched parameters.

    Raises:
        SweepNotFoundError: the file has no such sweep.
    """

    def __init__(self, name: str, results: str | os.PathLike[str] | None = None) -> None:
        self.database = ResultsDatabase(results)
        self.name = name
        self.path = self.database.path
        self._record = self.database.sweep(name).record
        settings = self._record.settings
        self.objective = Objective(settings["objective"], minimize=settings["direction"] == "minimize")
        self.searched = tuple(self._record.space["parameters"])

    @property
    def status(self) -> str:
        """How it stands: "running" (also if its process was killed), "complete", "interrupted" or "failed"."""
        return self.database.sweep(self.name).status

    @property
    def trials(self) -> pd.DataFrame:
        """All trials: a row for each, with its parameters (`param_...`), status, objective and statistics."""
        found: pd.DataFrame = self.database.trials(self.name)
        return found

    @property
    def best(self) -> BestTrial | None:
        """The best complete trial; of a walk-forward sweep, that of the last window's search.

        None if no trial has a value of the objective.
        """
        records = self.records
        last = max((record.window or 0 for record in records.values()), default=0)
        ranked = self.ranked({number: each for number, each in records.items() if (each.window or 0) == last})
        return self._best_trial(ranked[0], records[ranked[0]]) if ranked else None

    @property
    def records(self) -> dict[int, TrialRecord]:
        """The records of all trials by their numbers, without equity, trades and daily returns."""
        return self.database.records(self.name)

    def ranked(self, records: Mapping[int, TrialRecord]) -> list[int]:
        """Return the numbers of those trials of a search that have an objective, the best first.

        Of equals, the one with the lowest number comes first.
        """
        return self.objective.ranked(
            (number, record.objective) for number, record in records.items() if record.phase in (None, "in-sample")
        )

    @property
    def out_of_sample(self) -> TrialRecord | None:
        """The joined tests of a walk-forward sweep, with equity, daily returns and statistics; None before its end."""
        for number, record in self.records.items():
            if record.phase == "joined":
                return self.database.trial(self.name, number)
        return None

    @property
    def stability(self) -> list[Stability]:
        """How stable the chosen parameters of a walk-forward sweep are over its windows."""
        space = {name: of_json(values) for name, values in self._record.space["parameters"].items()}
        tests = [each for _, each in sorted(self.records.items()) if each.phase == "out-of-sample"]
        return parameter_stability([{name: each.parameters[name] for name in space} for each in tests], space)

    def report(self, path: str | os.PathLike[str] | None = None) -> Path:
        """Write the report of the sweep as one HTML page, and return its path.

        Parameters:
            path: The file; by default one beside the results, named after them and the sweep. An older report of that
                name is replaced.

        Raises:
            OSError: The file cannot be written.
        """
        from lumibot_duckdb.sweeps.report import write_report
        from lumibot_duckdb.sweeps.report.stored import stored_report

        return write_report(stored_report(self.database, self.name), self.report_path if path is None else Path(path))

    @property
    def report_path(self) -> Path:
        """Where `report` writes by default."""
        from lumibot_duckdb.sweeps.report import default_report_path

        return default_report_path(self.path, self.name)

    def _best_trial(self, number: int, record: TrialRecord) -> BestTrial:
        assert record.objective is not None
        values = {name: record.parameters[name] for name in self.searched}
        return BestTrial(number, values, record.objective, record.statistics)

    def __repr__(self) -> str:
        return f"Sweep({self.name!r}, {str(self.path)!r})"


def run(
    strategy: type[Any],
    space: Mapping[str, Any],
    start: datetime,
    end: datetime,
    *,
    source: type[Any] | None = None,
    where: str | Iterable[str] = (),
    objective: str = "sharpe",
    direction: Direction | None = None,
    search: SearchKind = "grid",
    trials: int | None = None,
    seed: int = 0,
    sampler: Any = "tpe",
    pruner: Any = "none",
    walk_forward: str | WalkForward | None = None,
    jobs: int | None = None,
    engine: str = "local",
    address: str | None = None,
    executor: Executor | None = None,
    timeout: float | None = None,
    memory: int | None = None,
    name: str | None = None,
    results: str | os.PathLike[str] | None = None,
    resume: bool = False,
    retry_failed: bool = False,
    keep_going: bool = False,
    store: str | os.PathLike[str] | None = None,
    artifacts: str | os.PathLike[str] | None = None,
    **arguments: Any,
) -> Sweep:
    """Backtest a strategy with many combinations of its parameters, and keep all results.

    Each trial is a backtest in a separate process. All trials read the store as it was when the sweep began; bars
    that are missing are downloaded before, by a first trial. Ctrl-C lets running trials finish, keeps everything and
    raises KeyboardInterrupt; a second Ctrl-C stops at once.

    Parameters:
        strategy: A strategy of Lumibot.
        space: The values of each parameter by its name: a range, a list, an array, `Steps`, or an `Interval`.
        start: The start of the backtest, as for `Strategy.run_backtest`; without a time zone, in New York.
        end: The end of the backtest, likewise.
        source: The data source's class, of Lumibot or of `lumibot_duckdb.backtesting`; by default the environment
            chooses it.
        where: Conditions that combinations must meet, such as "fast < slow".
        objective: The statistic that makes a trial the best, such as "sharpe", "cagr", "max_drawdown" or "calmar".
        direction: "maximize" or "minimize"; by default volatility and fees are minimised, and all others maximised.
        search: "grid" runs all combinations, "random" and "optuna" so many as `trials` says.
        trials: The number of trials of a random search or of Optuna.
        seed: The seed of random numbers.
        sampler: Optuna's sampler: its name, such as "tpe" or "cmaes:sigma0=0.5", or an object of Optuna.
        pruner: Optuna's pruner, likewise, such as "median". It ends trials whose equity is worse than that of others;
            only on this machine, without an `executor`.
        walk_forward: Windows such as "train=12M,test=3M": the parameters that are the best in the first period of a
            window are tested in the second.
        jobs: How many trials run at a time; by default as many as there are CPUs, or threads of Dask's workers.
        engine: Where trials run: "local", or the cluster "dask" or "ray" at `address`.
        address: The scheduler of a cluster. Without one, Ray starts workers on this machine.
        executor: Runs the trials: any executor of `concurrent.futures` that can call a function of this package on
            this machine, or on one with the same files, instead of an `engine`. It is not shut down.
        timeout: Seconds after which a trial is ended.
        memory: Bytes of a trial's own memory above which it is ended.
        name: The name of the sweep; by default that of the strategy with a number.
        results: The results file; by default `<name>-results.duckdb` beside the store, or in Lumibot's cache folder if
            the store is a published snapshot or its folder is read-only.
        resume: Continue the sweep of this name. Trials that are stored do not run again. A random search or one of
            Optuna may have more `trials` than before.
        retry_failed: With `resume`, run failed trials again.
        keep_going: Go on if the first ten trials all fail with the same error, which otherwise ends the sweep.
        store: The store, or a published snapshot; by default the one of the environment or in Lumibot's cache folder.
        artifacts: A folder for statistics files, plots and logs, which are not written otherwise. Those of a trial are
            in `<name of the sweep>/trial-<number>`.
        **arguments: Further arguments of `Strategy.run_backtest`, such as `budget` or `pandas_data`.

    Returns:
        The sweep, with its best trial and all trials.

    Raises:
        SearchError: The space, a condition, the objective or the windows are wrong.
        SweepError: The strategy cannot be backtested, has no such parameter, or the sweep was begun differently.
        HopelessSweepError: The first ten trials all failed with the same error. They are stored.
        SweepExistsError: There is a sweep of this name.
        EngineError: The cluster does not answer, or one of its workers cannot run the sweep.
        KeyboardInterrupt: Ctrl-C was pressed. The message says how to continue.
    """
    if (executor is not None or engine != "local") and pruner != "none":
        raise SweepError("a pruner needs trials on this machine: leave out the executor or engine, or the pruner")
    check_choice(engine, address)
    path = opened_store(store).absolute()
    backtest = {"datasource_class": source, "backtesting_start": start, "backtesting_end": end, **arguments}
    plan = SweepPlan(
        target=ClassTarget(strategy, backtest, path),
        store=path,
        results=results_path(results, store),
        space=Space.of_values(space, where),
        objective=Objective.of(objective, direction),
        search=Search(search, trials, seed, sampler, pruner),
        walk_forward=WalkForward.of(walk_forward) if isinstance(walk_forward, str) else walk_forward,
        name=name,
        jobs=usable_cpus() if jobs is None else checked_jobs(jobs),
        engine=engine,
        limits=Limits(timeout, memory),
        artifacts=None if artifacts is None else Path(artifacts),
    )

    def run_on(open_executor: OpenExecutor, plan: SweepPlan) -> Sweep:
        return run_plan(
            plan, resume=resume, retry_failed=retry_failed, keep_going=keep_going, open_executor=open_executor
        )

    if executor is not None:
        given = executor
        return run_on(lambda _: nullcontext(given), plan)
    with open_engine(engine, address, jobs) as opened:
        return run_on(opened.open_executor, replace(plan, jobs=opened.jobs))


def checked_jobs(jobs: int) -> int:
    """Return a number of jobs. Raises ValueError if it is below 1."""
    if jobs < 1:
        raise ValueError(f"jobs={jobs} is too small: at least 1 trial must run at a time")
    return jobs


def run_plan(
    plan: SweepPlan,
    *,
    resume: bool = False,
    retry_failed: bool = False,
    keep_going: bool = False,
    open_executor: OpenExecutor = local_executor,
    on_begin: Callable[[SweepRun], None] = lambda run: None,
) -> Sweep:
    """Run a sweep and return it. `on_begin` is called before the first trial. Raises as `run`."""
    if retry_failed and not resume:
        raise SweepError("failed trials are run again of a sweep that is resumed: add --resume (resume=True)")
    check_name(plan, resume=resume)
    try:
        examination = examine(plan)
        with begun(plan, examination, resume=resume) as beginning:
            sweep_run = SweepRun(plan, examination, beginning, retry_failed=retry_failed, keep_going=keep_going)
            on_begin(sweep_run)
            sweep_run.run(open_executor)
    finally:
        close(plan.target)
    return Sweep(sweep_run.record.name, plan.results)
