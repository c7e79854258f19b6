"""Runs a backtest of the demo in a new process, and compares the outcomes of both storages bit for bit."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path

from lumibot_duckdb.comparison.headless import ENVIRONMENT
from lumibot_duckdb.comparison.process import run_as_group
from lumibot_duckdb.comparison.runner import NAMES
from lumibot_duckdb.demo.worker import Job, Outcome, Row

# Environment variables that configure Lumibot. The demo must not depend on the user's settings or keys.
_SETTINGS = ("BACKTESTING_", "LUMIBOT_", "SAVE_LOGFILE", "SHOW_", "POLYGON_", "THETADATA_", "DATADOWNLOADER_")


class BacktestFailedError(RuntimeError):
    """A backtest failed; the message has the last line of its output."""


def run_side(job: Job, folder: Path) -> Outcome:
    """Run one side in a new process, which writes only to `folder` (created) and needs no network.

    Raises `BacktestFailedError` if the backtest fails; its whole output is then in `folder/output.txt`.
    """
    folder.mkdir(parents=True)
    job_file, result_file, output_file = folder / "job.json", folder / "result.json", folder / "output.txt"
    job_file.write_text(json.dumps(asdict(job)))
    environment = {name: value for name, value in os.environ.items() if not name.startswith(_SETTINGS)}
    environment |= {
        **ENVIRONMENT,
        "LUMIBOT_DISABLE_DOTENV": "1",
        "LUMIBOT_CACHE_FOLDER": str(folder / "cache"),
        "LUMIBOT_DUCKDB_PATH": str(folder / "unused.duckdb"),
    }
    command = [sys.executable, "-m", "lumibot_duckdb.demo.worker", str(job_file), str(result_file)]
    with output_file.open("w") as output:
        code = run_as_group(command, environment=environment, output=output, folder=folder)
    if code != 0 or not result_file.exists():
        lines = output_file.read_text().strip().splitlines() or [f"its process ended with code {code}"]
        raise BacktestFailedError(f"the backtest on {NAMES[job.side]} failed: {lines[-1]}")
    return Outcome(**json.loads(result_file.read_text()))


def first_difference(lumibot: Outcome, duckdb: Outcome) -> str | None:
    """Return a line on the first difference between two outcomes; None if they are identical to the last bit."""
    for what in ("frames", "fills", "values"):
        theirs, ours = getattr(lumibot, what), getattr(duckdb, what)
        for number, (left, right) in enumerate(zip(theirs, ours, strict=False), start=1):
            if _exactly(left) != _exactly(right):
                return f"{what}, number {number}: Lumibot has {left}, lumibot-duckdb has {right}"
        if len(theirs) != len(ours):
            return f"{what}: Lumibot has {len(theirs):,}, lumibot-duckdb has {len(ours):,}"
    return None


def _exactly(row: Row) -> str:
    """Return a text that is equal only for identical values, and equal for two NaN."""
    return repr(row)
