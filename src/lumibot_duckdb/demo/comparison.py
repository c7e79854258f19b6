"""Runs a backtest on both storages, each in a fresh process, and says whether they did exactly the same."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

from lumibot_duckdb.demo.worker import Job, Outcome, Row

# What steers Lumibot from outside: a person's own settings must neither change the demo nor be used by it.
_SETTINGS = ("BACKTESTING_", "LUMIBOT_", "SAVE_LOGFILE", "SHOW_", "POLYGON_", "THETADATA_", "DATADOWNLOADER_")


class TrialError(RuntimeError):
    """A backtest did not come to its end; the message has the last line that it printed."""


def run_side(job: Job, folder: Path) -> Outcome:
    """Run one side in a process of its own that writes nothing outside of `folder` (created) and needs no network.

    Raises `TrialError` when the backtest fails; its whole output is then in `folder/output.txt`.
    """
    folder.mkdir(parents=True)
    job_file, result_file, output_file = folder / "job.json", folder / "result.json", folder / "output.txt"
    job_file.write_text(json.dumps(asdict(job)))
    environment = {name: value for name, value in os.environ.items() if not name.startswith(_SETTINGS)}
    environment |= {
        "IS_BACKTESTING": "true",
        "LUMIBOT_DISABLE_DOTENV": "1",
        "LUMIBOT_CACHE_FOLDER": str(folder / "cache"),
        "LUMIBOT_DUCKDB_PATH": str(folder / "unused.duckdb"),
        "MPLBACKEND": "Agg",
    }
    command = [sys.executable, "-m", "lumibot_duckdb.demo.worker", str(job_file), str(result_file)]
    with output_file.open("w") as output:
        finished = subprocess.run(command, cwd=folder, env=environment, stdout=output, stderr=subprocess.STDOUT)
    if finished.returncode != 0 or not result_file.exists():
        lines = output_file.read_text().strip().splitlines() or [f"it ended with code {finished.returncode}"]
        raise TrialError(f"the backtest on {_NAMES[job.side]} failed: {lines[-1]}")
    return Outcome(**json.loads(result_file.read_text()))


_NAMES = {"lumibot": "Lumibot's own storage", "duckdb": "lumibot-duckdb"}


def on_side(job: Job, side: str) -> Job:
    """Return the same job for "lumibot" or "duckdb"."""
    return replace(job, side=side)


def first_difference(lumibot: Outcome, duckdb: Outcome) -> str | None:
    """Return None when both did the same to the last bit, else a line that shows the first place where they differ."""
    for what in ("frames", "fills", "values"):
        theirs, ours = getattr(lumibot, what), getattr(duckdb, what)
        for number, (left, right) in enumerate(zip(theirs, ours, strict=False), start=1):
            if _exactly(left) != _exactly(right):
                return f"{what}, number {number}: Lumibot has {left}, lumibot-duckdb has {right}"
        if len(theirs) != len(ours):
            return f"{what}: Lumibot has {len(theirs):,}, lumibot-duckdb has {len(ours):,}"
    return None


def _exactly(row: Row) -> str:
    """Return text that is equal only for equal bits, and equal for two NaN."""
    return repr(row)
