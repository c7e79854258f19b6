from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    """The benchmarks are a package of the clone, not of the installation."""
    monkeypatch.syspath_prepend(str(Path(__file__).resolve().parents[2]))
