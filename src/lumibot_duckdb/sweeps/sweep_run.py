"""Runs the trials of a sweep that has begun, and stores their results."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor, Future
from contextlib import suppress
from dataclasses import dataclass, replace

from lumibot_duckdb import clock
from lumibot_duckdb.interrupts import Interrupts
from lumibot_duckdb.progress import Progress
from lumibot_duckdb.results.database import SweepStatus
from lumibot_duckdb.results.records import TrialRecord
from lumibot_duckdb.sources.registry import OWN_BARS, SPEC_OF_CLASS
from lumibot_duckdb.storage.errors import StorageError
from lumibot_duckdb.sweeps.beginning import Begun
from lumibot_duckdb.sweeps.engines import OpenExecutor
from lumibot_duckdb.sweeps.engines.cluster import ClusterExecutor
from lumibot_duckdb.sweeps.engines.cluster_trials import ClusterTrials
from lumibot_duckdb.sweeps.errors import HopelessSweepError
from lumibot_duckdb.sweeps.examination import Examination
from lumibot_duckdb.sweeps.failures import CommonFailure, is_done
from lumibot_duckdb.sweeps.file_names import file_name
from lumibot_duckdb.sweeps.plan import SweepPlan
from lumibot_duckdb.sweeps.result_writer import ResultWriter
from lumibot_duckdb.sweeps.scheduling import NumberedRecord, run_queue
from lumibot_duckdb.sweeps.search.sampler import Sampler
from lumibot_duckdb.sweeps.search_queue import SearchQueue
from lumibot_duckdb.sweeps.standing import Standing
from lumibot_duckdb.sweeps.trials.running import Intermediate, TrialSettings, close, prepare, run_trial
from lumibot_duckdb.sweeps.trials.target import Target
from lumibot_duckdb.sweeps.trials.trial import Limits, Trial
from lumibot_duckdb.sweeps.walk_forward.queue import WalkForwardQueue
from lumibot_duckdb.sweeps.walk_forward.result import joined_record

_NOTICE = "lumibot-duckdb: waiting for the trials that run; press Ctrl-C again to stop now, without their results"


class SweepRun:
    """A sweep that has begun, and what is left of it.

    Attributes:
        record: What is stored of the sweep.
        standing: The counts of its trials, with those of an earlier run.
        total: How many trials there are in all; None if that is not known.
        left: How many of them are left to run; None if that is not known.
    """

    def __init__(
        self,
        plan: SweepPlan,
        examination: Examination,
        begun: Begun,
        *,
        retry_failed: bool = False,
        keep_going: bool = False,
    ) -> None:
        self.record = begun.record
        self.standing = Standing(plan.objective, tuple(plan.space.parameters))
        self._plan = plan
        self._description = examination.description
        self._database = begun.database
        self._is_resumed = begun.is_resumed
        self._writer = ResultWriter(plan.results, self.record.name)
        self._queue = new_queue(plan, examination)
        known = known_trials(begun.stored, retry_failed=retry_failed)
        for number, record in known.items():
            values = {name: record.parameters[name] for name in plan.space.parameters}
            self._queue.know(Trial(number, values), record.objective)
        self.standing.add(known.values())
        self._common_failure = None if keep_going else CommonFailure(known.values())
        self.total = self._queue.total
        self.left = None if self.total is None else max(self.total - len(known), 0)

    @property
    def downloads(self) -> bool:
        """Whether a first trial runs alone, which downloads what is missing. User-supplied bars are not downloaded."""
        return not self._is_resumed and SPEC_OF_CLASS.get(self._description.source) is not OWN_BARS

    def run(self, open_executor: OpenExecutor) -> None:
        """Run what is left.

        Raises:
            KeyboardInterrupt: Ctrl-C was pressed. The message says how many trials are stored.
            HopelessSweepError: the first trials all failed with the same error.
            StorageError: results could not be written.
            TargetError: the target cannot be backtested any more.
        """
        self._store_beginning()
        try:
            complete = self._run_trials(open_executor)
            if complete and isinstance(self._queue, WalkForwardQueue):
                self._store_joined(self._queue)
            self._writer.flush()
        except KeyboardInterrupt:
            complete = False
        except BaseException:
            with suppress(StorageError):
                self._writer.flush(longest_wait=0)
            with suppress(StorageError):
                self._database.finish_sweep(self.record.name, "failed")
            raise
        if complete:
            self._end("complete")
        elif self._is_hopeless:
            self._end("failed")
            raise HopelessSweepError(self._hopeless())
        else:
            self._end("interrupted")
            raise KeyboardInterrupt(self._kept())

    def _store_beginning(self) -> None:
        if self._is_resumed:
            self._database.resume_sweep(self.record)
            return
        if self.downloads:
            first = self._plan.search.new_sampler(self._plan.space, minimize=self._plan.objective.minimize).ask()
            assert first is not None
            prepare(self._plan.target, Trial(*first), self._plan.limits)
        self.record = replace(self.record, as_of=clock.utc_now())
        self._database.begin_sweep(self.record)

    def _run_trials(self, open_executor: OpenExecutor) -> bool:
        """Run the trials that are left, and return whether all have run."""
        plan = self._plan
        with (
            Interrupts(_NOTICE) as interrupts,
            Progress(f"Sweep {self.record.name}", self.left) as progress,
            open_executor(plan.jobs) as executor,
        ):

            def finished(records: Sequence[NumberedRecord]) -> None:
                self._writer.add(records)
                self.standing.add(record for _, record in records)
                if self._common_failure is not None:
                    self._common_failure.add(record for _, record in records)
                progress.advance(len(records))
                progress.text = str(self.standing)

            def stopping() -> bool:
                return interrupts.pressed or self._is_hopeless

            trials = self._trials_on(executor)
            try:
                complete = run_queue(self._queue, trials.submit, trials.jobs, finished, stopping)
            except BaseException:
                trials.close()  # here, because the executor waits for its trials
                raise
        return complete

    def _trials_on(self, executor: Executor) -> LocalTrials | ClusterTrials:
        """Return what starts trials on an executor."""
        plan = self._plan
        artifacts = None if plan.artifacts is None else plan.artifacts / file_name(self.record.name)
        settings = TrialSettings(as_of=self.record.as_of, artifacts=artifacts)
        if isinstance(executor, ClusterExecutor):
            return ClusterTrials(executor, plan.target, self._description, plan.limits, settings)
        intermediate = self._queue.intermediate if plan.search.prunes else None
        return LocalTrials(executor, plan.jobs, plan.target, plan.limits, settings, intermediate)

    def _store_joined(self, queue: WalkForwardQueue) -> None:
        """Store the tests of all windows as one record."""
        self._writer.flush()
        stored = self._database.records(self.record.name)
        tests = [self._database.trial(self.record.name, number) if number in stored else None for number in queue.tests]
        joined = joined_record(tests, self._plan.objective, self.record.started)
        self._writer.add([(queue.joined_number, joined)])

    def _end(self, status: SweepStatus) -> None:
        self._writer.flush(longest_wait=0)  # there is something to write only after Ctrl-C, where nobody wants to wait
        self._database.finish_sweep(self.record.name, status)

    @property
    def _is_hopeless(self) -> bool:
        return self._common_failure is not None and self._common_failure.reason is not None

    def _hopeless(self) -> str:
        assert self._common_failure is not None
        name = shlex.quote(self.record.name)
        number = min(self._database.records(self.record.name))
        return (
            f"the first {self._common_failure.count} trials all failed with the same error, so the others were not "
            f"started: {self._common_failure.reason}. For its traceback, run: lumibot-duckdb results show {name} "
            f"--trial {number} --results {shlex.quote(str(self._plan.results))}. Correct the script and choose another "
            f"name, or run the other trials all the same: --resume --name {name} --keep-going"
        )

    def _kept(self) -> str:
        done = f"{self.standing.done:,}" + ("" if self.total is None else f" of {self.total:,}")
        name = shlex.quote(self.record.name)
        return f"{done} trials are stored; the same command with --resume --name {name} continues"


@dataclass(frozen=True)
class LocalTrials:
    """Starts trials of a target on this machine."""

    executor: Executor
    jobs: int
    target: Target
    limits: Limits
    settings: TrialSettings
    intermediate: Intermediate | None

    def submit(self, trial: Trial) -> Future[TrialRecord]:
        """Start a trial."""
        return self.executor.submit(run_trial, self.target, trial, self.limits, self.settings, self.intermediate)

    def close(self) -> None:
        """Kill the trials that run, and end the process of the target."""
        close(self.target)


def new_queue(plan: SweepPlan, examination: Examination) -> SearchQueue | WalkForwardQueue:
    """Return the trials of a plan, from the first on."""

    def sampler() -> Sampler:
        return plan.search.new_sampler(plan.space, minimize=plan.objective.minimize)

    if not examination.windows:
        return SearchQueue(sampler(), plan.objective)
    return WalkForwardQueue(examination.windows, sampler, plan.search.most_trials(plan.space), plan.objective)


def known_trials(stored: Mapping[int, TrialRecord], *, retry_failed: bool) -> dict[int, TrialRecord]:
    """Return the stored trials that are not to run again.

    A failed trial of a window whose test is complete does not run again: the test has used what the search had found.
    """
    tested = {record.window for record in stored.values() if record.phase == "out-of-sample" and is_done(record)}
    return {
        number: record
        for number, record in stored.items()
        if record.phase != "joined" and (not retry_failed or is_done(record) or record.window in tested - {None})
    }
