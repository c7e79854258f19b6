"""Writes what a backtest did, so that the benchmark can compare both sides."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from benchmarks.outcomes import memory_used, outcome_of
from lumibot_duckdb.comparison.headless import UNATTENDED

QUIET: dict[str, Any] = UNATTENDED
"""Arguments of `run_backtest` without files and windows at the end."""
RESULT_VARIABLE = "BENCHMARK_RESULT"


def keep_outcome(strategy: Any) -> None:
    """Write the outcome and the memory, in bytes, to the file that the environment names."""
    outcome = {**outcome_of(strategy), **memory_used()}
    Path(os.environ[RESULT_VARIABLE]).write_text(json.dumps(outcome))
