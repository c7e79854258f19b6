"""Storages that know as little about a store as those of a new process."""

from __future__ import annotations

from pathlib import Path

from lumibot_duckdb.storage.bars.known_contents import KnownContents
from lumibot_duckdb.storage.duckdb_storage import DuckDBDataStorage


def opened_anew(path: Path) -> DuckDBDataStorage:
    """Return a storage on the store at `path` that shares nothing with earlier ones of this process."""
    KnownContents._shared.clear()
    return DuckDBDataStorage(path)
