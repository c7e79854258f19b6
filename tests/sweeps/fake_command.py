"""The command `sweep` with trials by a formula: `python fake_command.py SECONDS ARGUMENT...`.

The first three trials end at once, and each later one after SECONDS.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from lumibot_duckdb.cli import sweep_summary
from lumibot_duckdb.cli.main import main
from lumibot_duckdb.results.records import TrialRecord
from lumibot_duckdb.sweeps.errors import SweepClosedError
from lumibot_duckdb.sweeps.trials.trial import Trial
from sweeps.fakes import FakeTrials, backtested

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # also where the tests run in the background
    seconds = float(sys.argv[1])
    fake = FakeTrials()

    def run(trial: Trial) -> TrialRecord:
        if trial.number > 3 and fake.closed.wait(seconds):
            raise SweepClosedError
        return backtested(trial)

    fake.run = run
    fake.install(setattr)
    sweep_summary.summary = lambda sweep: f"{len(sweep.records)} trials are there"  # the report takes seconds
    sys.exit(main(sys.argv[2:]))
