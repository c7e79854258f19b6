"""Processes read, write, compact, prune, export and back up one store: nothing differs from what was written.

`make soak` does it for an hour with eight processes, and compares memory and file size over time. The caches of
results, which are small here, are full within minutes; then memory no longer grows.
"""

from __future__ import annotations

import os
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from faults import upkeep_workers, workers
from faults.upkeep_workers import Report
from lumibot_duckdb import DuckDBDataStorage

CREW = {"write": 2, "read": 2, "compact": 1, "prune": 1, "export": 1, "back up": 1}
SMALL_CREW = dict.fromkeys(CREW, 1)
SOAK_SECONDS = float(os.environ.get("LUMIBOT_DUCKDB_SOAK_SECONDS", "20"))
LONG_ENOUGH = 120.0
"""After about so many seconds, memory and file size no longer grow."""
LEFT = {"s.duckdb", "s.duckdb.lock", "s.duckdb.turn", "s.duckdb.use"}
ROOM = 32 * 2**20

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is read from /proc")


def run_crew(path: Path, seconds: float, members: Mapping[str, int]) -> dict[str, list[Report]]:
    """Run so many processes of each kind; return their reports by kind. Fail if one of them failed."""
    crew = [
        (kind, *workers.start(upkeep_workers.run, path, kind, number, seconds))
        for kind, count in members.items()
        for number in range(count)
    ]
    reports: dict[str, list[Report]] = {kind: [] for kind in members}
    failures = []
    for kind, process, pipe in crew:
        try:
            found = pipe.recv()
        except EOFError:
            found = f"{kind}: the process ended with {process.exitcode}"
        if isinstance(found, Report):
            reports[kind].append(found)
        else:
            failures.append(found)
        process.join()
    assert not failures, "\n".join(failures)
    return reports


def begin(path: Path) -> None:
    """Make the store."""
    with DuckDBDataStorage(path) as storage:
        storage.store_ohlcv_data("FIRST", upkeep_workers.frame_of(1, range(0, 600, 60)), "test", "minute")


def check_contents(path: Path, writers: Sequence[Report]) -> None:
    """Fail unless the store has what the writers know to be there, and nothing else."""
    with DuckDBDataStorage(path) as storage:
        assert storage.verify().findings == []
        known = {"FIRST"}
        for report in writers:
            for symbol, (old, recent) in report.models.items():
                upkeep_workers.check_model(symbol, old, recent, upkeep_workers.check_series(storage, symbol))
                known.add(symbol)
        assert {info.key.asset.symbol for info in storage.list_series()} <= known
    left = {file.name for file in path.parent.iterdir() if file.name.startswith("s.duckdb")}
    assert left <= LEFT, left


def is_stable(measured: Sequence[int]) -> bool:
    """Return whether the last third is, in the middle, hardly above the third before."""
    third = len(measured) // 3
    if third < 5:
        return True
    before, last = statistics.median(measured[third : 2 * third]), statistics.median(measured[-third:])
    return last <= 1.1 * before + ROOM


def describe(reports: dict[str, list[Report]]) -> None:
    """Print what was done, and how memory and file size changed."""
    for kind, members in reports.items():
        for report in members:
            third = max(len(report.memory) // 3, 1)
            parts = [report.memory[:third], report.memory[third : 2 * third], report.memory[-third:]]
            memory = " ".join(f"{statistics.median(part) / 2**20:.0f}" for part in parts if part)
            print(f"\n{kind}: {report.rounds} rounds; memory in MB, by thirds: {memory}", end="")
    (compacting,) = reports["compact"]
    sizes = [f"{size / 2**20:.1f}" for size in compacting.sizes[:: max(len(compacting.sizes) // 12, 1)]]
    print(f"\nsize in MB after compactions: {' '.join(sizes)}")


def check_soak(path: Path, seconds: float, crew: Mapping[str, int]) -> None:
    begin(path)
    reports = run_crew(path, seconds, crew)
    describe(reports)
    check_contents(path, reports["write"])
    assert all(report.rounds for members in reports.values() for report in members)
    if seconds >= LONG_ENOUGH:
        assert all(is_stable(report.memory) for members in reports.values() for report in members)
        (compacting,) = reports["compact"]
        assert is_stable(compacting.sizes)


@pytest.mark.soak
def test_everything_at_once(tmp_path: Path) -> None:
    check_soak(tmp_path / "s.duckdb", 4.0, SMALL_CREW)


@pytest.mark.long
@pytest.mark.soak
@pytest.mark.timeout(SOAK_SECONDS + 600)
def test_everything_at_once_for_long(tmp_path: Path) -> None:
    check_soak(tmp_path / "s.duckdb", SOAK_SECONDS, CREW)
