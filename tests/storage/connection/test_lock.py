"""The lock between processes. Locks of several `StoreLock` objects exclude each other even within one process."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lumibot_duckdb.storage.connection import lock as locking
from lumibot_duckdb.storage.connection.lock import StoreLock
from lumibot_duckdb.storage.errors import StorageError, StoreBusyError

pytestmark = pytest.mark.older_duckdb


@pytest.fixture
def store(tmp_path: Path) -> Path:
    path = tmp_path / "s.duckdb"
    path.write_bytes(b"one")
    return path


def now() -> float:
    """A deadline that allows one attempt."""
    return time.monotonic()


def soon() -> float:
    return time.monotonic() + 20


def held(store: Path, exclusive: bool) -> StoreLock:
    lock = StoreLock(store)
    lock.acquire(exclusive, now())
    return lock


def eventually(condition: Callable[[], bool]) -> bool:
    deadline = soon()
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.001)
    return True


def test_readers_share_the_lock_and_keep_writers_out(store: Path) -> None:
    first, second = held(store, exclusive=False), held(store, exclusive=False)
    with pytest.raises(StoreBusyError):
        held(store, exclusive=True)
    first.release()
    with pytest.raises(StoreBusyError):
        held(store, exclusive=True)
    second.release()
    held(store, exclusive=True)


def test_a_writer_keeps_everybody_out(store: Path) -> None:
    writer = held(store, exclusive=True)
    for exclusive in (True, False):
        with pytest.raises(StoreBusyError):
            held(store, exclusive=exclusive)
    writer.release()
    held(store, exclusive=False)


def test_the_lock_outlives_plain_opening_and_closing_of_the_files(store: Path) -> None:
    writer = held(store, exclusive=True)
    for name in ("s.duckdb", "s.duckdb.lock", "s.duckdb.turn"):
        store.with_name(name).read_bytes()
    with pytest.raises(StoreBusyError):
        held(store, exclusive=False)
    writer.release()


def test_a_waiting_writer_is_not_overtaken_by_readers(store: Path) -> None:
    reader, writer = held(store, exclusive=False), StoreLock(store)
    waiting = threading.Thread(target=writer.acquire, args=(True, soon()))
    waiting.start()
    assert eventually(reader.is_wanted)
    with pytest.raises(StoreBusyError):
        held(store, exclusive=False)
    reader.release()
    waiting.join()
    assert writer.exclusive
    writer.release()
    held(store, exclusive=False)


@pytest.mark.parametrize("exclusive", [True, False])
def test_a_writer_sees_that_others_wait(store: Path, exclusive: bool) -> None:
    writer, other = held(store, exclusive=True), StoreLock(store)
    assert not writer.is_wanted()
    waiting = threading.Thread(target=other.acquire, args=(exclusive, soon()))
    waiting.start()
    assert eventually(writer.is_wanted)
    writer.release()
    waiting.join()
    assert other.exclusive is exclusive


def test_the_error_names_who_holds_the_lock_and_for_what(store: Path) -> None:
    reader = held(store, exclusive=False)
    with pytest.raises(StoreBusyError, match=f"process {os.getpid()} .*is reading"):
        held(store, exclusive=True)
    reader.release()
    writer = held(store, exclusive=True)
    with pytest.raises(StoreBusyError, match=f"process {os.getpid()} .*is writing"):
        held(store, exclusive=False)
    writer.release()


def test_a_process_that_dies_frees_its_lock(store: Path) -> None:
    code = (
        "import sys, time, pathlib; from lumibot_duckdb.storage.connection.lock import StoreLock; "
        "lock = StoreLock(pathlib.Path(sys.argv[1])); lock.acquire(True, time.monotonic()); "
        "print('held', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(store)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    with pytest.raises(StoreBusyError, match=f"process {process.pid} "):
        held(store, exclusive=False)
    process.kill()
    process.wait()
    held(store, exclusive=True)


def test_every_bump_gives_a_generation_that_was_never_seen(store: Path) -> None:
    lock = held(store, exclusive=True)
    seen = [lock.generation()]
    for _ in range(1000):
        lock.bump_generation()
        seen.append(lock.generation())
    assert sorted(set(seen)) == seen
    assert seen[0] > 0


def test_all_processes_see_the_same_generation(store: Path) -> None:
    lock, other = held(store, exclusive=True), StoreLock(store)
    assert other.generation() == lock.generation()
    lock.bump_generation()
    assert other.generation() == lock.generation()
    lock.release()
    assert other.generation() == lock.generation()


def test_there_is_no_generation_to_rely_on_before_the_first_lease(store: Path) -> None:
    lock = StoreLock(store)
    assert lock.generation() != lock.generation()
    assert not store.with_name("s.duckdb.lock").exists()


def test_what_another_program_writes_changes_the_generation(store: Path) -> None:
    lock = held(store, exclusive=True)
    lock.release()
    before = lock.generation()
    assert lock.generation() == before
    store.write_bytes(b"another")
    meanwhile = lock.generation()
    assert meanwhile != before
    assert lock.generation() != meanwhile
    lock.acquire(False, now())
    after = lock.generation()
    assert after not in (before, meanwhile)
    lock.release()
    assert lock.generation() == after


def test_a_writer_that_dies_leaves_no_generation_that_hides_its_work(store: Path) -> None:
    writer = held(store, exclusive=True)
    before = writer.generation()
    store.write_bytes(b"half of it")
    writer._lock.close()  # as the kernel does it: the lock is free, and nothing is signed off
    lock = held(store, exclusive=False)
    assert lock.generation() > before


def test_a_deleted_lock_file_is_created_again_with_newer_generations(store: Path) -> None:
    lock = held(store, exclusive=True)
    lock.bump_generation()
    before = lock.generation()
    lock.release()
    store.with_name("s.duckdb.lock").unlink()
    store.with_name("s.duckdb.turn").unlink()
    other = held(store, exclusive=True)
    assert other.generation() > before
    with pytest.raises(StoreBusyError):
        lock.acquire(False, now())


def test_a_folder_that_cannot_be_written_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="writable folder"):
        held(tmp_path / "file" / "s.duckdb", exclusive=False)


def test_a_platform_without_flock_is_refused_in_clear_words(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locking, "fcntl", None)
    with pytest.raises(StorageError, match="Linux, macOS and WSL"):
        StoreLock(store)
