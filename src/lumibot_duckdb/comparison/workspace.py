"""The working folder of a comparison, and the progress messages of its steps."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter


@contextmanager
def working_folder(keep: Path | None, purpose: str) -> Iterator[Path]:
    """Yield the folder `keep`, or a temporary one, named after its purpose, that is deleted afterwards."""
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
    """Print a step when it starts, and its duration when it ends."""
    print(f"  {what} ... ", end="", flush=True)
    started = perf_counter()
    try:
        yield
    except BaseException:
        print("stopped", flush=True)
        raise
    print(f"{perf_counter() - started:,.1f} s", flush=True)
