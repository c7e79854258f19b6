"""Storages that know as little about a store as those of a new process."""

from __future__ import annotations

from pathlib import Path

from lumibot_duckdb.duckdb_storage import DuckDBDataStorage
from lumibot_duckdb.storage.bars.known_contents import KnownContents


def opened_anew(path: Path) -> DuckDBDataStorage:
    """Return a storage on the store at `path` that shares nothing with earlier ones of this process."""
    KnownContents._shared.clear()
    return DuckDBDataStorage(path)
