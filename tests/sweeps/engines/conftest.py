"""A Dask cluster in this process, whose workers run trials by a formula."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from lumibot_duckdb.sweeps.engines import worker
from lumibot_duckdb.sweeps.engines.worker import end_target
from sweeps.fakes import FakeTrials

distributed = pytest.importorskip("distributed")

LOCAL: dict[str, Any] = {
    "processes": False,
    "host": "127.0.0.1",
    "protocol": "tcp",
    "dashboard_address": "127.0.0.1:0",
    "silence_logs": 50,
}
"""Options of a cluster whose workers are threads of this process."""


@pytest.fixture(scope="package")
def address() -> Iterator[str]:
    """The address of a scheduler with two workers, which are threads."""
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, **LOCAL) as it:
        yield it.scheduler_address


@pytest.fixture
def fake(fake_trials: FakeTrials, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeTrials]:
    """Trials by a formula, on the workers too."""
    monkeypatch.setattr(worker, "describe", fake_trials.describe)
    monkeypatch.setattr(worker, "run_trial", fake_trials.run_trial)
    monkeypatch.setattr(worker, "close", fake_trials.close)
    yield fake_trials
    for identity in list(worker._targets):
        end_target(identity)
