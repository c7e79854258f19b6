"""Starts and stops processes that trade, and lets simulated time pass for them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd

from live.trader.clock_page import ClockPage

TESTS = Path(__file__).parents[2]
PATIENCE = 300.0
"""For how many real seconds simulated time may stand still before a test fails."""


def new_york(text: str) -> float:
    """Return a moment in New York in epoch seconds."""
    return pd.Timestamp(text, tz="America/New_York").timestamp()


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Keep a database open, if there is one. No other process can use it then."""
    if path.exists():
        with duckdb.connect(str(path)):
            yield
    else:
        yield


@dataclass
class Director:
    """What is common to the processes of one simulation.

    Parameters:
        folder: has everything: the store, the results, Lumibot's cache, the logs.
        provider: "alpaca" or "binance".
        url: of the loopback server.
        script: what trades.
        is_recorded: run by `run --live`, or else by Python.
    """

    folder: Path
    page: ClockPage
    clock: Path
    provider: str
    url: str
    script: Path
    is_recorded: bool = True
    variables: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    @property
    def store(self) -> Path:
        return self.folder / "lumibot.duckdb"

    @property
    def results(self) -> Path:
        return self.folder / "lumibot-results.duckdb"

    @property
    def log(self) -> Path:
        """What the strategy has written."""
        return self.folder / "strategy.jsonl"

    @property
    def output(self) -> Path:
        """What the processes have printed."""
        return self.folder / "output.txt"

    @property
    def environment(self) -> dict[str, str]:
        """The environment of the processes."""
        return {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")]),
            "LUMIBOT_CACHE_FOLDER": str(self.folder / "cache"),
            "LUMIBOT_DISABLE_DOTENV": "1",
            "IS_BACKTESTING": "false",
            "STRATEGY_LOG": str(self.log),
            "NO_PROXY": "127.0.0.1",
            **self.variables,
        }

    def command(self, *arguments: str) -> list[str]:
        """Return a command line of `lumibot-duckdb` (or Python, if it begins so) that lives in the simulation."""
        return [
            *(sys.executable, "-m", "live.trader.trading_process"),
            *(str(self.clock), self.provider, self.url),
            *arguments,
        ]

    def start(self) -> None:
        """Start to trade. Time stands still until `run_until`."""
        self.page.limit = self.page.now
        recorded = ("run", "--live", "--store", str(self.store))
        command = self.command(*(recorded if self.is_recorded else ("python",)), str(self.script))
        with self.output.open("ab") as output:
            self.process = subprocess.Popen(
                command, cwd=self.folder, env=self.environment, stdout=output, stderr=subprocess.STDOUT
            )

    def run_until(self, moment: float) -> None:
        """Let time pass, while the process trades."""
        assert self.process is not None
        self.page.limit = moment
        last, since = self.page.now, time.monotonic()
        while self.page.now < moment:
            assert self.process.poll() is None, self.tail()
            time.sleep(0.002)
            if self.page.now != last:
                last, since = self.page.now, time.monotonic()
            assert time.monotonic() - since < PATIENCE, self.tail()

    def stop(self) -> int:
        """Send SIGTERM, let time pass until the process has ended, and return its exit code.

        Not Ctrl-C: once polars has been used, as Lumibot does, Lumibot's main thread does not wake up for it.
        """
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + PATIENCE
        while self.process.poll() is None:
            assert time.monotonic() < deadline, self.tail()
            self.page.limit = self.page.now + 1  # not faster, or the strategy would trade while the process ends
            time.sleep(0.02)
        self.page.limit = self.page.now
        return self.process.returncode

    def kill(self) -> None:
        """Kill the process without a warning."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        self.page.limit = self.page.now

    def seen(self) -> list[list[Any]]:
        """Return what the strategy wrote, one list for each line; a killed process may leave a part of one."""
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.endswith("]")]

    def tail(self) -> str:
        """Return the end of what was printed."""
        return self.output.read_text(errors="replace")[-5_000:]
