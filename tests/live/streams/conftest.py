"""Fixtures of the tests of streams."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from live.servers.alpaca_server import AlpacaStreamServer, SimulatedClock, machine_clock
from lumibot_duckdb import DuckDBDataStorage


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> SimulatedClock:
    """A clock on the day before Independence Day, when the exchange closes at 13:00."""
    made = SimulatedClock("2024-07-03 09:25")
    machine_clock(made, monkeypatch)
    return made


@pytest.fixture
def server(time: SimulatedClock) -> Iterator[AlpacaStreamServer]:
    with AlpacaStreamServer(time, ("SPY", "QQQ", "BTC/USD")) as made:
        yield made


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[DuckDBDataStorage]:
    made = DuckDBDataStorage(tmp_path)
    yield made
    made.close()
