"""Messages name other processes, without their secrets; a wait for one is reported while it lasts."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.storage.connection import wait_notice
from lumibot_duckdb.storage.connection.lock import StoreLock
from lumibot_duckdb.storage.connection.processes import _script, describe_process, posix_lock_holders
from lumibot_duckdb.storage.connection.store_connection import StoreConnection
from lumibot_duckdb.storage.errors import StoreBusyError
from storage.frames import minute_bars

pytestmark = pytest.mark.older_duckdb

SECRET = "hunter2"
HOLDER = """
import duckdb, sys
held = duckdb.connect(sys.argv[1], read_only=sys.argv[2] == "reading")
print("held", flush=True)
sys.stdin.readline()
"""
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="only Linux lists who holds a lock")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[DuckDBDataStorage]:
    """A store with one series that waits for others only a little longer than until it reports that."""
    connection = StoreConnection.of(tmp_path / "s.duckdb", wait_seconds=1.0)
    storage = DuckDBDataStorage(connection.path)
    storage.store_ohlcv_data("X", minute_bars(rows=5), "test", "minute")
    storage.close()
    yield storage
    storage.close()


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wait_notice, "FOR_A_PROGRAM", 0.05)
    monkeypatch.setattr(wait_notice, "FOR_A_PROCESS", 0.05)


@contextmanager
def notebook(path: Path, doing: str = "reading", *, command: tuple[str, ...] = ("research.py",)) -> Iterator[int]:
    """Open a store in a program of its own, as a notebook does, with a secret in its arguments and environment."""
    folder = path.parent / "programs"
    folder.mkdir(exist_ok=True)
    (folder / "research.py").write_text(HOLDER)
    with subprocess.Popen(
        [sys.executable, *command, str(path), doing, f"--password={SECRET}"],
        cwd=folder,
        env={**os.environ, "JPY_SESSION_NAME": f"/home/{SECRET}/My ideas.ipynb", "KEY": SECRET},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process.pid
        process.stdin.close()


def write(storage: DuckDBDataStorage) -> None:
    storage.store_ohlcv_data("Y", minute_bars(rows=5), "test", "minute")


@pytest.mark.parametrize(
    ("arguments", "script"),
    [
        (["backtest.py", f"--key={SECRET}"], "backtest.py"),
        (["-u", "-W", "error", "/home/me/backtest.py", SECRET], "backtest.py"),
        (["-X", "dev", "-m", "ipykernel_launcher", "-f", f"{SECRET}.json"], "-m ipykernel_launcher"),
        (["-c", f"password = '{SECRET}'"], "-c"),
        (["-m"], "-m "),
        ([f"-{SECRET}"], ""),
        ([], ""),
    ],
)
def test_of_a_command_line_only_the_script_is_shown(arguments: list[str], script: str) -> None:
    assert _script(arguments) == script


def test_a_process_is_described(tmp_path: Path) -> None:
    DuckDBDataStorage(tmp_path / "s.duckdb").store_ohlcv_data("X", minute_bars(rows=5), "test", "minute")
    DuckDBDataStorage(tmp_path / "s.duckdb").close()
    with notebook(tmp_path / "s.duckdb") as pid:
        text = describe_process(pid)
    assert SECRET not in text
    assert text.startswith(f"process {pid} (python")
    assert " research.py, notebook My ideas.ipynb, started 20" in text
    assert describe_process(pid, "python3") == f"process {pid} (python3)"  # which has ended
    assert describe_process(pid) == f"process {pid}"


def test_a_program_that_is_not_python_is_named_without_its_arguments() -> None:
    with subprocess.Popen(["sleep", "60"]) as process:
        text = describe_process(process.pid)
        process.kill()
    assert text.startswith(f"process {process.pid} (sleep, started 20")


@pytest.mark.parametrize("doing", ["reading", "writing"])
def test_who_keeps_a_write_waiting_is_logged_while_it_waits(
    store: DuckDBDataStorage, doing: str, caplog: pytest.LogCaptureFixture
) -> None:
    with notebook(store.path, doing) as pid, pytest.raises(StoreBusyError) as busy:
        write(store)
    (record,) = caplog.records  # one for the whole wait
    assert record.levelno == logging.WARNING
    for message in (record.getMessage(), str(busy.value)):
        assert message.startswith(f"{store.path} is open in process {pid} (python")
        assert " research.py, notebook My ideas.ipynb, started 20" in message
        assert SECRET not in message
    assert record.getMessage().endswith("; waiting up to 1 seconds")
    assert "Close it there and try again. Programs that query the store with DuckDBDataStorage.sql" in str(busy.value)
    assert "`lumibot-duckdb replica`" in str(busy.value)
    write(store)
    assert len(store.list_series()) == 2


def test_a_short_wait_is_not_logged(
    store: DuckDBDataStorage, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wait_notice, "FOR_A_PROGRAM", 60.0)
    with notebook(store.path), pytest.raises(StoreBusyError):
        write(store)
    assert caplog.records == []


@linux_only
def test_every_program_that_has_it_open_is_named(store: DuckDBDataStorage) -> None:
    with notebook(store.path) as one, notebook(store.path) as other:
        assert posix_lock_holders(store.path) == {one, other}
        with pytest.raises(StoreBusyError) as busy:
            write(store)
    assert all(f" in process {pid} (" in str(busy.value) for pid in (one, other))
    assert posix_lock_holders(store.path) == set()
    assert posix_lock_holders(store.path.with_name("none")) == set()


@pytest.mark.parametrize("exclusive", [True, False])
def test_a_wait_for_one_of_our_own_processes_is_logged(
    store: DuckDBDataStorage, exclusive: bool, caplog: pytest.LogCaptureFixture
) -> None:
    lock = StoreLock(store.path)
    lock.acquire(exclusive, float("inf"))
    StoreConnection.of(store.path).wait_seconds = 60.0

    def release_when_it_is_logged() -> None:
        while not caplog.records:
            time.sleep(0.001)
        lock.close()

    threading.Thread(target=release_when_it_is_logged, daemon=True).start()
    write(store)
    (record,) = caplog.records
    doing = "writing" if exclusive else "reading"
    assert record.getMessage().startswith(f"{store.path} is in use (process {os.getpid()} (")
    assert f" is {doing}); waiting up to" in record.getMessage()
