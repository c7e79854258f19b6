"""Runs operations on copies of prepared stores with faults in system calls, and checks what is left of the store."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from faults.operations import COPY, OPERATIONS, OTHER, contents, copy_store
from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.storage.upkeep.findings import VerificationReport
from storage.frames import minute_bars

HERE = Path(__file__).resolve().parent
NOTHING_STORED = "nothing was stored"
KEPT = "is kept in"
UNCHANGED, COMPLETE, PARTLY = "unchanged", "complete", "partly complete"
_COLUMNS = {
    "kills": ("kill", "torn"),
    "I/O errors": ("I/O error", "broken"),
    "disk full": ("no space", "full"),
    "random kills": ("random kill",),
    UNCHANGED: (UNCHANGED,),
    PARTLY: (PARTLY,),
    COMPLETE: (COMPLETE,),
}
NEXT = "NEXT stock, minute bars from test"


@dataclass(frozen=True)
class Expected:
    """What an operation does if no call fails: the contents before and after, its system calls, its seconds.

    `copy` are the contents of the backup or the replica that it begins with. `findings` are the checks of `verify`
    that find something without a fault.
    """

    before: dict[str, str]
    after: dict[str, str]
    copy: dict[str, str]
    findings: set[str]
    calls: int
    seconds: float


def fault_library(folder: Path) -> Path:
    """Return the library that makes system calls fail, or skip the test where it cannot be made."""
    compiler = shutil.which("cc")
    if not sys.platform.startswith("linux") or compiler is None:
        pytest.skip("placing faults takes Linux and a C compiler")
    library = folder / "shim.so"
    call = [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(HERE / "shim.c"), "-ldl"]
    made = subprocess.run(call, capture_output=True, text=True)
    if made.returncode:
        pytest.skip(f"the C compiler cannot make a library: {made.stderr.splitlines()[-1:]}")
    return library


def _checks(report: VerificationReport) -> set[str]:
    """Return the names of the checks that found something, beyond what waits in the spool."""
    return {finding.check for finding in report.findings if finding.severity != "info"}


def table_text(table: Mapping[str, Counter[str]]) -> str:
    """Return how many faults were placed in each operation, and what they left of the store, as a table."""
    rows = [["operation", *_COLUMNS]]
    for operation, counts in (*table.items(), ("total", sum(table.values(), Counter[str]()))):
        rows.append([operation, *(str(sum(counts[kind] for kind in kinds)) for kinds in _COLUMNS.values())])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows)


class Bench:
    """Runs operations with faults, in one process after another.

    `counts` has how often each fault happened. `table` has, for each operation, how often faults of each kind were
    placed and what they left of the store: "partly complete" is what some of its transactions did.
    """

    def __init__(self, library: Path, folder: Path) -> None:
        self._folder = folder
        self._number = 0
        self._last = folder  # path of the store of the last run
        self._templates: dict[str, Path] = {}
        self._expected: dict[str, Expected] = {}
        self._parts: dict[str, list[frozenset[str]]] = {}  # what was changed by runs that did not complete
        self.counts: Counter[str] = Counter()
        self.table: dict[str, Counter[str]] = {}
        environment = {
            **os.environ,
            "LD_PRELOAD": str(library),
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
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

    def close(self) -> None:
        """End the process."""
        self._process.communicate()

    def stages(self, operation: str) -> int:
        """Return how many different states were seen between that of before and that of afterwards."""
        return len(set(self._parts.get(operation, ())))

    def expected(self, operation: str) -> Expected:
        """Return what an operation does if no call fails."""
        if operation not in self._expected:
            template = self._folder / operation.replace(" ", "_")
            template.mkdir()
            storage = DuckDBDataStorage(template / "s.duckdb")
            OPERATIONS[operation].prepare(storage)
            storage.close()
            self._templates[operation] = template
            start = copy_store(template, self._folder / f"{operation}_before")
            before = self._contents(start, merge=False)
            found = self.run(operation, 0, "count")
            assert found["first"] == found["close"] == found["read"] == found["next"] == {}, found
            after = self._contents(self._last, merge=True)
            after.pop(NEXT)
            copy = self._contents(template / COPY, merge=False) if (template / COPY).exists() else {}
            findings = set[str]()
            for path in (self._last, *(() if OPERATIONS[operation].damaged else (start,))):
                with DuckDBDataStorage(path) as storage:
                    findings |= _checks(storage.verify()) if storage.statistics().series else set()
            self._expected[operation] = Expected(before, after, copy, findings, found["calls"], found["seconds"])
        return self._expected[operation]

    def run(self, operation: str, at: int, kind: str, **more: Any) -> dict[str, Any]:
        """Run an operation on a copy of its store, with a fault of this kind at a call; return what was found."""
        self._number += 1
        self._last = copy_store(self._templates[operation], self._folder / f"{self._number}")
        case = {"operation": operation, "path": str(self._last), "at": at, "kind": kind, **more}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(case) + "\n")
        self._process.stdin.flush()
        found: dict[str, Any] = json.loads(self._process.stdout.readline())
        return found

    def check(self, operation: str, at: int, kind: str, **more: Any) -> dict[str, Any]:
        """Run an operation with a fault, and fail unless the store is as it was before or after."""
        expected = self.expected(operation)
        found = self.run(operation, at, kind, **more)
        context = f"{operation}, {kind} at call {at}, {more}: {found}"
        self._count(found, kind)
        if not found["killed"]:
            assert found["status"] == 0, context
            self._check_claims(operation, found, expected.before, context)
        found["left"] = self._check_store(operation, found, expected, context)
        row = self.table.setdefault(operation, Counter())
        row["random kill" if "seconds" in more else kind] += 1
        row[found["left"]] += 1
        shutil.rmtree(self._last.parent)
        return found

    def _count(self, found: dict[str, Any], kind: str) -> None:
        if not found["killed"]:
            self.counts[kind] += 1
        elif found["over"]:
            self.counts["killed too late"] += 1
        else:
            self.counts[f"killed{' with a full disk' if kind == 'full' else ''}"] += 1

    def _check_claims(self, operation: str, found: dict[str, Any], before: dict[str, str], context: str) -> None:
        """Check that errors in the process itself were true, and that it could use the store again."""
        for step in ("first", "close", "read", "next", "end"):
            assert found[step].get("type") != "foreign", context
        assert found["close"] == found["read"] == found["next"] == found["end"] == {}, context
        error = found["first"].get("error", "")
        if NOTHING_STORED in error and KEPT not in error and not OPERATIONS[operation].in_parts:
            assert found["contents"] == before, context
        if error and OPERATIONS[operation].is_download and found["failed"] == 1:
            assert KEPT in error, context

    def _check_store(self, operation: str, found: dict[str, Any], expected: Expected, context: str) -> str:
        """Check the store, and that it can be used; return what was left of it."""
        storage = DuckDBDataStorage(self._last)
        kept = KEPT in found.get("first", {}).get("error", "")
        there = self._contents(self._last, merge=kept or found["done"])
        there.pop(NEXT, None)
        left = self._left(operation, there, found, context)
        if found["done"] or kept:
            assert there == expected.after, context
        if OPERATIONS[operation].continues:
            if not OPERATIONS[operation].damaged:
                assert storage.verify().sound, context
            OPERATIONS[operation].run(storage)
            again = contents(storage)
            again.pop(NEXT, None)
            assert again == expected.after, f"run again after {context}"
        if storage.statistics().series:
            report = storage.verify()
            assert report.sound, context
            assert _checks(report) <= expected.findings, context
        storage.store_ohlcv_data("LAST", minute_bars(rows=3), "test", "minute")
        storage.close()
        self._check_copy(expected, context)
        files = {
            file.name for file in self._last.parent.iterdir() if not file.name.startswith(OPERATIONS[operation].leaves)
        }
        assert files <= {
            "s.duckdb",
            "s.duckdb.lock",
            "s.duckdb.turn",
            "s.duckdb.spool",
            "s.duckdb.use",
            OTHER,
            "exports",
        }, f"{files} {context}"
        return left

    def _left(self, operation: str, there: dict[str, str], found: dict[str, Any], context: str) -> str:
        """Return how far the operation came. Fail unless it is one transaction, or several in the same order."""
        before, after = self._expected[operation].before, self._expected[operation].after
        if there == after:
            return COMPLETE if found["done"] or there != before else UNCHANGED
        if there == before:
            return UNCHANGED
        assert OPERATIONS[operation].in_parts, context
        names = before.keys() | after.keys() | there.keys()
        changed = frozenset(name for name in names if before.get(name) != after.get(name) == there.get(name))
        assert all(there.get(name) == before.get(name) for name in names - changed), context
        earlier = self._parts.setdefault(operation, [])
        assert all(changed <= each or each <= changed for each in earlier), f"{changed} {earlier} {context}"
        earlier.append(changed)
        return PARTLY

    def _check_copy(self, expected: Expected, context: str) -> None:
        """Check that a backup or a replica is whole: the one of before, or one of the store afterwards."""
        copy = self._last.with_name(COPY)
        if copy.exists():
            found = self._contents(copy, merge=False)
            assert found in (expected.copy, expected.after), context
            storage = DuckDBDataStorage(copy)
            assert storage.verify().sound, context
            storage.close()

    @staticmethod
    def _contents(path: Path, *, merge: bool) -> dict[str, str]:
        storage = DuckDBDataStorage(path)
        if merge:
            storage.merge_spooled()
        there = contents(storage)
        storage.close()
        return there
