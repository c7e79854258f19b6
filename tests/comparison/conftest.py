"""The environment of compared scripts: a loopback Polygon server, and empty caches."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from comparison.ground import Ground, on_ground
from sources.polygon.market import examples
from sources.polygon.server import KEY


@pytest.fixture(scope="session")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    with examples().served() as server:
        folder = tmp_path_factory.mktemp("compared")
        with on_ground(folder, {"TEST_POLYGON": server.url, "POLYGON_API_KEY": KEY, **_PATIENCE}):
            yield Ground(folder)


_PATIENCE = {"POLYGON_WAIT_SECONDS_RETRY": "1", "POLYGON_MAX_RETRY_ATTEMPTS": "1"}


@pytest.fixture(autouse=True)
def _clean_directory(clean_directory: None) -> None:
    """Every comparison runs in a folder without a developer's settings."""
