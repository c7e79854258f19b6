"""Installs the Lumibot releases one after the other, and prints the result of each source."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.releases.registry import chosen, install, unmet_requirements

_ROOT = Path(__file__).parents[2]
_OUTCOMES = pytest.StashKey[dict[tuple[str, str], str]]()


@dataclass(frozen=True)
class Release:
    """A Lumibot release in its own folder."""

    version: str
    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """The environment of a process that imports this release in place of the installed one."""
        path = os.pathsep.join(map(str, (self.folder, _ROOT, _ROOT / "tests")))
        cache = str(self.folder / "cache")
        return {**os.environ, "PYTHONPATH": path, "LUMIBOT_CACHE_FOLDER": cache, "LUMIBOT_DUCKDB_STRICT": "false"}


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_OUTCOMES] = {}


@pytest.fixture
def outcomes(pytestconfig: pytest.Config) -> dict[tuple[str, str], str]:
    """The result of a source on a release, for the table at the end."""
    return pytestconfig.stash[_OUTCOMES]


@pytest.fixture(scope="module", params=chosen())
def release(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Release]:
    """Install a release; skip its tests if it cannot be had, as without a network."""
    made = Release(request.param, tmp_path_factory.mktemp("release"))
    if failure := install(made.version, made.folder):
        pytest.skip(f"Lumibot {made.version} was not installed: {failure}")
    if lacking := unmet_requirements(made.folder):
        pytest.fail(f"Lumibot {made.version} needs {', '.join(lacking)}: update requirements/locked.txt (make lock)")
    yield made
    shutil.rmtree(made.folder)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if found := config.stash[_OUTCOMES]:
        terminalreporter.section("Lumibot releases")
        for (version, source), outcome in found.items():
            terminalreporter.write_line(f"{version:<10} {source:<10} {outcome}")
