"""A kill, a torn write, a full disk or an I/O error at any system call loses nothing that was acknowledged.

`make test` tries a few of the calls, chosen at random; `make soak` hundreds, and kills at random moments.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from faults.operations import OPERATIONS, contents, copy_store
from lumibot_duckdb import DuckDBDataStorage
from storage.frames import minute_bars

HERE = Path(__file__).resolve().parent
NOTHING_STORED = "nothing was stored"
KEPT = "is kept in"
SEVERAL_WRITES = ("merge",)  # an error is about one of them
KINDS = ("kill", "torn", "no space", "I/O error", "full")
SAMPLE = 12
PLACED = int(os.environ.get("LUMIBOT_DUCKDB_PLACED_FAULTS", "600"))
RANDOM_KILLS = 300


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library that makes system calls fail."""
    compiler = shutil.which("cc")
    if not sys.platform.startswith("linux") or compiler is None:
        pytest.skip("placing faults takes Linux and a C compiler")
    library = tmp_path_factory.mktemp("shim") / "shim.so"
    call = [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(HERE / "shim.c"), "-ldl"]
    made = subprocess.run(call, capture_output=True, text=True)
    if made.returncode:
        pytest.skip(f"the C compiler cannot make a library: {made.stderr.splitlines()[-1:]}")
    return library


class Bench:
    """Runs operations on copies of prepared stores, with faults."""

    def __init__(self, shim: Path, folder: Path) -> None:
        self._folder = folder
        self._number = 0
        self.counts: Counter[str] = Counter()
        environment = {
            **os.environ,
            "LD_PRELOAD": str(shim),
            "PYTHONPATH": os.pathsep.join([str(HERE.parents[1]), str(HERE.parent)]),
            "PYTHONWARNINGS": "ignore",
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "faults.injector"],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=(folder / "log").open("w"),
            text=True,
        )
        self._templates: dict[str, Path] = {}
        self._expected: dict[str, tuple[dict[str, str], dict[str, str], int]] = {}

    def close(self) -> None:
        self._process.communicate()

    def expected(self, operation: str) -> tuple[dict[str, str], dict[str, str], int]:
        """Return the contents before and after an operation that succeeds, and how many system calls it makes."""
        if operation not in self._expected:
            template = self._folder / operation.replace(" ", "_")
            template.mkdir()
            storage = DuckDBDataStorage(template / "s.duckdb")
            OPERATIONS[operation].prepare(storage)
            storage.close()
            self._templates[operation] = template
            before = self._contents(copy_store(template, self._folder / f"{operation}_before"), merge=False)
            found = self.run(operation, 0, "count")
            assert found["first"] == found["close"] == found["read"] == found["next"] == {}
            after = self._contents(self._last, merge=True)
            after.pop("NEXT stock, minute bars from test")
            self._expected[operation] = before, after, found["calls"]
        return self._expected[operation]

    def run(self, operation: str, at: int, kind: str, **more: Any) -> dict[str, Any]:
        self._number += 1
        folder = self._folder / f"{self._number}"
        self._last = copy_store(self._templates[operation], folder)
        case = {"operation": operation, "path": str(self._last), "at": at, "kind": kind, **more}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(case) + "\n")
        self._process.stdin.flush()
        found: dict[str, Any] = json.loads(self._process.stdout.readline())
        return found

    def check(self, operation: str, at: int, kind: str, **more: Any) -> None:
        """Run an operation with a fault, and fail unless the store is as it was before or after."""
        before, after, _ = self.expected(operation)
        found = self.run(operation, at, kind, **more)
        context = f"{operation}, {kind} at call {at}: {found}"
        self.counts["killed" if found["killed"] else kind] += 1
        if not found["killed"]:
            assert found["status"] == 0, context
            self._check_claims(found, None if operation in SEVERAL_WRITES else before, context)
        self._check_store(found, before, after, context)
        shutil.rmtree(self._last.parent)

    def _check_claims(self, found: dict[str, Any], before: dict[str, str] | None, context: str) -> None:
        """Check that errors in the process itself were true, and that it could use the store again."""
        for step in ("first", "close", "read", "next", "end"):
            assert found[step].get("type") != "foreign", context
        assert found["close"] == found["read"] == found["next"] == found["end"] == {}, context
        error = found["first"].get("error", "")
        if before is not None and NOTHING_STORED in error and KEPT not in error:
            assert found["contents"] == before, context

    def _check_store(self, found: dict[str, Any], before: dict[str, str], after: dict[str, str], context: str) -> None:
        storage = DuckDBDataStorage(self._last)
        kept = KEPT in found.get("first", {}).get("error", "")
        there = self._contents(self._last, merge=kept or found["done"])
        there.pop("NEXT stock, minute bars from test", None)
        for part in before.keys() | after.keys() | there.keys():
            assert there.get(part) in (before.get(part), after.get(part)), f"{part} of {context}"
        if found["done"] or kept:
            assert there == after, context
        if storage.statistics().series:
            assert storage.verify().sound, context
        storage.store_ohlcv_data("LAST", minute_bars(rows=3), "test", "minute")
        storage.close()
        left = {file.name for file in self._last.parent.iterdir()} - {"s.duckdb.spool"}
        assert left <= {"s.duckdb", "s.duckdb.lock", "s.duckdb.turn"} or "compact" in context, f"{left} {context}"

    @staticmethod
    def _contents(path: Path, *, merge: bool) -> dict[str, str]:
        storage = DuckDBDataStorage(path)
        if merge:
            storage.merge_spooled()
        there = contents(storage)
        storage.close()
        return there


