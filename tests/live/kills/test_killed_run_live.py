"""`run --live` is killed at any moment, as a whole process with Lumibot's `Trader`, and started again."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

import pandas as pd
import pytest

from disks import mounted_disk
from live.kills.lives import filled, stored
from live.kills.trading_script import EXCHANGE, START, market_from
from live.live_process import live_environment
from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.live.session.session_rows import rebuilt_frames
from lumibot_duckdb.results import LiveSessions
from lumibot_duckdb.storage.api import AssetKey, SeriesKey, TimeRange
from lumibot_duckdb.storage.bars.coverage import in_ranges, missing
from lumibot_duckdb.storage.bars.spool import Spool
from lumibot_duckdb.storage.errors import StoreNotFoundError
from sources.ccxt.binance_server import BinanceServer
from storage.held_store import locked

pytestmark = pytest.mark.long

SCRIPT = Path(__file__).with_name("trading_script.py")
KEY = SeriesKey(AssetKey("AAA", "crypto", "USD", exchange="binance"), "ccxt", "minute")
ORDERLY = (signal.SIGTERM, signal.SIGINT)


class Exchange(BinanceServer):
    """Has the bars of a market that have begun."""

    def candles(self, market: str, interval: str) -> pd.DataFrame:
        shown = super().candles(market, interval)
        return shown[shown.index <= pd.Timestamp.now("UTC")]


class Trading:
    """A script that is started again and again."""

    def __init__(self, folder: Path, disk: Path, exchange: Exchange, seed: int) -> None:
        self.store, self.results = disk / "lumibot.duckdb", disk / "lumibot-results.duckdb"
        self.start = int(time.time()) // 60 * 60 - 3 * 3600
        self.bars = market_from(self.start).frames["AAA"]
        self.bars.index = pd.DatetimeIndex(self.bars.index).as_unit("s").asi8
        exchange.list_market("AAA", "USD", market_from(self.start).frames["AAA"])
        self._folder = folder
        self._disk = disk
        self._dice = random.Random(seed)
        self._environment = {**live_environment(folder), START: str(self.start), EXCHANGE: exchange.url}

    def live(self) -> None:
        """Start the script, end it at some moment, and check what is stored."""
        moment = self._dice.choice(["starting", "trading", "trading", "ending", "ended"])
        fault = self._dice.choice([None, None, self.store, self.results, self._disk])
        with self._process() as process:
            if moment == "starting":
                time.sleep(self._dice.uniform(0, 5))
            else:
                self._wait_for_iterations(process, self._dice.randint(1, 4))
            with self._broken(fault):
                time.sleep(self._dice.uniform(0, 2))
                if moment in ("ending", "ended"):
                    process.send_signal(self._dice.choice(ORDERLY))
                    time.sleep(self._dice.uniform(0, 1.5))
                if moment != "ended":
                    process.kill()
                _, errors = process.communicate(timeout=90)
        print(moment, fault, process.returncode, errors[-3000:])
        self.check()

    @contextmanager
    def _process(self) -> Iterator[subprocess.Popen[str]]:
        command = [sys.executable, "-m", "lumibot_duckdb", "run", "--live", "--store", str(self.store), str(SCRIPT)]
        with subprocess.Popen(
            command,
            cwd=self._folder,
            env=self._environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    @staticmethod
    def _wait_for_iterations(process: subprocess.Popen[str], number: int) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith(f"iteration {number} "):
                return
        pytest.fail(f"the script ended: {process.communicate()[1]}")

    @contextmanager
    def _broken(self, what: Path | None) -> Iterator[None]:
        """Hold the store or the results as another program, or fill the disk."""
        if what is None or (what != self._disk and not what.exists()):
            yield
        elif what == self._disk:
            with filled(self._disk / "filler", 0):
                yield
        else:
            with locked(what):
                yield

    # -- what is stored --------------------------------------------------------------------------------------

    def check(self) -> None:
        """Check that the store and the results are sound, and have nothing twice and nothing unfinished."""
        with DuckDBDataStorage(self.store) as storage:
            storage.merge_spooled()
            with suppress(StoreNotFoundError):
                report = storage.verify()
                assert report.sound, report.findings
            found, covered = stored(storage, KEY), storage.coverage(KEY)
            assert not Spool(self.store).contents().writes
        starts = found.index.to_numpy()
        assert found.index.is_unique
        assert not len(starts) or starts[-1] + 120 <= time.time()  # settled after a minute
        assert found.to_numpy().tolist() == self.bars.loc[starts].to_numpy().tolist()
        within = self.bars.index.to_numpy()
        assert not set(within[in_ranges(within, covered)]) - set(starts)
        if self.results.exists():
            self._check_sessions()

    def _check_sessions(self) -> None:
        sessions = LiveSessions(self.results)
        names = sessions.summary()["sweep"].to_pylist()
        assert len(set(names)) == len(names)
        for name in names:
            tables = sessions.tables(name)
            for table, keys in (("live_requests", ["request"]), ("trades", ["order_id", "event"])):
                rows = Counter(tuple(row[key] for key in keys) for row in tables[table].to_pylist())
                assert set(rows.values()) <= {1}, (name, table)
            for row, frame in rebuilt_frames(tables["live_requests"], tables["live_bars"]):
                assert frame is not None or not row["bars"]

    def finish(self) -> None:
        """Let the script trade until SIGTERM ends it; then everything is stored, and nothing is left beside it."""
        with self._process() as process:
            self._wait_for_iterations(process, 3)
            time.sleep(2)
            process.send_signal(signal.SIGTERM)
            _, errors = process.communicate(timeout=60)
        assert process.returncode == -signal.SIGTERM
        assert f"bars recorded in {self.store}, none lost" in errors
        with DuckDBDataStorage(self.store) as storage:
            covered, found = storage.coverage(KEY), stored(storage, KEY)
        assert missing(TimeRange(int(found.index[0]), int(found.index[-1]) + 60), covered) == []
        self.check()
        names = {each.name for each in self._disk.iterdir()}
        files = {path.name + end for path in (self.store, self.results) for end in ("", ".lock", ".turn", ".use")}
        assert names <= {*files, self.store.name + ".live.json"}, names


@pytest.mark.parametrize("seed", [1, 2])
def test_killed_trading(tmp_path: Path, seed: int) -> None:
    disk = mounted_disk(tmp_path / "disk") if os.geteuid() == 0 else nullcontext(tmp_path)
    with Exchange() as exchange, disk as folder:
        trading = Trading(tmp_path, folder, exchange, seed)
        for _ in range(12):
            trading.live()
        trading.finish()
