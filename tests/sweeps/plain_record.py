"""The record of a backtest in a script that runs on its own, to compare with that of a trial."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from lumibot_duckdb import clock
from lumibot_duckdb.results.records import TrialRecord

TESTS = Path(__file__).parents[1]
SCRIPTS = Path(__file__).parent / "scripts"


def keep_record(strategy: Any, file: str) -> None:
    """Write the record of a strategy that has been backtested in this process."""
    from lumibot_duckdb.sweeps.trials.collecting import record_of
    from lumibot_duckdb.sweeps.trials.risk_free_rates import note_risk_free_rates

    note_risk_free_rates()
    assert strategy.risk_free_rate is not None  # which is noted when it is read
    record = record_of(strategy, started=clock.utc_now(), seconds=0.0)
    Path(file).write_bytes(pickle.dumps(record))


def run_alone(
    script: Path,
    values: Mapping[str, Any],
    folder: Path,
    arguments: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> TrialRecord:
    """Run a script as `python script.py` does, with values of parameters, and return the record of its backtest.

    If an error ends the script, the record has only that.
    """
    kept = folder / "alone.pickle"
    paths = [str(TESTS), str(TESTS.parent), str(TESTS.parent / "src"), os.environ.get("PYTHONPATH", "")]
    ended = subprocess.run(
        [sys.executable, str(script), *arguments],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={
            **os.environ,
            "IS_BACKTESTING": "true",
            "PYTHONHASHSEED": "0",
            "LUMIBOT_DISABLE_DOTENV": "1",
            "VALUES": json.dumps(values),
            "KEEP": str(kept),
            "PYTHONPATH": os.pathsep.join(filter(None, paths)),
            **(environment or {}),
        },
    )
    if ended.returncode:
        error = ended.stderr.strip().splitlines()[-1]
        return TrialRecord(values, "failed", clock.utc_now(), 0.0, error=error)
    record = pickle.loads(kept.read_bytes())
    kept.unlink()
    assert isinstance(record, TrialRecord)
    return record


def assert_same_results(trial: TrialRecord, alone: TrialRecord) -> None:
    """Compare every value, fill, return, statistic and parameter, to the last bit; or the error that ended both."""
    if alone.status == "failed":
        assert (trial.status, trial.error) == ("failed", alone.error)
        return
    assert trial.status == "complete", f"{trial.error}\n{trial.traceback}"
    for name in ("equity", "trades", "daily_returns"):
        ours, theirs = getattr(trial, name), getattr(alone, name)
        assert isinstance(ours, pa.Table)
        assert ours.num_rows
        assert ours.to_pydict() == theirs.to_pydict(), name
    assert trial.statistics == alone.statistics
    assert trial.parameters == alone.parameters
