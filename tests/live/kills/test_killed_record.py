"""`lumibot-duckdb record` is killed at any moment, as a whole process, and started again.

Nothing is stored twice, no bar before it has closed, and what was stored stays. What a kill has lost, the next recorder
reads by REST.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pytest

from disks import mounted_disk
from live.kills.lives import Lives
from live.kills.market_time import MarketTime
from live.kills.markets import Market, alpaca, binance
from live.kills.processes import Processes

Opened = Callable[[MarketTime, int], AbstractContextManager[Market]]


@pytest.fixture(scope="module")
def processes() -> Iterator[Processes]:
    with Processes() as made:
        yield made


@pytest.mark.parametrize("opened", [alpaca, binance])
@pytest.mark.parametrize(
    ("lives", "seed"), [(3, 380), *(pytest.param(20, seed, marks=pytest.mark.long) for seed in (2, 3, 4))]
)
def test_killed_recorders(
    tmp_path: Path,
    processes: Processes,
    opened: Opened,
    lives: int,
    seed: int,
) -> None:
    shared = MarketTime(tmp_path / "market")
    may_fill = lives > 3 and os.geteuid() == 0
    with (
        opened(shared, seed) as market,
        mounted_disk(tmp_path / "disk") if may_fill else nullcontext(tmp_path / "disk") as disk,
    ):
        made = Lives(tmp_path, disk, market, shared, processes, seed, may_fill=may_fill)
        for number in range(lives):
            made.live(anew=lives > 3 and number % 5 == 4)
        made.finish()
        print(made.ended)
