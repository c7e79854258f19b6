"""Runs the demo's script on both storages, each in a new process, and compares the runs."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from lumibot_duckdb.comparison.comparison import Result
from lumibot_duckdb.comparison.differences import compare_runs
from lumibot_duckdb.comparison.outcome import DUCKDB, LUMIBOT, SIDES
from lumibot_duckdb.comparison.runner import NAMES, Script, run_in_sandbox, sandbox_of
from lumibot_duckdb.comparison.step_display import step
from lumibot_duckdb.demo.job import REQUESTS_FILE, Job

_SCRIPT = Path("lumibot_duckdb.demo.backtest")


@dataclass(frozen=True)
class Compared:
    """The comparison of both sides, and by side the seconds of each call, by request, such as "60 minute"."""

    result: Result
    request_seconds: dict[str, dict[str, list[float]]]


def compare_sides(job: Job, store: Path, folder: Path) -> Compared:
    """Run a job on both sides and compare the results. Raises `RunError` if a backtest fails.

    Everything is written to `folder`, which is created.
    """
    folder.mkdir(parents=True)
    job_file = folder / "job.json"
    job_file.write_text(json.dumps(asdict(job)))
    script = Script(_SCRIPT, (str(job_file),), store, is_module=True)
    runs = {}
    for side in SIDES:
        with step(f"  on {NAMES[side]}"):
            runs[side] = run_in_sandbox(script, side, folder)
    lumibot, duckdb = runs[LUMIBOT], runs[DUCKDB]
    result = Result(_SCRIPT, lumibot, [lumibot], [duckdb], compare_runs(lumibot, duckdb))
    seconds = {side: json.loads((sandbox_of(side, folder) / REQUESTS_FILE).read_text()) for side in SIDES}
    return Compared(result, seconds)
