"""Every source on other Lumibot releases: the same results as Lumibot's class, or Lumibot's class and one warning."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from packaging.version import Version

from lumibot_duckdb.lumibot_contract.breach import find_breaches
from lumibot_duckdb.lumibot_contract.catalogue import requirements_of
from lumibot_duckdb.lumibot_contract.installed import InstalledPackages
from lumibot_duckdb.lumibot_contract.releases import KNOWN_RELEASES
from lumibot_duckdb.sources.registry import SOURCES
from tests.releases.conftest import Release

_ROOT = Path(__file__).parents[2]

# Published releases do not change, so a selection shows whether our changes still fit it.
_SELECTED = {
    "polygon": [
        "test_parity_requests.py::test_chains_are_the_same[8]",
        "test_parity_requests.py::test_lengths_of_zero_and_below_get_the_same_answers",
        "test_parity_strategies.py::test_hours",
    ],
    "yahoo": [
        "test_parity_requests.py::test_lengths_of_zero_and_below_get_the_same_answers",
        "test_parity_strategies.py::test_crypto_an_index_a_fund_and_a_foreign_stock",
    ],
    "alpaca": [
        "test_parity_requests.py::test_lengths_of_zero_and_below_get_the_same_answers",
        "test_parity_strategies.py::test_days",
        "test_source.py::test_bars_that_cannot_be_are_refused_as_lumibot_does",
    ],
    "ccxt": [
        "test_parity_requests.py::test_one_coin_requested_at_random_gets_the_same_answers[GAPS]",
        "test_parity_requests.py::test_the_download_limit_decides_the_same_way",
        "test_parity_strategies.py::test_days",
    ],
    "own_bars": [
        "test_parity_requests.py::test_random_requests_get_the_same_answers[1-quotes]",
        "test_parity_backtests.py::test_real_half_day",
    ],
}


def _parity_tests(source: str, release: str) -> list[str]:
    """Return the tests to run: all of them for a release that is newer than those known."""
    folder = Path("tests/sources") / source
    if Version(release) <= Version(KNOWN_RELEASES[-1]):
        return [str(folder / each) for each in _SELECTED[source]]
    return [str(each.relative_to(_ROOT)) for each in sorted((_ROOT / folder).glob("test_parity_*.py"))]


def _run(release: Release, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=_ROOT,
        env=release.environment,
        capture_output=True,
        text=True,
        timeout=3600,
        check=False,
    )


def _worker(release: Release, source: str, folder: Path) -> dict[str, Any]:
    done = _run(release, "tests.releases.worker", source, str(folder))
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.long
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("source", SOURCES)
def test_parity_or_lumibots_own_class(
    release: Release, source: str, tmp_path: Path, outcomes: dict[tuple[str, str], str]
) -> None:
    broken = find_breaches(requirements_of(source), InstalledPackages({"lumibot": release.folder / "lumibot"}))
    outcomes[release.version, source] = "failed"
    found = _worker(release, source, tmp_path)
    if broken:
        assert not found["on_the_store"]
        assert len(found["warnings"]) == 1
        assert release.version in found["warnings"][0]
        assert found["same"]
        outcomes[release.version, source] = f"falls back to Lumibot's class: {broken[0]}"
        return
    assert found["on_the_store"]
    assert found["warnings"] == []
    # The examples differ between releases, and another test counts them.
    options = ["-q", "-p", "no:cacheprovider", "-m", "not long", "-k", "not every_example"]
    done = _run(release, "pytest", *options, *_parity_tests(source, release.version))
    assert done.returncode == 0, done.stdout[-5000:]
    outcomes[release.version, source] = f"the same: {done.stdout.strip().splitlines()[-1]}"


@pytest.mark.long
def test_known_releases_keep_the_contract_of_every_source(release: Release) -> None:
    packages = InstalledPackages({"lumibot": release.folder / "lumibot"})
    if release.version in KNOWN_RELEASES:
        assert not [each for source in SOURCES for each in find_breaches(requirements_of(source), packages)]
