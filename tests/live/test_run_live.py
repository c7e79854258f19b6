"""`run --live` with Lumibot's `Trader` in a process that is stopped: what is stored then, and what it prints."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from live.live_process import live_environment
from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.results import LiveSessions
from lumibot_duckdb.storage.api import AssetKey, SeriesKey

SCRIPT = Path(__file__).with_name("run_live_script.py")
KEY = SeriesKey(AssetKey("AAA", "crypto", "USD", exchange="binance"), "ccxt", "minute")
ITERATIONS = 2


def stopped(folder: Path, *signals: signal.Signals) -> tuple[int, list[str]]:
    """Run the script, and send it signals after some iterations; return its exit code and the command's lines."""
    variables = live_environment(folder)
    command = [sys.executable, "-m", "lumibot_duckdb", "run", "--live", "--store", str(folder / "store"), str(SCRIPT)]
    with subprocess.Popen(
        command, cwd=folder, env=variables, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                if line.startswith(f"iteration {ITERATIONS} "):
                    break
            time.sleep(0.3)  # Lumibot's scheduler can wait for itself if it is stopped while an iteration ends
            for number in signals:
                process.send_signal(number)
                time.sleep(0.01)
            _, errors = process.communicate(timeout=60)
        finally:
            process.kill()
    return process.returncode, [line for line in errors.splitlines() if line.startswith("lumibot-duckdb: ")]


def assert_is_whole(folder: Path, lines: list[str], status: str) -> None:
    """Check that the store and the results have what the strategy saw and did, and that the lines report it."""
    store, results = folder / "store" / "lumibot.duckdb", folder / "store" / "lumibot-results.duckdb"
    with DuckDBDataStorage(store) as storage:
        bars = storage.read_pandas(storage.pin(KEY))
        (covered,) = storage.coverage(KEY)
    assert len(bars) >= 58
    assert bars.index.is_unique
    assert (covered.end - covered.start) // 60 == len(bars)
    session = LiveSessions(results).session("Switching-live")
    tables = LiveSessions(results).tables("Switching-live")
    assert (session.status, session.lost) == (status, 0)
    assert tables["live_requests"]["method"].to_pylist().count("history") >= ITERATIONS
    events = tables["trades"]["event"].to_pylist()
    assert events == ["new", "fill"] * (len(events) // 2)
    assert len(events) >= 2 * ITERATIONS
    rows = sum(table.num_rows for table in tables.values())
    assert lines == [
        f"lumibot-duckdb: {len(bars)} bars recorded in {store}, none lost",
        f"lumibot-duckdb: session Switching-live: {rows:,} rows recorded in {results}, none lost",
    ]


def test_sigterm_ends_a_strategy_after_everything_was_stored(tmp_path: Path) -> None:
    code, lines = stopped(tmp_path, *[signal.SIGTERM] * 4)  # `timeout` sends two: to the process, and to its group
    assert code == -signal.SIGTERM
    assert_is_whole(tmp_path, lines, "interrupted")


@pytest.mark.long
def test_ctrl_c_ends_a_strategy_after_everything_was_stored(tmp_path: Path) -> None:
    _, lines = stopped(tmp_path, signal.SIGINT)
    assert_is_whole(tmp_path, lines, "complete")
