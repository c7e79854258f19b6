"""Fixtures for the tests of panels."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lumibot_duckdb import DuckDBDataStorage


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[DuckDBDataStorage]:
    """A new store for a test."""
    made = DuckDBDataStorage(tmp_path)
    yield made
    made.close()


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Let linear algebra use one thread: for small matrices, threads that wait for each other take most of the time."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        yield
