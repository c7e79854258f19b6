"""Small caches for tests: files that old releases of Lumibot wrote, and a store to migrate them to."""

from __future__ import annotations

import datetime as dt
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.migration.plan import Plan, plan_of
from lumibot_duckdb.migration.run import Outcome, migrate_files
from lumibot_duckdb.storage.api import SeriesKey

DATA = Path(__file__).parent / "data" / "polygon"
DOWNLOADED = dt.datetime(2023, 3, 14, 12, tzinfo=dt.timezone.utc)
"""The modification time of the files. Their last day was over by then."""


@dataclass
class Cache:
    """A cache folder and a store."""

    home: Path
    storage: DuckDBDataStorage = field(init=False)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True)
        self.storage = DuckDBDataStorage(self.home / "store")

    @property
    def folder(self) -> Path:
        return self.home / "cache"

    def of_release(self, release: str) -> Cache:
        shutil.copytree(DATA / release, self.folder, dirs_exist_ok=True)
        for file in self.files():
            written(file, DOWNLOADED)
        return self

    def files(self) -> list[Path]:
        return sorted(path for path in self.folder.rglob("*") if path.is_file())

    def file(self, name: str) -> Path:
        return self.folder / "polygon" / name

    def plan(self, *only: str) -> Plan:
        return plan_of(self.folder, only or None)

    def migrate(self, *, delete_verified: bool = False) -> dict[str, Outcome]:
        outcomes = list(migrate_files(self.plan(), self.storage, delete_verified=delete_verified))
        return {outcome.file.name: outcome for outcome in outcomes}

    def bars(self, key: SeriesKey) -> pd.DataFrame:
        return self.storage.read_pandas(self.storage.pin(key))

    def days(self, key: SeriesKey) -> list[tuple[str, str]]:
        """The covered ranges of a series, in New York's time."""
        return [(_new_york(piece.start), _new_york(piece.end)) for piece in self.storage.coverage(key)]


def written(file: Path, when: dt.datetime) -> None:
    """Set the modification time of a file."""
    os.utime(file, (when.timestamp(), when.timestamp()))


def _new_york(seconds: int) -> str:
    return f"{pd.Timestamp(seconds, unit='s', tz='UTC').tz_convert('America/New_York'):%m-%d %H:%M}"
