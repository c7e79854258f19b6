"""States of a store: usable, held by another program, and on a full disk."""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

_HOLD = """
import duckdb, sys, time
while True:
    try:
        held = duckdb.connect(sys.argv[1])
        break
    except duckdb.IOException:  # the recorder has it open
        time.sleep(0.01)
print(flush=True)
sys.stdin.readline()
"""


@contextmanager
def _held(path: Path) -> Iterator[None]:
    """Let another program have the file open, as a DuckDB shell does."""
    command = [sys.executable, "-c", _HOLD, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        holder.stdout.readline()
        try:
            yield
        finally:
            holder.stdin.close()


@contextmanager
def _without_room(path: Path) -> Iterator[None]:
    """Let every file of this process that grows fail, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def _usual(path: Path) -> AbstractContextManager[None]:
    return nullcontext()


STATES: Mapping[str, Callable[[Path], AbstractContextManager[None]]] = {
    "usual": _usual,
    "held": _held,
    "full": _without_room,
}
"""Contexts, by the state in which each puts a store."""
