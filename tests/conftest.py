"""Fixtures of all tests, and a check that pytest keeps groups of tests together."""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from _pytest.nodes import Node

from calendars import schedules_kept

# A source that cannot be imported must fail a test rather than fall back to Lumibot's class.
os.environ.setdefault("LUMIBOT_DUCKDB_STRICT", "true")


def pytest_configure(config: pytest.Config) -> None:
    """Refuse a pytest whose tests xdist cannot group: every worker would repeat the setup that a group shares.

    xdist puts the group behind a test's name, which pytest keeps in `_nodeid` before release 9.2.
    """
    if getattr(config.option, "dist", "no") == "loadgroup" and not hasattr(Node, "_nodeid"):
        raise pytest.UsageError(
            f"pytest {pytest.__version__} does not keep groups of tests together: install pytest<9.2"
        )


def pytest_collection_finish() -> None:
    """Leave what the tests import, which lives until the end, out of every garbage collection from now on."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _schedules_kept() -> Iterator[None]:
    with schedules_kept():
        yield


@pytest.fixture(autouse=True)
def _brokers_stopped() -> Iterator[None]:
    """End the threads of brokers: Lumibot never does, and each wakes ten times a second and keeps a backtest's data."""
    yield
    for thread in threading.enumerate():
        if thread.name.startswith("broker_"):
            broker = getattr(getattr(thread, "_target", None), "__self__", None)
            if broker is not None:
                broker.stream.stop()


@pytest.fixture
def clean_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the test in an empty folder, without a developer's `.env` or debug settings."""
    monkeypatch.setenv("LUMIBOT_DISABLE_DOTENV", "1")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LUMIBOT_DUCKDB_DEBUG", raising=False)
