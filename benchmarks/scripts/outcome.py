"""Writes what a backtest did, so that the benchmark can compare both sides."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from benchmarks.outcomes import outcome_of
from lumibot_duckdb.comparison.headless import UNATTENDED
from lumibot_duckdb.comparison.memory import peak_resident_bytes

QUIET: dict[str, Any] = UNATTENDED
"""Arguments of `run_backtest` without files and windows at the end."""
RESULT_VARIABLE = "BENCHMARK_RESULT"


def keep_outcome(strategy: Any) -> None:
    """Write the outcome and the peak memory, in bytes, to the file that the environment names."""
    outcome = {**outcome_of(strategy), "peak": peak_resident_bytes()}
    Path(os.environ[RESULT_VARIABLE]).write_text(json.dumps(outcome))
