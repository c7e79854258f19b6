"""Sweeps without backtests: what runs a trial is replaced by a formula."""

from __future__ import annotations

from pathlib import Path

import pytest

from sweeps.fakes import FakeTrials


@pytest.fixture
def fake_trials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeTrials:
    """Replace the processes of trials in this process."""
    fake = FakeTrials()
    fake.install(monkeypatch.setattr)
    monkeypatch.chdir(tmp_path)
    return fake