@pytest.fixture
def report(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """Print a line that pytest does not hide."""

    def say(line: str) -> None:
        with capsys.disabled():
            print(f"\n{line}", flush=True)

    return say


@pytest.fixture(scope="module")
def bench(shim: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    bench = Bench(shim, tmp_path_factory.mktemp("faults"))
    yield bench
    bench.close()


def places(bench: Bench, operation: str) -> list[tuple[str, int, str]]:
    _, _, calls = bench.expected(operation)
    return [(operation, at, kind) for at in range(1, calls + 1) for kind in KINDS]


def test_the_library_counts_the_calls_of_each_operation(bench: Bench) -> None:
    calls = {operation: bench.expected(operation)[2] for operation in OPERATIONS}
    assert min(calls.values()) >= 5
    for operation, (before, after, _) in bench._expected.items():
        assert (before != after) == (operation not in ("compact", "recover", "upgrade")), operation


def test_a_sample_of_faults_loses_nothing(bench: Bench, report: Callable[[str], None]) -> None:
    every = [place for operation in OPERATIONS for place in places(bench, operation)]
    seed = random.randrange(2**32)
    random.Random(seed).shuffle(every)
    bench.counts.clear()
    for place in every[:SAMPLE]:
        bench.check(*place)
    report(f"faults with seed {seed}: {dict(bench.counts)} of {len(every)} places")
    assert sum(bench.counts.values()) == SAMPLE


@pytest.mark.long
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_fault_at_any_call_loses_nothing(bench: Bench, operation: str, report: Callable[[str], None]) -> None:
    every = places(bench, operation)
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    bench.counts.clear()
    for kind in KINDS:
        of_kind = [place for place in every if place[-1] == kind]
        for place in chance.sample(of_kind, min(len(of_kind), -(-PLACED // len(OPERATIONS) // len(KINDS)))):
            bench.check(*place)
    report(f"faults during {operation} with seed {seed}: {dict(bench.counts)} of {len(every)} places")
    assert bench.counts["killed"] > 0
    assert bench.counts["full"] > 0


@pytest.mark.long
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_kills_at_random_moments_with_a_full_disk_lose_nothing(
    bench: Bench, operation: str, report: Callable[[str], None]
) -> None:
    _, _, calls = bench.expected(operation)
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    bench.counts.clear()
    for number in range(-(-RANDOM_KILLS // len(OPERATIONS))):
        kind = "full" if number % 2 else "count"
        bench.check(operation, chance.randint(1, calls), kind, seconds=chance.uniform(0.0, 0.25))
    report(f"random kills during {operation} with seed {seed}: {dict(bench.counts)}")
    assert bench.counts["killed"] > 0
