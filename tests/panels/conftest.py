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
