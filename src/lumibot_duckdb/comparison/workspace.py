"""Where runs write, and how a person is told what is being done."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter


@contextmanager
def working_folder(keep: Path | None, purpose: str) -> Iterator[Path]:
    """Give a folder to keep, or a new temporary one, named after its purpose, that is gone afterwards."""
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        yield keep.resolve()
        return
    folder = Path(tempfile.mkdtemp(prefix=f"lumibot-duckdb-{purpose}-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def step(what: str) -> Iterator[None]:
    """Say what is being done, and how long it took once it is."""
    print(f"  {what} ... ", end="", flush=True)
    started = perf_counter()
    try:
        yield
    except BaseException:
        print("stopped", flush=True)
        raise
    print(f"{perf_counter() - started:,.1f} s", flush=True)
