"""Runs the command in a test, makes files to import, and reads back what was stored."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest

from lumibot_duckdb.cli.main import main
from lumibot_duckdb.duckdb_storage import DuckDBDataStorage

PROGRAM = Path(sys.executable).with_name("lumibot-duckdb")
"""The path of the installed command."""

DATA = Path(__file__).parents[3] / "shared" / "data"


@dataclass
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


@dataclass
class Command:
    """The command on a separate store for the test."""

    folder: Path
    capture: pytest.CaptureFixture[str]

    @property
    def store(self) -> Path:
        return self.folder / "store" / "lumibot.duckdb"

    @property
    def quarantine(self) -> Path:
        return self.store.parent / "quarantine"

    def __call__(self, *arguments: object) -> Ended:
        self.capture.readouterr()
        code = main([str(argument) for argument in ("--store", self.store, *arguments)])
        return Ended(code, *self.capture.readouterr())

    def storage(self) -> DuckDBDataStorage:
        return DuckDBDataStorage(self.store)

    def bars(self, asset: str = "AAPL", timeframe: str = "minute", source: str | None = None) -> pd.DataFrame:
        return self.storage().get_historical_prices(asset, timeframe=timeframe, source=source)

    def quarantined(self) -> list[str]:
        """The lines of all quarantine files, without their header lines."""
        files = sorted(self.quarantine.glob("*.csv")) if self.quarantine.exists() else []
        return [line for file in files for line in file.read_text().splitlines()[1:]]


def no_store(command: Command) -> str:
    """What a command prints that needs a store, if there is none."""
    remedy = "import bars into it (lumibot-duckdb import), or name another with --store"
    return f"lumibot-duckdb: there is no store at {command.store} yet: {remedy}\n"


def minutes(start: str, count: int, zone: str | None = None) -> list[str]:
    """Return consecutive minutes from a start as text."""
    times = pd.date_range(start, periods=count, freq="min", tz=zone)
    return [time.isoformat(" ") for time in times]


def csv_of(times: list[str], header: str = "timestamp,open,high,low,close,volume") -> str:
    """A CSV of plausible bars at these times, no two alike."""
    rows = [f"{time},{100 + i}.25,{101 + i}.5,{99 + i}.125,{100 + i}.75,{1000 + i}" for i, time in enumerate(times)]
    return "\n".join([header, *rows]) + "\n"
