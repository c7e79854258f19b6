"""Runs the demo's sweep in a new process, without the user's settings and caches."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from lumibot_duckdb.comparison.outcome import DUCKDB
from lumibot_duckdb.comparison.process import run_as_group
from lumibot_duckdb.comparison.runner import OUTPUT, RunError
from lumibot_duckdb.comparison.sandbox import sandbox_environment
from lumibot_duckdb.demo.job import Job

_LAST_LINES = 20


def sweep_in_sandbox(job: Job, store: Path, folder: Path, page: Path, parameters: Mapping[str, Sequence[int]]) -> str:
    """Backtest all combinations of parameters, write the report to `page`, and return what the sweep has found.

    Other files are written to `folder`, which is created, and the results beside the store. Raises `RunError` if the
    sweep fails.
    """
    sandbox = folder / "sandbox"
    sandbox.mkdir(parents=True)
    job_file, output = folder / "job.json", folder / OUTPUT
    job_file.write_text(json.dumps(asdict(job)))
    arguments = [job_file, store, page.absolute(), json.dumps(parameters)]
    command = [sys.executable, "-m", "lumibot_duckdb.demo.sweep", *map(str, arguments)]
    with output.open("w", encoding="utf-8") as writing:
        code = run_as_group(command, environment=sandbox_environment(sandbox), output=writing, folder=sandbox)
    printed = output.read_text(encoding="utf-8", errors="replace").rstrip()
    if code:
        lines = printed.splitlines()
        raise RunError(DUCKDB, lines[-1] if lines else f"its process ended with code {code}", lines[-_LAST_LINES:])
    return printed
