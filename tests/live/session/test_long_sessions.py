"""Hours of a session while others use the results, and sessions whose process is killed."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path
from threading import Event, Thread

import duckdb
import pytest

from live.crossing import Crossing
from live.live_loop import MINUTE, USD, Market, MarketBroker, real_time, stepped
from lumibot_duckdb.duckdb_storage import DuckDBDataStorage
from lumibot_duckdb.live import replay_session
from lumibot_duckdb.live.replay.requests import EQUAL, UNFINISHED, outcomes
from lumibot_duckdb.live.session.recording import SessionRecording
from lumibot_duckdb.live.session.session_rows import rebuilt_frames
from lumibot_duckdb.results import LiveSessions

pytestmark = [pytest.mark.usefixtures("clean_directory"), pytest.mark.long]
START = datetime(2024, 6, 3, 10, 0, tzinfo=timezone.utc)


def hold_now_and_then(path: Path, ended: Event) -> None:
    """Keep the results open in another process, again and again, for longer than the recorder waits."""
    hold = f"import duckdb, time; connection = duckdb.connect({str(path)!r}); time.sleep(3)"
    while not ended.wait(1.0):
        if path.exists():
            subprocess.run([sys.executable, "-c", hold], stderr=subprocess.DEVNULL, check=False)


def test_hours_of_a_session_while_another_program_holds_the_results(tmp_path: Path) -> None:
    steps = 1_500
    market = Market(START, steps + 200)
    recording = SessionRecording(tmp_path / "my-results.duckdb", pause_seconds=0.5)
    recording.install()
    ended = Event()
    holder = Thread(target=hold_now_and_then, args=(recording.path, ended))
    holder.start()
    try:
        strategy = stepped(Crossing, market, START + 60 * MINUTE, steps, risk_free_rate=0.0, benchmark_asset=None)
    finally:
        ended.set()
        holder.join()
        recording.close()
        recording.uninstall()
    following = SessionRecording(recording.path)  # which takes over what is left in the spool
    following.install()
    stepped(Crossing, Market(START, 200), START + 60 * MINUTE, 1, risk_free_rate=0.0, benchmark_asset=None)
    following.uninstall()
    tables = LiveSessions(recording.path).tables("Crossing-live")
    found = [frame for row, frame in rebuilt_frames(tables["live_requests"], tables["live_bars"]) if row["bars"]]
    assert len(found) == len(strategy.seen) == steps
    for frame, (seen, _) in zip(found, strategy.seen, strict=True):
        assert frame is not None
        assert frame.times.tolist() == seen.index.as_unit("us").asi8.tolist()
    assert len(tables["trades"]) == len(strategy.broker._trade_event_log_df)
    store = tmp_path / "bars.duckdb"
    DuckDBDataStorage(store).store_ohlcv_data("AAA", market.frames["AAA"], timeframe="minute", source="alpaca")
    replay = replay_session("Crossing-live", Crossing, results=recording.path, store=store)
    assert outcomes(replay.requests) == {EQUAL: steps, UNFINISHED: steps}
    assert replay.saw_the_same


TRADING = """
import os, sys
from datetime import datetime, timezone
from threading import Timer
from live.crossing import Crossing
from live.live_loop import MINUTE, USD, Market, MarketBroker, real_time
from lumibot_duckdb.live.session.recording import SessionRecording

class EachSecond(Crossing):
    def initialize(self):
        super().initialize()
        self.sleeptime = "1S"

    def used(self, frame):
        print(len(self.seen), flush=True)

now = datetime.now(timezone.utc).replace(second=0, microsecond=0)
SessionRecording(sys.argv[1], pause_seconds=1.0).install()
strategy = EachSecond(
    broker=MarketBroker(Market(now - 60 * MINUTE, 120)), quote_asset=USD, risk_free_rate=0.0, benchmark_asset=None
)
Timer(float(sys.argv[2]), os.kill, [os.getpid(), int(sys.argv[3])]).start()
real_time(strategy, 30)
"""


@pytest.mark.parametrize(("signal", "seconds"), [(9, 3.3), (9, 6.1), (15, 4.0)])
def test_a_killed_session_keeps_all_but_its_last_seconds(tmp_path: Path, signal: int, seconds: float) -> None:
    path = tmp_path / "my-results.duckdb"
    folders = [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
    ended = subprocess.run(
        [sys.executable, "-c", TRADING, str(path), str(seconds), str(signal)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, folders)), "LUMIBOT_DISABLE_DOTENV": "1"},
        capture_output=True,
        text=True,
    )
    iterations = max(int(line) for line in ended.stdout.splitlines() if line.isdecimal())
    assert ended.returncode == -signal
    sessions = LiveSessions(path)
    assert sessions.session("EachSecond-live").status == ("interrupted" if signal == 15 else "running")
    tables = sessions.tables("EachSecond-live")
    stored = len(tables["live_requests"]) // 2
    assert iterations - 3 <= stored <= iterations + 1
    assert all(
        frame is not None for row, frame in rebuilt_frames(tables["live_requests"], tables["live_bars"]) if row["bars"]
    )
    with duckdb.connect(str(path), read_only=True) as client:
        assert client.sql("SELECT count(*) FROM live_sessions").fetchall() == [(1,)]


def test_a_minute_in_lumibots_trader(tmp_path: Path) -> None:
    class EachSecond(Crossing):
        def initialize(self) -> None:
            super().initialize()
            self.sleeptime = "1S"

    recording = SessionRecording(tmp_path / "my-results.duckdb", pause_seconds=1.0)
    recording.install()
    now = datetime.now(timezone.utc).replace(second=0, microsecond=0)
    strategy = EachSecond(
        broker=MarketBroker(Market(now - 60 * MINUTE, 200)), quote_asset=USD, risk_free_rate=0.0, benchmark_asset=None
    )
    real_time(strategy, 60)
    recording.uninstall()
    tables = LiveSessions(recording.path).tables("EachSecond-live")
    assert len(tables["live_requests"]) == 2 * len(strategy.seen) > 20
