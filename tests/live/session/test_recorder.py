"""A session's rows reach the results, also after a busy file, a full disk or a kill; and the strategy never waits."""

from __future__ import annotations

import errno
import logging
import multiprocessing
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Event
from typing import Any

import duckdb
import numpy as np
import pytest

from disks import mounted_disk
from lumibot_duckdb.live.session import recorder as module
from lumibot_duckdb.live.session.events import RequestEvent, SeenFrame, ValueEvent
from lumibot_duckdb.live.session.recorder import SessionRecorder, store_abandoned
from lumibot_duckdb.live.session.spool import Spool, read_spool
from lumibot_duckdb.results import LiveSessionRecord, LiveSessions
from lumibot_duckdb.results.live_records import LiveBatch, SessionStatus
from lumibot_duckdb.storage.errors import StoreBusyError
from processes import FORKED
from results.samples import NOW, equity

RECORD = LiveSessionRecord("id-1", "cross-live", "Cross", None, {}, NOW, None)


def value(number: int) -> ValueEvent:
    return ValueEvent({"time": number, "value": float(number), "cash": None})


def until(holds: Callable[[], Any]) -> None:
    end = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.005)


class Failing(LiveSessions):
    """Results that fail while `error` is set."""

    error: Exception | None = None
    error_at_the_end: Exception | None = None

    def finish(self, session_id: str, status: SessionStatus = "complete", ended: datetime | None = None) -> None:
        if self.error_at_the_end is not None:
            raise self.error_at_the_end
        super().finish(session_id, status, ended)

    def append(self, session_id: str, batches: Any) -> None:
        if self.error is not None:
            raise self.error
        super().append(session_id, batches)


@pytest.fixture
def sessions(tmp_path: Path) -> Failing:
    return Failing(tmp_path / "my-results.duckdb", wait_seconds=0.1)


@pytest.fixture
def started(sessions: Failing) -> Iterator[Callable[..., SessionRecorder]]:
    made = []

    def start(**settings: Any) -> SessionRecorder:
        recorder = SessionRecorder(sessions, lambda: RECORD, **{"pause_seconds": 0.01, **settings})
        made.append(recorder)
        return recorder

    yield start
    for recorder in made:
        recorder.close("interrupted")


def values(sessions: LiveSessions, name: str = "cross-live") -> list[float]:
    found: list[float] = sessions.tables(name)["equity"]["value"].to_pylist()
    return found


def spools(sessions: LiveSessions) -> list[Path]:
    return sorted(sessions.path.parent.glob("*.jsonl"))


def test_rows_are_written_while_the_session_runs(sessions: Failing, started: Callable[..., SessionRecorder]) -> None:
    recorder = started()
    for number in range(3):
        recorder.add(value(number))
        until(lambda: recorder.counts.waiting == 0)
    assert values(sessions) == [0.0, 1.0, 2.0]
    assert sessions.session("cross-live").status == "running"
    recorder.add(value(3))
    recorder.end(None)
    assert values(sessions) == [0.0, 1.0, 2.0, 3.0]
    assert sessions.session("cross-live").status == "complete"
    assert (recorder.counts.recorded, recorder.counts.written, recorder.counts.lost) == (4, 4, 0)
    recorder.add(value(4))  # too late
    assert recorder.counts.lost == 1


