"""A kill, a torn write, a full disk or an I/O error at any system call loses nothing that was acknowledged.

`make test` tries a few of the calls, chosen at random; `make soak` hundreds, and kills at random moments.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator

import duckdb
import pytest

from faults.bench import COMPLETE, PARTLY, UNCHANGED, Bench, fault_library, table_text
from faults.operations import OPERATIONS

KILLS = ("kill", "torn")
ERRORS = ("no space", "I/O error", "full")
SAMPLED_OPERATIONS, SAMPLED_FAULTS, FEW = 2, 3, 4
PLACED_KILLS, PLACED_ERRORS, RANDOM_KILLS = 500, 300, 300


@pytest.fixture(scope="module")
def report(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Print a line that pytest does not hide."""
    capture = request.config.pluginmanager.getplugin("capturemanager")

    def say(line: str) -> None:
        with capture.global_and_fixture_disabled():
            print(f"\n{line}", flush=True)

    return say


@pytest.fixture(scope="module")
def total(report: Callable[[str], None]) -> Iterator[Counter[str]]:
    """Count the faults of all tests, and print the result at the end."""
    counted: Counter[str] = Counter()
    yield counted
    report(f"{sum(counted.values()):,} faults in all: {_text(counted)}")


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory, report: Callable[[str], None]) -> Iterator[Bench]:
    """Run a bench, and print at the end what it has done to each operation."""
    bench = Bench(fault_library(tmp_path_factory.mktemp("shim")), tmp_path_factory.mktemp("faults"))
    yield bench
    bench.close()
    report(table_text(bench.table))


@pytest.fixture
def bench(process: Bench, total: Counter[str]) -> Iterator[Bench]:
    """A bench that has counted nothing yet."""
    process.counts.clear()
    yield process
    total.update(process.counts)


def _text(counts: Counter[str]) -> str:
    return ", ".join(f"{kind} {count}" for kind, count in sorted(counts.items()))


ENGINE_THAT_ABORTS = pytest.mark.skipif(
    duckdb.__version__.startswith("1."), reason="DuckDB 1.5 ends the process when its log can no longer be written"
)


def share(of: int) -> int:
    """Return how many of so many faults each operation gets."""
    return -(-of // len(OPERATIONS))


def spread(calls: int, most: int) -> list[int]:
    """Return at most so many of the calls, from the first to the last."""
    steps = min(calls, most) - 1
    return [1 + step * (calls - 1) // steps for step in range(steps + 1)]


def kills(bench: Bench) -> int:
    """Return how many processes were killed during the operation."""
    return bench.counts["killed"] + bench.counts["killed with a full disk"]


def test_a_sample_of_faults_loses_nothing(bench: Bench, report: Callable[[str], None]) -> None:
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    for operation in chance.sample(sorted(OPERATIONS), SAMPLED_OPERATIONS):
        calls = bench.expected(operation).calls
        for kind in chance.sample((*KILLS, *ERRORS), SAMPLED_FAULTS):
            bench.check(operation, chance.randint(1, calls), kind)
    report(f"faults with seed {seed}: {_text(bench.counts)}")
    assert sum(bench.counts.values()) == SAMPLED_OPERATIONS * SAMPLED_FAULTS


@pytest.mark.parametrize("most", [FEW, pytest.param(1_000, marks=pytest.mark.long)])
@pytest.mark.parametrize(
    ("operation", "suffix", "kind"),
    [
        pytest.param("append", ".wal", "broken", marks=ENGINE_THAT_ABORTS),
        ("download", ".wal", "I/O error"),
        pytest.param("download", ".guard", "I/O error", marks=pytest.mark.long),
        pytest.param("download", ".lock", "I/O error", marks=pytest.mark.long),
    ],
)
def test_an_io_error_beside_the_store_is_reported_truly(
    bench: Bench, operation: str, suffix: str, kind: str, most: int
) -> None:
    """Calls fail on DuckDB's log, the copy before a checkpoint, the lock. Downloads are stored or spooled.

    A call fails once, or (if the disk is "broken") with all calls after it.
    """
    bench.expected(operation)
    only = f"s.duckdb{suffix}"
    calls = bench.run(operation, 0, "count", only=only)["calls"]
    assert calls >= FEW
    errors = 0
    for at in spread(calls, most):
        found = bench.check(operation, at, kind, only=only)
        assert found["failed"] == 1 or kind == "broken"
        errors += found["first"] != {}
    assert errors > 0 or suffix == ".guard"  # which is needed once the bars are stored


@pytest.mark.long
def test_the_library_counts_the_calls_of_each_operation(bench: Bench) -> None:
    for operation in OPERATIONS:
        expected = bench.expected(operation)
        assert expected.calls >= 5
        changes_nothing = operation in (
            *("backup", "backup again", "build", "compact", "recover", "replica", "upgrade"),
        )
        assert (expected.before != expected.after) == (not changes_nothing), operation


@pytest.mark.long
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_fault_at_any_call_loses_nothing(bench: Bench, operation: str, report: Callable[[str], None]) -> None:
    calls = range(1, bench.expected(operation).calls + 1)
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    for kinds, number in ((KILLS, PLACED_KILLS), (ERRORS, PLACED_ERRORS)):
        for kind in kinds:
            for at in chance.sample(calls, min(len(calls), -(-share(number) // len(kinds)))):
                bench.check(operation, at, kind)
    report(f"faults at {len(calls)} calls of {operation} with seed {seed}: {_text(bench.counts)}")
    assert bench.counts["killed"] >= min(share(PLACED_KILLS), 2 * len(calls))
    assert bench.counts["full"] > 0


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("operation", ["merge store one by one", "prune one by one"])
def test_a_kill_between_batches_leaves_whole_batches(bench: Bench, operation: str) -> None:
    """Each call on the log, which has one transaction after the other: so kills come between any two of them."""
    bench.expected(operation)
    only = "s.duckdb.wal"
    calls = bench.run(operation, 0, "count", only=only)["calls"]
    left = [bench.check(operation, at, "kill", only=only)["left"] for at in range(1, calls + 1)]
    assert left == sorted(left, key=[UNCHANGED, PARTLY, COMPLETE].index)
    assert {UNCHANGED, PARTLY, COMPLETE} == set(left)
    assert bench.stages(operation) >= 2


@pytest.mark.long
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_kills_at_random_moments_with_a_full_disk_lose_nothing(
    bench: Bench, operation: str, report: Callable[[str], None]
) -> None:
    """Every other one while the disk is full from some call on."""
    expected = bench.expected(operation)
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    longest = expected.seconds
    for number in range(10 * share(RANDOM_KILLS)):
        kind = "full" if number % 2 else "count"
        seconds = chance.uniform(0, longest)
        found = bench.check(operation, chance.randint(1, expected.calls), kind, seconds=seconds)
        if found["over"]:  # the machine is faster than at first
            longest *= 0.9
        if kills(bench) == share(RANDOM_KILLS):
            break
    report(f"kills at random moments of {operation} with seed {seed}: {_text(bench.counts)}")
    assert kills(bench) == share(RANDOM_KILLS)
    assert bench.counts["killed with a full disk"] > 0
