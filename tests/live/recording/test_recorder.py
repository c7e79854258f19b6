"""The recorder stores what it can, spools what it cannot, counts and logs what is lost, and never fails its callers."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import astuple, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from disks import mounted_disk
from live.recording.live_items import (
    SOURCE,
    closes,
    covered,
    frame_of,
    key_of,
    live,
    locked,
    moment,
    stored,
    within,
)
from lumibot_duckdb import DuckDBDataStorage, clock
from lumibot_duckdb.live.live_bars import LiveBars
from lumibot_duckdb.live.recording.batch_writer import BatchWriter
from lumibot_duckdb.live.recording.recorder import Recorder, RecorderCounts
from lumibot_duckdb.storage.bars.spool import Spool, SpoolContents

LOG = "lumibot_duckdb.live.recording"


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[DuckDBDataStorage]:
    with DuckDBDataStorage(tmp_path / "s.duckdb") as made:
        yield made


@pytest.fixture
def recorder(storage: DuckDBDataStorage) -> Iterator[Recorder]:
    """A recorder that writes when it is flushed, or after a minute."""
    with Recorder(lambda: storage, pause_seconds=60) as made:
        yield made
    assert is_accounted(made.counts)


def is_accounted(counts: RecorderCounts) -> bool:
    return counts.recorded == sum(astuple(counts)[1:])


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name.startswith(LOG)]


def test_bars_are_stored_with_what_they_cover(storage: DuckDBDataStorage, recorder: Recorder) -> None:
    recorder.record(live(0, 5, "X", metadata={"feed": "sip"}))
    recorder.record(live(3, 8, "X", metadata={"feed": "sip"}))
    recorder.record(live(0, 4, "Y", minutes=[1]))
    assert recorder.counts == RecorderCounts(recorded=11, waiting=11)
    assert recorder.flush()
    assert recorder.counts == RecorderCounts(recorded=11, written=11)
    assert stored(storage, "X") == closes(range(8))
    assert stored(storage, "Y") == closes([1])
    assert covered(storage, "X") == [(0, 8)]
    assert covered(storage, "Y") == [(0, 4)]
    (written,) = storage.ingests(storage.pin("X"))
    assert dict(written.metadata) == {"feed": "sip", "recorded_live": True}
    assert storage.verify().findings == []


def test_they_are_written_after_a_while_without_a_flush(storage: DuckDBDataStorage) -> None:
    with Recorder(lambda: storage, pause_seconds=0.01) as recorder:
        recorder.record(live(0, 3))
        assert until(lambda: recorder.counts.written == 3)


def test_an_unfinished_bar_is_not_stored_until_it_has_closed(storage: DuckDBDataStorage, recorder: Recorder) -> None:
    recorder.record(live(0, 5, asked_at=moment(4.9)))
    recorder.flush()
    assert stored(storage) == closes(range(4))
    assert covered(storage) == [(0, 4)]
    assert recorder.counts == RecorderCounts(recorded=5, written=4, unfinished=1)
    recorder.record(live(4, 5, seed=1, asked_at=moment(5)))
    recorder.flush()
    assert stored(storage) == closes(range(4)) | closes([4], seed=1)


def test_what_the_source_corrects_is_replaced(storage: DuckDBDataStorage, recorder: Recorder) -> None:
    recorder.record(live(0, 6))
    recorder.record(live(1, 4, minutes=[1, 3], seed=2, replace=True))
    recorder.record(LiveBars(key_of(), frame_of([5], 3), (within(5, 6), within(8, 9)), moment(9), replace=True))
    recorder.flush()
    assert stored(storage) == closes([0, 4]) | closes([1, 3], 2) | closes([5], 3)
    assert covered(storage) == [(0, 6), (8, 9)]


def test_an_empty_response_proves_nothing(storage: DuckDBDataStorage, recorder: Recorder) -> None:
    now = datetime.now(timezone.utc)
    recorder.record(live(0, 3, asked_at=now))
    recorder.record(live(3, 9, minutes=[], asked_at=now))
    recorder.record(live(5, 6, asked_at=now))
    recorder.flush()
    (info,) = storage.list_series()
    assert [each.within for each in info.provisional] == [within(3, 5), within(6, 9)]


def test_another_program_that_holds_the_store_delays_bars_only(
    storage: DuckDBDataStorage, recorder: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, LOG)
    with locked(storage.path):
        for minute in range(3):
            recorder.record(live(minute, minute + 1))
            assert recorder.flush()
    assert recorder.counts == RecorderCounts(recorded=3, spooled=3)
    (said,) = messages(caplog)
    assert said.startswith("live bars wait beside the store: ")
    recorder.record(live(3, 4))
    recorder.flush()
    assert stored(storage) == closes(range(4))
    assert covered(storage) == [(0, 4)]
    (_, over) = messages(caplog)
    assert over == (
        "live bars are recorded again, after StoreBusyError; kept beside the store meanwhile: 3 bars of 1 series "
        "(X stock, minute bars from my_feed, 2024-01-02 14:30 to 2024-01-02 14:33 UTC)"
    )


def test_a_full_disk_costs_bars_and_their_coverage_until_it_has_room(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with mounted_disk(tmp_path / "disk") as disk, DuckDBDataStorage(disk / "s.duckdb") as storage:
        with Recorder(lambda: storage, pause_seconds=60) as recorder:
            recorder.record(live(0, 2))
            recorder.flush()
            fill_up(disk / "filler")
            for first, end in ((2, 5_000), (5_000, 10_000)):
                recorder.record(live(first, end))
                assert recorder.flush()
            assert recorder.counts == RecorderCounts(recorded=10_000, written=2, failed=9_998)
            (disk / "filler").unlink()
            recorder.record(live(10_001, 10_003))
        assert recorder.counts == RecorderCounts(recorded=10_002, written=4, failed=9_998)
        assert stored(storage) == closes([0, 1, 10_001, 10_002])
        assert covered(storage) == [(0, 2), (10_001, 10_003)]
        assert storage.verify().sound
    lost, again = messages(caplog)
    assert lost.startswith("live bars are lost: the disk is full")
    assert again == (
        "live bars are recorded again, after DiskFullError; lost, and not covered, so that a backfill requests them "
        "again: 9,998 bars of 1 series (X stock, minute bars from my_feed, 2024-01-02 14:32 to 2024-01-09 13:10 UTC)"
    )


def test_a_full_queue_drops_bars_and_their_coverage(
    storage: DuckDBDataStorage, caplog: pytest.LogCaptureFixture
) -> None:
    with Recorder(lambda: storage, capacity=100, pause_seconds=0) as recorder:
        with locked_writer(recorder):
            recorder.record(live(0, 300))  # more than there is room for, but nothing else waits
            for symbol in "YZ":
                recorder.record(live(0, 5, symbol))
        recorder.flush()
        assert recorder.counts == RecorderCounts(recorded=310, written=300, dropped=10)
        recorder.record(live(5, 9, "Y"))
        recorder.flush()
        assert stored(storage, "Y") == closes(range(5, 9))
        assert covered(storage, "Y") == [(5, 9)]
    full, again = messages(caplog)
    assert full.startswith("live bars are lost: they come faster than they are written")
    assert again.startswith("live bars are recorded again, after a full queue; lost, and not covered")
    assert "again: 10 bars of 2 series (Y stock" in again


def test_the_memory_of_many_small_items_is_bounded(storage: DuckDBDataStorage) -> None:
    with Recorder(lambda: storage, capacity=320, pause_seconds=60) as recorder:
        with locked_writer(recorder):
            for minute in range(40):
                recorder.record(live(minute, minute + 1))
        assert recorder.counts.dropped == 30


@pytest.mark.parametrize("error", [SystemExit, MemoryError])
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_crash_of_the_thread_costs_a_batch(
    storage: DuckDBDataStorage,
    recorder: Recorder,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: type[BaseException],
) -> None:
    monkeypatch.setattr("lumibot_duckdb.live.recording.recorder._RESTART_SECONDS", 0.0)
    with monkeypatch.context() as patched:
        patched.setattr(BatchWriter, "write", raising(error("by a test")))
        for minute in (0, 1):
            recorder.record(live(minute, minute + 1))
            assert recorder.flush()
    assert recorder.counts == RecorderCounts(recorded=2, failed=2)
    recorder.record(live(2, 3))
    assert recorder.flush()
    assert recorder.counts == RecorderCounts(recorded=3, failed=2, written=1)
    assert covered(storage) == [(2, 3)]
    lost, again = messages(caplog)
    assert lost == "live bars are lost: by a test"
    assert again.startswith(f"live bars are recorded again, after {error.__name__}; lost")


def test_an_error_of_some_bars_costs_no_others(
    storage: DuckDBDataStorage, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = BatchWriter.write

    def write_unless_bad(writer: BatchWriter, batch: Any) -> Any:
        if any(item.key == key_of("BAD") for item in batch):
            raise AssertionError("by a test")
        return write(writer, batch)

    monkeypatch.setattr(BatchWriter, "write", write_unless_bad)
    for symbol in ("X", "BAD", "Y"):
        recorder.record(live(0, 3, symbol))
    assert recorder.flush()
    assert recorder.counts == RecorderCounts(recorded=9, written=6, failed=3)
    assert stored(storage, "Y") == closes(range(3))


def test_a_storage_that_cannot_be_opened_is_tried_again(
    storage: DuckDBDataStorage, caplog: pytest.LogCaptureFixture
) -> None:
    broken = [True]

    def opened() -> DuckDBDataStorage:
        if broken[0]:
            raise ValueError("LUMIBOT_DUCKDB_THREADS must be a whole number")
        return storage

    with Recorder(opened, pause_seconds=60) as recorder:
        recorder.record(live(0, 1))
        recorder.flush()
        broken[0] = False
        recorder.record(live(1, 2))
        recorder.flush()
        assert recorder.counts == RecorderCounts(recorded=2, failed=1, written=1)
    assert "LUMIBOT_DUCKDB_THREADS" in messages(caplog)[0]


def test_bars_that_are_refused_cost_no_others(
    storage: DuckDBDataStorage, recorder: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    naive = replace(live(0, 2, "BAD"), bars=frame_of([0, 1]).tz_localize(None))
    twice = replace(live(0, 2, "TWICE"), bars=frame_of([0, 0]))
    texts = replace(live(0, 2, "TEXTS"), bars=frame_of([0, 1]).assign(note=1j))
    outside = replace(live(0, 2, "OUT", replace=True), bars=frame_of([0, 9]), asked_at=moment(20))
    early = replace(live(0, 2, "EARLY"), asked_at=datetime(2024, 1, 2))
    for _ in range(2):
        for item in (live(0, 3, "X"), naive, twice, texts, outside, early, live(0, 3, "Y")):
            recorder.record(item)
        recorder.flush()
    assert recorder.counts == RecorderCounts(recorded=32, written=12, failed=20)
    assert sorted(info.key.asset.symbol for info in storage.list_series()) == ["X", "Y"]
    said = messages(caplog)
    assert len(said) == 5
    for symbol in ("BAD", "TWICE", "TEXTS", "OUT", "EARLY"):
        assert sum(f"{symbol} stock, minute bars from {SOURCE}" in each for each in said) == 1


@pytest.mark.parametrize("nonsense", [None, live(0, 1).bars])
def test_nonsense_is_logged_and_does_no_harm(
    storage: DuckDBDataStorage, recorder: Recorder, caplog: pytest.LogCaptureFixture, nonsense: Any
) -> None:
    recorder.record(nonsense)
    recorder.record(nonsense)
    recorder.record(live(0, 1))
    assert recorder.flush()
    assert recorder.counts == RecorderCounts(recorded=1, written=1)
    (said,) = messages(caplog)
    assert "cannot be recorded" in said


def test_bars_asked_for_by_a_clock_that_was_ahead_are_not_taken_for_finished(
    storage: DuckDBDataStorage, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock, "utc_now", lambda: moment(5))
    recorder.record(live(0, 5, asked_at=moment(5)))
    monkeypatch.setattr(clock, "utc_now", lambda: moment(3.5))  # it was 90 seconds ahead
    recorder.flush()
    assert stored(storage) == closes(range(3))
    assert covered(storage) == [(0, 3)]
    assert recorder.counts == RecorderCounts(recorded=5, written=3, unfinished=2)


def test_the_clock_of_the_provider_decides_what_has_closed(
    storage: DuckDBDataStorage, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock, "utc_now", lambda: moment(4.9))  # slow
    recorder.record(live(0, 5, asked_at=moment(5)))
    recorder.record(live(5, 6, asked_at=moment(5.1)))
    recorder.flush()
    assert stored(storage) == closes(range(5))
    assert covered(storage) == [(0, 4)]  # what is covered must not lie in the future of this machine


def test_a_restated_series_takes_no_bars_from_before(storage: DuckDBDataStorage, recorder: Recorder) -> None:
    now = datetime.now(timezone.utc)
    recorder.record(live(0, 3, asked_at=now))
    recorder.flush()
    recorder.record(live(3, 6, asked_at=now))
    storage.restate_series("X", SOURCE, "minute")
    recorder.flush()
    assert recorder.counts == RecorderCounts(recorded=6, written=3, failed=3)
    assert stored(storage) == {}
    recorder.record(live(0, 6, seed=4, asked_at=now + timedelta(days=1)))
    recorder.flush()
    assert stored(storage) == closes(range(6), seed=4)


def test_what_comes_after_the_end_is_dropped(storage: DuckDBDataStorage) -> None:
    recorder = Recorder(lambda: storage, pause_seconds=60)
    recorder.record(live(0, 1))
    assert recorder.close()
    assert recorder.close(0)
    recorder.record(live(1, 2))
    assert recorder.flush(0)
    assert recorder.counts == RecorderCounts(recorded=2, written=1, dropped=1)
    assert not any(thread.name == "lumibot-duckdb recorder" for thread in threading.enumerate())


def test_a_recorder_that_was_never_used_starts_no_thread(storage: DuckDBDataStorage) -> None:
    with Recorder(lambda: storage) as recorder:
        assert recorder.flush()
        assert recorder._thread is None
    assert not storage.path.exists()


def test_a_flush_does_not_wait_longer_than_it_may(storage: DuckDBDataStorage, recorder: Recorder) -> None:
    with locked_writer(recorder):
        recorder.record(live(0, 1))
        assert not recorder.flush(0.01)
        assert not recorder.close(0.01)
        assert recorder.counts.waiting == 1
    assert recorder.close()
    assert recorder.counts.written == 1


def test_a_thread_that_cannot_start_is_started_later(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("lumibot_duckdb.live.recording.recorder._RESTART_SECONDS", 0.0)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", raising(RuntimeError("can't start new thread")))
        for minute in (0, 1):
            recorder.record(live(minute, minute + 1))
        assert not recorder.flush(0.01)
    (said,) = messages(caplog)
    assert "cannot be started" in said
    assert recorder.flush()
    assert recorder.counts == RecorderCounts(recorded=2, written=2)


def test_the_settings_are_checked() -> None:
    with pytest.raises(ValueError, match="capacity is 0: pass the number of bars"):
        Recorder(DuckDBDataStorage, capacity=0)
    with pytest.raises(ValueError, match="pause_seconds is -1: pass a number of seconds"):
        Recorder(DuckDBDataStorage, pause_seconds=-1)


def test_several_threads_record_at_once(storage: DuckDBDataStorage) -> None:
    def keep_recording(symbol: str) -> None:
        for minute in range(100):
            recorder.record(live(minute, minute + 1, symbol))

    with Recorder(lambda: storage, pause_seconds=0) as recorder:
        threads = [threading.Thread(target=keep_recording, args=(symbol,)) for symbol in "ABCD"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert recorder.flush()
        assert recorder.counts == RecorderCounts(recorded=400, written=400)
    for symbol in "ABCD":
        assert stored(storage, symbol) == closes(range(100))
        assert covered(storage, symbol) == [(0, 100)]


def test_bars_that_wait_are_not_lost_by_an_earlier_spool(storage: DuckDBDataStorage, recorder: Recorder) -> None:
    with locked(storage.path):
        recorder.record(live(0, 3, seed=1))
        recorder.flush()
    assert Spool(storage.path).contents() == SpoolContents(1, 3)
    recorder.record(live(0, 2, seed=2, asked_at=moment(4), replace=True))
    recorder.flush()
    assert not Spool(storage.path).folder.exists()
    assert stored(storage) == closes([0, 1], seed=2) | closes([2], seed=1)


def fill_up(file: Path) -> None:
    """Leave no room on the disk."""
    with file.open("wb", buffering=0) as filler, suppress(OSError):
        while filler.write(b"x" * 4096):
            pass


def raising(error: BaseException) -> Callable[..., Any]:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    return fail


def until(condition: Callable[[], bool]) -> bool:
    """Wait for a condition, ten seconds at most; return whether it holds."""
    return any(condition() or threading.Event().wait(0.01) for _ in range(1000))


class locked_writer:  # noqa: N801 (a context manager that is used like a function)
    """Let the thread of a recorder begin a batch, but not write it until the block ends."""

    def __init__(self, recorder: Recorder) -> None:
        self._writer = recorder._writer
        self._free = threading.Event()

    def __enter__(self) -> None:
        write = self._writer.write

        def wait_and_write(batch: Any) -> Any:
            self._free.wait()
            return write(batch)

        self._writer.write = wait_and_write  # type: ignore[method-assign]

    def __exit__(self, *_: object) -> None:
        self._free.set()
        del self._writer.write


def test_the_frame_that_was_passed_stays_as_it_is(recorder: Recorder) -> None:
    item = live(0, 4, asked_at=moment(3))
    before = item.bars.copy()
    recorder.record(item)
    recorder.flush()
    pd.testing.assert_frame_equal(item.bars, before)