def test_what_a_strategy_does_while_its_session_ends_is_written(
    sessions: Failing, started: Callable[..., SessionRecorder], monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = Event(), Event()
    append = sessions.append

    def slow(session_id: str, batches: Any) -> None:
        begun.set()
        assert go_on.wait(20)
        append(session_id, batches)

    monkeypatch.setattr(sessions, "append", slow)
    recorder = started()
    recorder.add(value(0))
    assert begun.wait(20)
    assert not recorder.close("interrupted", timeout=0.01)  # it is still writing
    recorder.add(value(1))
    go_on.set()
    assert recorder.close("interrupted")
    assert values(sessions) == [0.0, 1.0]
    assert recorder.counts.lost == 0


def test_the_log_says_why_rows_after_the_end_are_lost(
    sessions: Failing, started: Callable[..., SessionRecorder], caplog: pytest.LogCaptureFixture
) -> None:
    recorder = started()
    recorder.end(None)
    for number in range(2):
        recorder.add(value(number))
    (message,) = caplog.messages
    assert "after its session had ended" in message
    assert recorder.counts.lost == 2


def test_a_session_that_fails_is_stored_as_failed(sessions: Failing, started: Callable[..., SessionRecorder]) -> None:
    recorder = started()
    recorder.end(ValueError("x"))
    assert sessions.session("cross-live").status == "failed"


def test_an_idle_session_says_that_it_runs(
    sessions: Failing, started: Callable[..., SessionRecorder], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_HEARTBEAT_SECONDS", 0.0)
    recorder = started()
    until(lambda: recorder.name)
    first = sessions.session("cross-live").updated
    until(lambda: sessions.session("cross-live").updated > first)


def test_rows_wait_in_the_spool_while_the_file_is_busy(
    sessions: Failing, started: Callable[..., SessionRecorder], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    recorder = started()
    recorder.add(value(0))
    until(lambda: recorder.counts.written == 1)
    sessions.error = StoreBusyError("another program has it open")
    for number in (1, 2):
        recorder.add(value(number))
        until(lambda: recorder.counts.spooled == number)  # noqa: B023
    assert len(spools(sessions)) == 1
    sessions.error = None
    until(lambda: recorder.counts.spooled == 0)
    recorder.end(None)
    assert values(sessions) == [0.0, 1.0, 2.0]
    assert not spools(sessions)
    assert len(caplog.records) == 2
    assert "another program has it open" in caplog.messages[0]
    assert "again; 0 rows are lost" in caplog.messages[1]


def test_what_is_left_at_the_end_is_taken_over_by_the_next_session(
    sessions: Failing, started: Callable[..., SessionRecorder]
) -> None:
    sessions.error = StoreBusyError("another program has it open")
    recorder = started()
    recorder.add(value(0))
    recorder.end(ValueError("x"))
    left = read_spool(spools(sessions)[0])
    assert left is not None
    assert left.status == "failed"
    sessions.error = None
    following = SessionRecorder(sessions, lambda: replace(RECORD, session_id="id-2"), pause_seconds=0.01)
    following.add(value(5))
    following.end(None)
    assert sessions.session("cross-live").status == "failed"
    assert values(sessions) == [0.0]
    assert values(sessions, "cross-live-2") == [5.0]
    assert not spools(sessions)


def test_how_a_session_ended_is_kept_while_the_file_is_busy(
    sessions: Failing, started: Callable[..., SessionRecorder]
) -> None:
    sessions.error_at_the_end = StoreBusyError("another program has it open")
    recorder = started()
    recorder.add(value(0))
    recorder.end(ValueError("x"))
    assert sessions.session("cross-live").status == "running"
    sessions.error_at_the_end = None
    assert store_abandoned(sessions) == 1
    assert sessions.session("cross-live").status == "failed"
    assert values(sessions) == [0.0]
    assert not spools(sessions)


def test_without_a_spool_rows_stay_in_memory_up_to_the_capacity(
    sessions: Failing, started: Callable[..., SessionRecorder], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Spool, "append", full)
    sessions.error = StoreBusyError("busy")
    recorder = started(capacity=10)
    for number in range(40):
        recorder.add(value(number))
        until(lambda: not recorder._queue)
    until(lambda: recorder.counts.waiting <= 5)
    lost = recorder.counts.lost
    assert lost >= 35
    sessions.error = None
    until(lambda: recorder.counts.waiting == 0)
    recorder.add(value(99))
    recorder.end(None)
    assert values(sessions)[-1] == 99.0
    assert recorder.counts.written == len(values(sessions)) == 41 - lost
    assert sessions.session("cross-live").lost == lost


def test_rows_that_can_be_kept_nowhere_are_lost_at_the_end(
    sessions: Failing, started: Callable[..., SessionRecorder], monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Spool, "append", no_room)
    sessions.error = StoreBusyError("busy")
    recorder = started()
    recorder.add(value(1))
    recorder.end(None)
    assert (recorder.counts.waiting, recorder.counts.lost, recorder.counts.recorded) == (0, 1, 1)


def test_a_full_queue_counts_what_it_drops(sessions: Failing, started: Callable[..., SessionRecorder]) -> None:
    recorder = started(pause_seconds=60, capacity=10)
    frame = SeenFrame(np.arange(8), np.zeros((8, 5)))
    for _ in range(2):
        recorder.add(RequestEvent(1, "history", "A", "minute", 8, "", frame))
    assert (recorder.counts.waiting, recorder.counts.lost) == (9, 9)
    recorder.end(None)
    assert sessions.session("cross-live").lost == 9
    assert sessions.tables("cross-live")["live_bars"].num_rows == 8


def test_an_error_while_rows_are_made_loses_these_rows_only(
    sessions: Failing, started: Callable[..., SessionRecorder]
) -> None:
    recorder = started()
    recorder.add(ValueEvent({"time": "no time", "value": 1.0, "cash": None}))
    until(lambda: recorder.counts.lost == 1)
    recorder.add(value(2))
    recorder.end(None)
    assert values(sessions) == [2.0]
    assert sessions.session("cross-live").lost == 1


def test_a_forked_process_records_nothing(sessions: Failing, started: Callable[..., SessionRecorder]) -> None:
    recorder = started()
    recorder.add(value(0))
    child = multiprocessing.get_context("fork").Process(target=_add_and_end, args=(recorder,))
    child.start()
    child.join(20)
    assert child.exitcode == 0
    recorder.end(None)
    assert values(sessions) == [0.0]


def _add_and_end(recorder: SessionRecorder) -> None:
    recorder.add(value(1))
    recorder.close("failed")


def _hold(path: Path, told: Connection) -> None:
    """Keep a file open until the test says so."""
    with duckdb.connect(str(path)):
        told.send("open")
        told.recv()


def test_another_program_has_the_file_open(sessions: Failing, started: Callable[..., SessionRecorder]) -> None:
    recorder = started()
    recorder.add(value(0))
    until(lambda: recorder.counts.written == 1)
    ours, theirs = FORKED.Pipe()
    holder = FORKED.Process(target=_hold, args=(sessions.path, theirs))
    holder.start()
    assert ours.recv() == "open"
    recorder.add(value(1))
    until(lambda: recorder.counts.spooled == 1)
    ours.send("close")
    holder.join()
    until(lambda: recorder.counts.written == 2)
    recorder.end(None)
    assert values(sessions) == [0.0, 1.0]


def test_a_full_disk_loses_what_memory_cannot_keep(tmp_path: Path) -> None:
    with mounted_disk(tmp_path / "disk") as disk:
        sessions = LiveSessions(disk / "my-results.duckdb", wait_seconds=0.1)
        recorder = SessionRecorder(sessions, lambda: RECORD, pause_seconds=0.01, capacity=1_000)
        recorder.add(value(0))
        until(lambda: recorder.counts.written == 1)
        filler = disk / "filler"
        with suppress(OSError), filler.open("wb", buffering=0) as file:
            while file.write(bytes(2**16)):
                pass
        for number in range(1, 3_001):
            recorder.add(value(number))
            if number % 100 == 0:
                time.sleep(0.02)
        until(lambda: not recorder._queue)
        filler.unlink()
        until(lambda: recorder.counts.waiting == 0 and recorder.counts.spooled == 0)
        recorder.end(None)
        found = values(sessions)
        counts = recorder.counts
        assert found == sorted(set(found))
        assert len(found) == counts.written
        assert counts.lost > 0
        assert counts.written + counts.lost == counts.recorded == 3_001
        assert sessions.session("cross-live").lost == counts.lost
        assert not spools(sessions)


# -- spools ------------------------------------------------------------------------------------------------------


def test_a_spool_keeps_whole_lines(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "my-results.duckdb", "id-1")
    assert spool.read() is None
    batches = [LiveBatch(1, {"equity": equity(1.0, 2)}), LiveBatch(2, {"equity": equity(2.0, 1)}, lost=4)]
    spool.append(RECORD, batches[:1])
    spool.append(RECORD, batches[1:])
    spool.end(RECORD, "complete", NOW + timedelta(hours=1))
    for cut in (0, 5):
        content = spool.path.read_bytes()
        spool.path.write_bytes(content[: len(content) - cut])
        found = read_spool(spool.path)
        assert found is not None
        assert found.record == RECORD
        assert list(found.batches) == batches
        assert (found.status, found.ended) == ((None, None) if cut else ("complete", NOW + timedelta(hours=1)))
    spool.remove()
    assert not spool.path.exists()


def test_a_spool_in_use_is_left_alone_and_a_damaged_one_kept(
    sessions: Failing, caplog: pytest.LogCaptureFixture
) -> None:
    used = Spool(sessions.path, "id-1")
    used.append(RECORD, [LiveBatch(1, {"equity": equity(1.0, 1)})])
    damaged = sessions.path.with_name("my-results.live-id-3.jsonl")
    damaged.write_text('{"session": {"name": 5}}\n')
    caplog.set_level(logging.WARNING)
    assert store_abandoned(sessions) == 0
    assert used.path.exists()
    assert damaged.exists()
    assert "is damaged" in caplog.text


# -- kills -------------------------------------------------------------------------------------------------------


def _record(path: Path, session_id: str, told: Connection) -> None:
    """Add a value every half millisecond, and tell how many were added and are known to be written."""
    record = replace(RECORD, session_id=session_id)
    recorder = SessionRecorder(LiveSessions(path), lambda: record, pause_seconds=0.02)
    number = 0
    while True:
        recorder.add(value(number))
        number += 1
        told.send((number, recorder.counts.written))
        time.sleep(0.0005)


def killed(path: Path, session_id: str, seconds: float) -> tuple[int, int]:
    """Kill a process that records, some time after its first write; return what it added, and knew to be written."""
    ours, theirs = FORKED.Pipe(duplex=False)
    process = FORKED.Process(target=_record, args=(path, session_id, theirs))
    process.start()
    theirs.close()
    added, written, end = 0, 0, 0.0
    while not end or time.monotonic() < end:
        added, written = ours.recv()
        if written and not end:
            end = time.monotonic() + seconds
    process.kill()
    process.join()
    with suppress(EOFError):
        while True:
            added, written = ours.recv()
    return added, written


@pytest.mark.parametrize("kills", [pytest.param(1, id="one"), pytest.param(40, id="many", marks=pytest.mark.long)])
def test_a_kill_loses_the_last_moments_only(kills: int, sessions: Failing) -> None:
    random = np.random.default_rng(kills)
    for number in range(kills):
        added, written = killed(sessions.path, f"id-{number}", float(random.uniform(0, 0.2)))
        name = "cross-live" if number == 0 else f"cross-live-{number + 1}"
        found = values(sessions, name)
        assert found == [float(each) for each in range(len(found))]  # whole batches, each row once
        assert written <= len(found) <= added + 1
