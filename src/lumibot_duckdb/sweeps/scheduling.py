"""Keeps an executor busy with the trials of a queue, and passes their records on as they arrive."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from operator import itemgetter
from typing import Protocol

from lumibot_duckdb.results.records import TrialRecord
from lumibot_duckdb.sweeps.trials.trial import Trial

_LOOK_SECONDS = 0.2
"""How soon a request to stop is noticed while all workers are busy."""

NumberedRecord = tuple[int, TrialRecord]


class TrialQueue(Protocol):
    """The trials that are left to run. It is used by one thread."""

    total: int | None
    """How many trials there are in all, with those of an earlier run; None if that is not known."""

    def next(self) -> Trial | None:
        """Return a trial to start now; None if there is none before another one has ended."""

    def take(self, trial: Trial, record: TrialRecord) -> TrialRecord:
        """Take the record of a trial that has ended; return what is to be stored: with its objective."""

    def intermediate(self, number: int, day: int, value: float) -> bool:
        """Take the value of a portfolio at the end of a day, and return whether its trial is to end. Thread-safe."""


def run_queue(
    queue: TrialQueue,
    submit: Callable[[Trial], Future[TrialRecord]],
    jobs: int | Callable[[], int],
    finished: Callable[[Sequence[NumberedRecord]], None],
    stopping: Callable[[], bool] = lambda: False,
) -> bool:
    """Run the trials of a queue, and return whether all have run.

    Parameters:
        queue: the trials.
        submit: starts a trial on an executor.
        jobs: how many trials may be in flight; a function, if that may change.
        finished: takes trials that have ended. Others run meanwhile, unless all have ended. It is also called without
            any, a few times a second.
        stopping: whether no further trial shall be started; those in flight are waited for.

    What `submit` or a future raises ends the run: a trial that fails has a record.
    """
    running: dict[Future[TrialRecord], Trial] = {}

    def fill() -> None:
        most = jobs if isinstance(jobs, int) else jobs()
        while len(running) < most and not stopping() and (trial := queue.next()) is not None:
            running[submit(trial)] = trial

    fill()
    while running:
        ended, _ = wait(running, _LOOK_SECONDS, FIRST_COMPLETED)
        trials = [(running.pop(future), future.result()) for future in ended]
        records = [(trial.number, queue.take(trial, record)) for trial, record in trials]
        fill()  # before the results are written, so that no worker waits for that
        finished(sorted(records, key=itemgetter(0)))
    return not stopping() or queue.next() is None
