"""Trials on a provider's bars: what no trial had needed is downloaded once, benchmark and risk-free rate included."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd
import pytest

from lumibot_duckdb import clock
from lumibot_duckdb.sweeps.trials.running import TrialSettings, close, prepare, run_trial
from lumibot_duckdb.sweeps.trials.target import ScriptTarget
from lumibot_duckdb.sweeps.trials.trial import Trial
from sources.yahoo.market import new_york_days, walk
from sources.yahoo.server import Instrument, YahooServer
from sweeps.plain_record import SCRIPTS, assert_same_results, run_alone
from sweeps.trials.test_random_trials import REDIRECTED

SCRIPT = SCRIPTS / "yahoo_bars.py"


def instruments() -> dict[str, Instrument]:
    days = new_york_days("2021-01-04", str(pd.Timestamp.now().date() - pd.Timedelta(days=3)))
    made = {symbol: Instrument(walk(days, seed)) for seed, symbol in enumerate(("AAA", "BBB", "SPY"))}
    return {**made, "^IRX": Instrument(walk(days, 9, price=4.0, step=0.001), kind="INDEX")}


@pytest.mark.long
def test_a_trial_downloads_what_is_missing_once(tmp_path: Path) -> None:
    with YahooServer(instruments=instruments()) as server:
        environment = {
            "TEST_YAHOO": server.url,
            "LUMIBOT_DISABLE_DOTENV": "1",
            "LUMIBOT_CACHE_FOLDER": str(tmp_path / "cache"),
            "PYTHONPATH": os.pathsep.join(map(str, REDIRECTED)),
            "SHOW_TEARSHEET": "False",
            "SHOW_PLOT": "False",
            "SHOW_INDICATORS": "False",
        }
        target = ScriptTarget(str(SCRIPT), store=tmp_path / "s.duckdb", environment=environment, folder=tmp_path)
        try:
            first = prepare(target, Trial(1, {}))
            assert server.charts("SPY")
            assert server.charts("^IRX")
            settings = TrialSettings(as_of=clock.utc_now())
            asked = len(server.requests)
            again = run_trial(target, Trial(1, {}), settings=settings)
            assert len(server.requests) == asked
            other = run_trial(target, Trial(2, {"symbol": "BBB"}), settings=settings)
            assert {request.path.rsplit("/")[-1] for request in server.charts()[len(server.charts()) - 1 :]} == {"BBB"}
            asked = len(server.requests)
            third = run_trial(target, Trial(3, {"symbol": "BBB", "days": 5}), settings=settings)
            assert len(server.requests) == asked
        finally:
            close(target)
        assert not (tmp_path / "logs").exists()
        assert_same_results(first, run_alone(SCRIPT, {}, tmp_path, environment=environment))
        assert_same_results(other, run_alone(SCRIPT, {"symbol": "BBB"}, tmp_path, environment=environment))
        assert_same_results(again, first)
        assert third.status == "complete"
        assert first.daily_returns is not None
        assert first.daily_returns["benchmark"].null_count == 0
