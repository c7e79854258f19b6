"""Writes what a backtest did, so that the benchmark can compare both sides."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]

from benchmarks.outcomes import outcome_of
from lumibot_duckdb.comparison.headless import UNATTENDED
from lumibot_duckdb.comparison.memory import peak_resident_bytes

QUIET: dict[str, Any] = UNATTENDED
"""Arguments of `run_backtest` without files and windows at the end."""
RESULT_VARIABLE = "BENCHMARK_RESULT"


def keep_outcome(strategy: Any) -> None:
    """Write the outcome and the memory, in bytes, to the file that the environment names."""
    outcome = {**outcome_of(strategy), "peak": peak_resident_bytes(), "private": _private_bytes()}
    Path(os.environ[RESULT_VARIABLE]).write_text(json.dumps(outcome))


def _private_bytes() -> int:
    """Return the memory that no file backs, so without the code of libraries."""
    memory = psutil.Process().memory_info()
    return int(memory.rss - memory.shared)
