"""Adjusted bars are compared with the store before they are recorded, without keeping a strategy waiting."""

from __future__ import annotations

import datetime as dt
import os
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from live.reads.recorders import KeptBars, stored
from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.live.live_bars import LiveBars
from lumibot_duckdb.live.reads import adjusted_recorder
from lumibot_duckdb.live.reads.adjusted_recorder import AdjustedRecorder, compared
from lumibot_duckdb.sources.alpaca import actions
from lumibot_duckdb.storage.api import AssetKey, SeriesKey, TimeRange
from lumibot_duckdb.storage.errors import StoreBusyError

KEY = SeriesKey(AssetKey("SPY"), "schwab", "minute", "split")
COIN = SeriesKey(AssetKey("BTC", "crypto", "USDT", exchange="binance"), "ccxt", "minute")
MONDAY = dt.datetime(2024, 3, 11, 20, tzinfo=dt.timezone.utc)


def live_bars(first: int, closes: list[float], asked_at: dt.datetime = MONDAY) -> LiveBars:
    """Return bars from a minute of Monday afternoon on."""
    start = pd.Timestamp("2024-03-11 18:00", tz="UTC") + pd.Timedelta(minutes=first)
    index = pd.date_range(start, periods=len(closes), freq="min", name="datetime")
    frame = pd.DataFrame({"open": closes, "high": closes, "low": closes, "close": closes, "volume": 1.0}, index=index)
    covered = TimeRange(int(start.timestamp()), int(start.timestamp()) + 60 * len(closes))
    return LiveBars(KEY, frame, (covered,), asked_at)


@pytest.fixture
def storage(tmp_path: Path) -> DuckDBDataStorage:
    made = DuckDBDataStorage(tmp_path / "store.duckdb")
    KeptBars(made).record(live_bars(0, [10.0, 11.0, 12.0, 13.0]))
    return made


def closes(storage: DuckDBDataStorage) -> list[float]:
    found: list[float] = stored(storage, KEY)["close"].tolist()
    return found


@pytest.mark.parametrize(
    ("bars", "expected"),
    [
        (live_bars(2, [12.0, 13.0, 14.0]), [10.0, 11.0, 12.0, 13.0, 14.0]),
        (live_bars(2, [12.0, 13.5, 14.0]), [10.0, 11.0, 12.0, 13.5, 14.0]),  # a correction
        (live_bars(1, [5.5, 6.0, 6.5, 7.0]), [5.5, 6.0, 6.5, 7.0]),  # a split
        (live_bars(9, [20.0]), [10.0, 11.0, 12.0, 13.0, 20.0]),
    ],
)
def test_the_store_is_prepared_for_what_the_source_returns_now(
    bars: LiveBars, expected: list[float], storage: DuckDBDataStorage
) -> None:
    KeptBars(storage).record(compared(storage, bars))
    assert closes(storage) == expected


@pytest.mark.parametrize(("later", "pieces"), [(dt.timedelta(), 1), (dt.timedelta(days=1), 2)])
def test_bars_of_another_day_without_a_common_one_leave_a_hole(
    later: dt.timedelta, pieces: int, storage: DuckDBDataStorage
) -> None:
    written = live_bars(4, [14.0])
    noted = {"given_at": MONDAY.isoformat()}
    KeptBars(storage).record(LiveBars(KEY, written.bars, written.covered, MONDAY, noted))
    following = live_bars(5, [15.0], MONDAY + later)
    KeptBars(storage).record(compared(storage, following))
    assert len(storage.coverage(KEY)) == pieces


def test_the_alpaca_source_reads_when_bars_were_given() -> None:
    assert adjusted_recorder.GIVEN_AT == actions.GIVEN_AT


def test_bars_are_compared_once_a_day_and_after_a_change(storage: DuckDBDataStorage) -> None:
    opened: list[Any] = []

    def opening() -> DuckDBDataStorage:
        opened.append(threading.current_thread())
        return storage

    kept = KeptBars(storage)
    recorder = AdjustedRecorder(kept, opening)
    recorder.record_adjusted(live_bars(3, [13.0, 14.0]))
    recorder.record_adjusted(live_bars(4, [28.0]))  # not compared, so it is a correction
    recorder.flush(30)
    assert closes(storage) == [10.0, 11.0, 12.0, 13.0, 28.0]
    recorder.recheck(KEY)
    recorder.record_adjusted(live_bars(4, [14.0]))
    recorder.close(30)
    assert closes(storage) == [14.0]
    assert len(opened) == 1
    assert opened[0] is not threading.current_thread()
    assert [each.metadata["given_at"] for each in kept.kept] == [MONDAY.isoformat()] * 3


