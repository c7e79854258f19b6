"""The trials of a sweep on a cluster, seen from the process that runs the sweep."""

from __future__ import annotations

import logging
import pickle
from concurrent.futures import CancelledError, Future
from dataclasses import replace
from datetime import datetime
from typing import Any

from lumibot_duckdb import clock
from lumibot_duckdb.comparison.versions import versions_of_run
from lumibot_duckdb.results.records import TrialRecord
from lumibot_duckdb.sweeps.engines.cluster import ClusterExecutor
from lumibot_duckdb.sweeps.engines.errors import EngineError
from lumibot_duckdb.sweeps.engines.shared_sweep import shared_sweep
from lumibot_duckdb.sweeps.engines.worker import run_on_worker
from lumibot_duckdb.sweeps.errors import SweepClosedError, SweepError
from lumibot_duckdb.sweeps.trials.running import TrialSettings
from lumibot_duckdb.sweeps.trials.target import Target, TargetDescription
from lumibot_duckdb.sweeps.trials.trial import Limits, Trial

logger = logging.getLogger(__name__)

_ATTEMPTS = 4
"""How often a trial is started whose worker is shut down meanwhile."""


class ClusterTrials:
    """Starts trials of a target on a cluster, and warns of workers with other versions.

    Raises `EngineError` if workers cannot get the store.
    """

    def __init__(
        self,
        executor: ClusterExecutor,
        target: Target,
        description: TargetDescription,
        limits: Limits,
        settings: TrialSettings,
    ) -> None:
        self._executor = executor
        self._identity = target.identity
        self._limits = limits
        artifacts = None if settings.artifacts is None else settings.artifacts.absolute()
        self._settings = replace(settings, artifacts=artifacts)
        self._versions = versions_of_run()
        self._other_versions: set[str] = set()
        self._is_closed = False
        sweep = shared_sweep(target, description)
        self._content = executor.begin(target.identity, pickle.dumps(sweep))

    def jobs(self) -> int:
        """Return how many trials may run at a time."""
        return self._executor.jobs()

    def submit(self, trial: Trial) -> Future[TrialRecord]:
        """Start a trial. The future raises the error of a worker that cannot run the sweep."""
        found: Future[TrialRecord] = Future()
        self._start(trial, found, clock.utc_now(), _ATTEMPTS)
        return found

    def close(self) -> None:
        """Kill the trials that run, and end the processes of the sweep."""
        self._is_closed = True
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _start(self, trial: Trial, found: Future[TrialRecord], started: datetime, attempts: int) -> None:
        """Start a trial, and again if its worker is shut down meanwhile."""

        def take(ended: Future[Any]) -> None:
            try:
                record = self._record(ended, trial)
            except SweepClosedError as error:
                if self._is_closed:
                    found.set_exception(error)
                elif attempts > 1:
                    self._start(trial, found, started, attempts - 1)
                else:
                    found.set_result(self._lost(trial, started))
            except Exception as error:
                found.set_exception(error)
            else:
                found.set_result(record if record is not None else self._lost(trial, started))

        arguments = (self._content, self._identity, self._versions, trial, self._limits, self._settings)
        self._executor.submit(run_on_worker, *arguments).add_done_callback(take)

    def _record(self, ended: Future[Any], trial: Trial) -> TrialRecord | None:
        """Return what a trial has found; None if its workers were lost again and again."""
        try:
            found = ended.result()
        except CancelledError:
            raise EngineError(
                f"the connection with {self._executor.place} was lost: once it is there again, the same command with "
                "--resume continues"
            ) from None
        except Exception as error:
            if self._executor.is_loss(error):
                return None
            raise EngineError(
                f"a worker of {self._executor.place} could not run trial {trial.number} ({type(error).__name__}: "
                f"{error}): install the same releases of lumibot-duckdb and its engine on all machines"
            ) from error
        if isinstance(found, SweepError):
            raise found
        assert isinstance(found, TrialRecord)
        self._compare_versions(found)
        return found

    def _compare_versions(self, record: TrialRecord) -> None:
        """Warn once of each version that differs. Those of a trial are stored with it."""
        for package, there in record.versions.items():
            here = self._versions.get(package)
            text = f"{package} {there}, and here is {here}"
            if here is not None and there != here and text not in self._other_versions:
                self._other_versions.add(text)
                logger.warning("trials ran with %s; the results file has the versions of each trial", text)

    def _lost(self, trial: Trial, started: datetime) -> TrialRecord:
        return TrialRecord(
            parameters=dict(trial.values),
            status="crashed",
            started=started,
            seconds=(clock.utc_now() - started).total_seconds(),
            error="its workers were lost again and again, so it was given up",
            versions=self._versions,
        )
