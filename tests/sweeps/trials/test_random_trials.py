"""Random trials of three scripts (days, minutes, options) equal the script run alone on Lumibot's own classes."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from benchmarks.polygon.options import option_market
from lumibot_duckdb import clock
from lumibot_duckdb.sweeps.trials.running import TrialSettings, close, prepare, run_trial
from lumibot_duckdb.sweeps.trials.target import ScriptTarget
from lumibot_duckdb.sweeps.trials.trial import Trial
from sources.polygon.server import KEY, PolygonServer
from sweeps.plain_record import SCRIPTS, TESTS, assert_same_results, run_alone

TRIALS = int(os.environ.get("LUMIBOT_DUCKDB_TRIALS", "17"))
"""Trials of each script."""
REDIRECTED = [TESTS / "sweeps" / "redirected", TESTS, TESTS.parent, TESTS.parent / "src"]


def of_days(numbers: random.Random) -> dict[str, Any]:
    return {
        "fast": numbers.randint(2, 12),
        "slow": numbers.choice([13, 20, 40]),
        "share": round(numbers.uniform(0.2, 1.0), 3),
    }


def of_minutes(numbers: random.Random) -> dict[str, Any]:
    return {"band": round(numbers.uniform(0.0002, 0.003), 4), "shares": numbers.randint(1, 50)}


def of_options(numbers: random.Random) -> dict[str, Any]:
    return {
        "days": numbers.randint(14, 35),
        "profit": round(numbers.uniform(0.05, 0.5), 2),
        "loss": round(numbers.uniform(0.2, 1.5), 2),
        "days_left": numbers.randint(3, 12),
    }


@contextmanager
def polygon() -> Iterator[tuple[PolygonServer, dict[str, str]]]:
    with option_market().served() as server:
        yield server, {"TEST_POLYGON": server.url, "POLYGON_API_KEY": KEY}


@pytest.mark.long
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("kind", ["days", "minutes", "options"])
def test_random_trials_equal_the_script_run_alone(tmp_path: Path, kind: str) -> None:
    values_of: Mapping[str, Callable[[random.Random], dict[str, Any]]] = {
        "days": of_days,
        "minutes": of_minutes,
        "options": of_options,
    }
    numbers = random.Random(kind)
    trials = [Trial(number, values_of[kind](numbers)) for number in range(1, TRIALS + 1)]
    script = SCRIPTS / ("crossover.py" if kind == "days" else "polygon_bars.py")
    with polygon() as (server, settings):
        environment = {
            **settings,
            "LUMIBOT_DISABLE_DOTENV": "1",
            "LUMIBOT_CACHE_FOLDER": str(tmp_path / "cache"),
            "PYTHONPATH": os.pathsep.join(map(str, REDIRECTED)),
        }
        target = ScriptTarget(
            str(script),
            (kind,),
            strategy="Crossover" if kind == "days" else None,
            store=tmp_path / "store.duckdb",
            environment=environment,
            folder=tmp_path,
        )
        try:
            first = prepare(target, trials[0])
            as_of = TrialSettings(as_of=clock.utc_now())
            requests = len(server.requests)
            with ThreadPoolExecutor(2) as pool:
                records = list(pool.map(lambda trial: run_trial(target, trial, settings=as_of), trials))
            if kind == "minutes":
                assert len(server.requests) == requests, "a trial has downloaded again what was stored"
            downloaded = len(server.requests)
            again = run_trial(target, trials[-1], settings=as_of)
            assert len(server.requests) == downloaded
        finally:
            close(target)
        for trial, record in zip(trials, records, strict=True):
            assert_same_results(record, run_alone(script, trial.values, tmp_path, (kind,), environment))
        for repeated, record in ((first, records[0]), (again, records[-1])):
            assert_same_results(repeated, record)
        complete = [record for record in records if record.status == "complete"]
        assert len({str(record.statistics) for record in complete}) > len(records) / 2, "the parameters have an effect"
