"""What was recorded is stored when a process ends or receives SIGTERM, and only once if it was forked."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from live.recording.live_items import closes, covered, stored
from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.storage.api import TimeRange
from lumibot_duckdb.storage.bars.spool import Spool

BEGIN = """
import os, signal, sys, time
sys.path.insert(0, sys.argv[2])
from live.recording.live_items import live
from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.live.recording.recorder import Recorder
recorder = Recorder(lambda: DuckDBDataStorage(sys.argv[1]), pause_seconds=60)
recorder.record(live(0, 5))
"""
TESTS = str(Path(__file__).resolve().parents[2])


def run(path: Path, script: str, *, code: int = 0) -> str:
    """Run a script in which a recorder has five bars; return what it printed."""
    command = [sys.executable, "-c", BEGIN + textwrap.dedent(script), str(path), TESTS]
    found = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (found.returncode, found.stderr) == (code, ""), found.stderr
    return found.stdout


def assert_stored_once(path: Path, *symbols: str) -> None:
    with DuckDBDataStorage(path) as storage:
        for symbol in symbols:
            assert stored(storage, symbol) == closes(range(5))
            assert covered(storage, symbol) == [(0, 5)]
        assert len(storage.list_series()) == len(symbols)
        assert storage.statistics().versions == len(symbols)
        assert len(storage.ingests(storage.pin(symbols[0]))) == 1
        assert storage.verify().findings == []
    assert not Spool(path).folder.exists()


def test_the_end_of_the_interpreter_loses_nothing_and_forks_write_nothing_twice(tmp_path: Path) -> None:
    """Two children use their recorders and end as workers do, the third ends as a script does, unused."""
    path = tmp_path / "s.duckdb"
    printed = run(
        path,
        """
        import multiprocessing, warnings
        from lumibot_duckdb.live.reads.adjusted_recorder import AdjustedRecorder
        warnings.simplefilter("ignore")
        open_store = lambda: DuckDBDataStorage(sys.argv[1])
        reads = AdjustedRecorder(Recorder(open_store), open_store)

        def work():
            counts = recorder.counts
            recorder.record(live(0, 5, "CHILD"))
            print(counts.recorded, recorder.counts.recorded, flush=True)

        for _ in range(3):
            recorder.record(live(0, 5))
        def read():
            reads.record(live(0, 5, "READ"))

        for each in (work, read):
            worker = multiprocessing.get_context("fork").Process(target=each)
            worker.start()
            worker.join()
            print(worker.exitcode, flush=True)
        pid = os.fork()
        if pid == 0:
            sys.exit(0)
        print(os.waitpid(pid, 0)[1], recorder.counts.waiting)
        """,
    )
    assert printed.split() == ["0", "5", "0", "0", "0", "20"]
    assert_stored_once(path, "X", "CHILD", "READ")


def test_sigterm_ends_a_program_after_its_bars_were_stored(tmp_path: Path) -> None:
    path = tmp_path / "s.duckdb"
    run(path, "os.kill(os.getpid(), signal.SIGTERM)\ntime.sleep(60)\n", code=-signal.SIGTERM)
    assert_stored_once(path, "X")


@pytest.mark.long
def test_a_program_with_a_handler_of_sigterm_ends_in_its_own_way(tmp_path: Path) -> None:
    path = tmp_path / "s.duckdb"
    before = "signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))\n"
    run(path, before + "os.kill(os.getpid(), signal.SIGTERM)\ntime.sleep(60)\n", code=7)
    assert_stored_once(path, "X")


@pytest.mark.long
def test_sigterm_while_a_bar_is_being_recorded_does_not_hang(tmp_path: Path) -> None:
    """The handler runs in the thread that is in the queue."""
    path = tmp_path / "s.duckdb"
    script = """
    import threading
    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGTERM)).start()
    while True:
        recorder.record(live(0, 5))
    """
    run(path, script, code=-signal.SIGTERM)
    assert_stored_once(path, "X")


@pytest.mark.long
def test_the_end_of_the_interpreter_spools_what_it_cannot_store(tmp_path: Path) -> None:
    path = tmp_path / "s.duckdb"
    with DuckDBDataStorage(path) as storage:
        storage.record_coverage("OTHER", TimeRange(0, 60), "test", "minute")
    hold = "import duckdb, sys; held = duckdb.connect(sys.argv[1]); print(flush=True); sys.stdin.readline()"
    with subprocess.Popen(
        [sys.executable, "-c", hold, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        command = [sys.executable, "-c", BEGIN, str(path), TESTS]
        assert subprocess.run(command, stderr=subprocess.DEVNULL, timeout=60).returncode == 0
        assert Spool(path).contents().bars == 5
        assert holder.stdin is not None
        holder.stdin.close()
    with DuckDBDataStorage(path) as storage:
        assert storage.merge_spooled() == 1
        assert stored(storage) == closes(range(5))
