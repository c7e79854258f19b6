"""Stores that many tests begin with: each is filled once in a process, and copied for every test.

Filling a store takes from a twentieth of a second, copying its file less than a thousandth.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from lumibot_duckdb import DuckDBDataStorage


def template(fill: Callable[[DuckDBDataStorage], None]) -> Callable[[Path], Path]:
    """Turn a function that fills a new store into one that writes a copy of that store to a path, which it returns."""

    @cache
    def content() -> bytes:
        with TemporaryDirectory() as folder, DuckDBDataStorage(folder) as storage:
            fill(storage)
            storage.close()
            return storage.path.read_bytes()

    def copy(path: Path) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content())
        return path

    return copy