def test_a_busy_store_delays_bars_and_nothing_else(
    storage: DuckDBDataStorage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(adjusted_recorder, "_PAUSE", 0.01)
    monkeypatch.setattr(adjusted_recorder, "_CAPACITY", 64)  # of two items
    is_free = threading.Event()

    def opening() -> DuckDBDataStorage:
        if not is_free.is_set():
            raise StoreBusyError("another process has it")
        return storage

    recorder = AdjustedRecorder(KeptBars(storage), opening)
    before = time.perf_counter()
    for minute in range(4, 14):
        recorder.record_adjusted(live_bars(minute, [float(10 + minute)]))
    assert time.perf_counter() - before < 5  # `record` does not wait for the store
    assert recorder.lost == 8
    is_free.set()
    recorder.close(30)
    assert len(closes(storage)) == 4 + 10 - recorder.lost
    assert caplog.text.count("adjusted bars wait until the store can be read") == 1
    assert caplog.text.count("are lost") == 1


def test_only_adjusted_bars_wait_for_a_busy_store(storage: DuckDBDataStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adjusted_recorder, "_PAUSE", 0.01)
    monkeypatch.setattr(adjusted_recorder, "_COLLECT", 0.0)
    is_free = threading.Event()

    def opening() -> DuckDBDataStorage:
        if not is_free.is_set():
            raise StoreBusyError("another process has it")
        return storage

    kept = KeptBars()
    recorder = AdjustedRecorder(kept, opening)
    for minute in (4, 5):
        recorder.record_adjusted(live_bars(minute, [10.0 + minute]))
        bars = live_bars(minute, [1.0])
        recorder.record(replace(bars, key=COIN))
    deadline = time.monotonic() + 30
    while len(kept.kept) < 2 and time.monotonic() < deadline:
        time.sleep(0.005)
    assert [each.key for each in kept.kept] == [COIN, COIN]
    assert recorder.waiting == 2
    is_free.set()
    recorder.flush(30)
    assert [(each.key, each.bars.index[0].minute) for each in kept.kept[2:]] == [(KEY, 4), (KEY, 5)]
    recorder.close(30)


def test_bars_after_a_change_are_compared_even_if_earlier_ones_still_wait(storage: DuckDBDataStorage) -> None:
    recorder = AdjustedRecorder(KeptBars(storage), lambda: storage)
    recorder.record_adjusted(live_bars(2, [12.0, 13.0, 14.0]))
    recorder.recheck(KEY)
    recorder.record_adjusted(live_bars(1, [5.5, 6.0, 6.5, 7.0, 7.5]))
    recorder.close(30)
    assert closes(storage) == [5.5, 6.0, 6.5, 7.0, 7.5]


def test_a_recorder_that_is_closed_while_the_store_is_busy_counts_what_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adjusted_recorder, "_PAUSE", 0.01)

    def opening() -> DuckDBDataStorage:
        raise StoreBusyError("another process has it")

    kept = KeptBars()
    recorder = AdjustedRecorder(kept, opening)
    for _ in range(3):
        recorder.record_adjusted(live_bars(0, [1.0, 2.0]))
    recorder.close(0.1)
    assert (recorder.lost, kept.kept) == (6, [])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_begins_without_the_bars_of_its_parent(storage: DuckDBDataStorage) -> None:
    is_free = threading.Event()

    def opening() -> DuckDBDataStorage:
        is_free.wait(30)
        return storage

    kept = KeptBars()
    recorder = AdjustedRecorder(kept, opening)
    recorder.record_adjusted(live_bars(4, [14.0]))
    recorder.record_adjusted(live_bars(5, [15.0]))
    child = os.fork()
    if child == 0:
        os._exit(recorder.waiting)
    _, status = os.waitpid(child, 0)
    is_free.set()
    recorder.close(30)
    assert os.waitstatus_to_exitcode(status) == 0
    assert len(kept.kept) == 2


def test_long_histories_are_passed_on_in_parts_as_the_recorder_takes_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adjusted_recorder, "_PART", 4)
    kept = KeptBars()
    recorder = AdjustedRecorder(kept, DuckDBDataStorage)
    whole = live_bars(0, [float(minute) for minute in range(10)])
    first, last = whole.covered[0].start, whole.covered[0].end
    pieces = (TimeRange(first - 60, first + 120), TimeRange(first + 180, last + 600))
    recorder.record(LiveBars(KEY, whole.bars.iloc[[0, 1, 3]], pieces, MONDAY))
    later = TimeRange(first + 3_600, last + 3_600)
    twice = pd.concat([whole.bars, whole.bars.shift(freq="1h")])
    recorder.record(LiveBars(KEY, twice, (*whole.covered, later), MONDAY))
    recorder.close(30)
    short, *parts = kept.kept
    assert short.covered == pieces
    assert [len(part.bars) for part in parts] == [4, 4, 4, 4, 4]
    pd.testing.assert_frame_equal(pd.concat([part.bars for part in parts]), twice, check_freq=False)
    assert [part.covered for part in parts] == [
        (TimeRange(first, first + 240),),
        (TimeRange(first + 240, first + 480),),
        (TimeRange(first + 480, last), TimeRange(later.start, later.start + 120)),
        (TimeRange(later.start + 120, later.start + 360),),
        (TimeRange(later.start + 360, later.end),),
    ]
