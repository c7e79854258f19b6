"""Migrates a cache folder into a store as the command does, without its output; returns the reasons of refusals."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd

from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.sources.shared.old_cache.errors import MigrationError
from lumibot_duckdb.sources.shared.old_cache.reader import CacheReader


def moved(reader: CacheReader, storage: DuckDBDataStorage) -> dict[str, str]:
    """Migrate the files that a reader finds; return the reasons of those that were not migrated."""
    reasons = {}
    for path in reader.files():
        try:
            for content in reader.read(path):
                content.store(storage, {"from": path.name})
                assert content.difference(storage) is None, path.name
        except MigrationError as error:
            reasons[path.name] = str(error)
    storage.close()
    return reasons


def snapshot(folder: Path) -> dict[str, bytes]:
    """Return all files of a folder, to see that none is touched."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def written_at(folder: Path, moment: pd.Timestamp) -> None:
    """Set the modification times of all files in a folder to the time at which they would have been written."""
    for path in folder.rglob("*"):
        if path.is_file():
            os.utime(path, (moment.timestamp(), moment.timestamp()))
