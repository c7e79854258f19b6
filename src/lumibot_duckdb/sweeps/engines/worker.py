"""What a worker of a cluster does: it checks that it can run a sweep as it was begun, and runs its trials.

Each process of a worker keeps the process of a target, so that the script runs up to its backtest only once there.
"""

from __future__ import annotations

import os
import pickle
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from lumibot_duckdb.comparison.versions import versions_of_run
from lumibot_duckdb.results.records import TrialRecord
from lumibot_duckdb.sweeps.engines.errors import WorkerError
from lumibot_duckdb.sweeps.engines.shared_sweep import SharedSweep, difference
from lumibot_duckdb.sweeps.errors import SweepClosedError, SweepError
from lumibot_duckdb.sweeps.trials.running import TrialSettings, close, describe, run_trial
from lumibot_duckdb.sweeps.trials.target import RunnableTarget
from lumibot_duckdb.sweeps.trials.trial import Limits, Trial

IDLE_SECONDS = 600.0
"""After how long without a trial the process of a target ends, if nobody says that its sweep has ended."""


def run_on_worker(
    content: bytes, identity: str, versions: Mapping[str, str], trial: Trial, limits: Limits, settings: TrialSettings
) -> TrialRecord | SweepError:
    """Run a trial of a sweep on this worker; return its record, or the error that ends the sweep.

    Parameters:
        content: a pickled `SharedSweep`.
        identity: that of its target.
        versions: those of the process that runs the sweep.
    """
    try:
        check_versions(versions)
        with _held(identity, content) as target:
            return run_trial(target, trial, limits, settings)
    except SweepError as error:
        return error


def check_versions(expected: Mapping[str, str]) -> None:
    """Raise `WorkerError` if this process has other versions of what decides about results."""
    here = versions_of_run()
    for package in ("lumibot-duckdb", "lumibot", "python"):
        then, now = expected[package], here[package]
        if package == "python":  # its last number are corrections
            then, now = (each.rpartition(".")[0] for each in (then, now))
        if then != now:
            raise WorkerError(
                f"{worker_name()} has {package} {now}, and this machine has {then}: install the same releases on all "
                "machines, and restart the workers"
            )


def worker_name() -> str:
    """Return how messages name this worker."""
    return f"the worker on {socket.gethostname()} (process {os.getpid()})"


# -- the processes of targets ----------------------------------------------------------------------------------------


class _Held:
    """A target that this worker has checked, and how many of its trials run."""

    def __init__(self) -> None:
        self.checking = threading.Lock()
        self.target: RunnableTarget | None = None
        self.running = 0
        self.expiry: threading.Timer | None = None


_guard = threading.Lock()
_targets: dict[str, _Held] = {}


@contextmanager
def _held(identity: str, content: bytes) -> Iterator[RunnableTarget]:
    """Yield a target whose process does not end in the `with` block."""
    with _guard:
        held = _targets.setdefault(identity, _Held())
        held.running += 1
        if held.expiry is not None:
            held.expiry.cancel()
    try:
        with held.checking:
            if held.target is None:
                held.target = _checked_target(content)
        with _guard:
            has_ended = _targets.get(identity) is not held
        if has_ended:  # while the target was checked
            close(held.target)
            raise SweepClosedError
        yield held.target
    finally:
        with _guard:
            held.running -= 1
            if not held.running and _targets.get(identity) is held:
                held.expiry = threading.Timer(IDLE_SECONDS, _expire, (identity,))
                held.expiry.daemon = True
                held.expiry.start()


def _checked_target(content: bytes) -> RunnableTarget:
    """Return the target of a sweep on this machine. Raises `WorkerError` if it is another one here."""
    sweep: SharedSweep = pickle.loads(content)  # from the process that runs the sweep, through the cluster's scheduler
    target = sweep.target_here(worker_name())
    try:
        found = describe(target)
    except SweepError as error:
        raise WorkerError(f"{worker_name()}: {error}") from None
    differs = difference(sweep.description, found)
    if differs:
        close(target)
        raise WorkerError(
            f"the backtest on {worker_name()} differs: {differs}. The environment variables and files that the script "
            "reads must be the same on all machines"
        )
    return target


def _expire(identity: str) -> None:
    with _guard:
        held = _targets.get(identity)
        if held is None or held.running:
            return
    end_target(identity)


def end_target(identity: str) -> None:
    """End the process of a target on this worker, and kill its trials."""
    with _guard:
        held = _targets.pop(identity, None)
        if held is not None and held.expiry is not None:
            held.expiry.cancel()
    if held is not None and held.target is not None:
        close(held.target)
