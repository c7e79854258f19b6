"""A process in which system calls fail on purpose. It runs one operation per line of its standard input.

Each runs in a fork, which can be killed and starts fast. `python -m faults.injector`
expects the library made of `shim.c` to be preloaded.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from faults.operations import OPERATIONS, contents, store
from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.storage.errors import StorageError
from storage.frames import minute_bars

KINDS = {"count": 0, "kill": 1, "torn": 2, "no space": 3, "I/O error": 4, "full": 5}
NEXT = minute_bars("2024-02-01 09:30", rows=3)
BEGUN, DONE, OVER = b"b", b"d", b"o"


def attempt(act: Any) -> dict[str, str]:
    """Return what a call raised, in words; nothing if it succeeded."""
    try:
        act()
    except StorageError as error:
        return {"error": str(error), "type": type(error).__name__}
    except BaseException as error:  # an error that is not ours
        return {"error": f"{error!r}", "type": "foreign"}
    return {}


def run(case: dict[str, Any]) -> dict[str, Any]:
    """Run an operation with a fault, then use the store again, in the same process.

    The fault is at a call that changes a file in the store's folder, or one whose name begins with `case["only"]`.
    """
    shim = ctypes.CDLL(None)
    path = Path(case["path"])
    storage = DuckDBDataStorage(path)
    where = str(path.parent / case.get("only", ""))
    shim.faults_arm(where.encode(), ctypes.c_long(case["at"]), KINDS[case["kind"]])

    def act() -> None:
        os.write(case["report"], BEGUN)
        OPERATIONS[case["operation"]].run(storage)
        os.write(case["report"], DONE)

    began = time.monotonic()
    found: dict[str, Any] = {"first": attempt(act), "close": attempt(storage.close)}
    found["seconds"] = time.monotonic() - began
    os.write(case["report"], OVER)
    found["calls"] = shim.faults_count()
    found["failed"] = shim.faults_failed()
    shim.faults_disarm()
    found["read"] = attempt(lambda: found.update(contents=contents(storage)))
    found["next"] = attempt(lambda: store(storage, "NEXT", NEXT))
    found["end"] = attempt(storage.close)
    return found


def in_fork(case: dict[str, Any]) -> dict[str, Any]:
    """Run a case in a fork; return what it found, and how far it had come when it was killed, if it was.

    `done` is whether the operation had returned, `over` whether the store had been closed afterwards. With
    `case["seconds"]`, the fork is killed that long after the operation has begun.
    """
    result_read, result_write = os.pipe()
    report_read, report_write = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.write(result_write, json.dumps(run({**case, "report": report_write})).encode())
            status = 0
        finally:
            os._exit(status)
    os.close(result_write)
    os.close(report_write)
    reports = os.read(report_read, 1)  # when it has begun
    if "seconds" in case:
        time.sleep(case["seconds"])
        os.kill(pid, 9)
    text = b"".join(iter(lambda: os.read(result_read, 65_536), b""))
    reports += b"".join(iter(lambda: os.read(report_read, 16), b""))
    os.close(result_read)
    os.close(report_read)
    _, status = os.waitpid(pid, 0)
    found: dict[str, Any] = json.loads(text) if text else {}
    return {
        **found,
        "done": DONE in reports,
        "over": OVER in reports,
        "killed": os.WIFSIGNALED(status) and os.WTERMSIG(status) == 9,
        "status": status,
    }


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(in_fork(json.loads(line))), flush=True)
