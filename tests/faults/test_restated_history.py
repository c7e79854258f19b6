"""History is restated completely or not at all, and once, even if processes are killed or restate it together."""

from __future__ import annotations

import datetime as dt
import os
import random
import signal
import time
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import pytest

from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.storage.api import AssetKey, CorporateAction, SeriesKey
from lumibot_duckdb.storage.errors import HistoryRestatedError
from lumibot_duckdb.storage.reference import reference_data
from processes import FORKED
from storage.frames import minute_bars

KILLS = 7
PROCESSES = 4
ROUNDS = 5
OPTION = AssetKey("AAPL", "option", expiration=dt.date(2024, 1, 19), strike=190.0, right="CALL")
SERIES = [
    SeriesKey(asset, "test", timeframe, "split")
    for asset in (AssetKey("AAPL"), OPTION)
    for timeframe in ("minute", "hour")
]
FRAME = minute_bars(rows=400)


def say(storage: DuckDBDataStorage, number: int) -> bool:
    """Record the answer with this number."""
    split = CorporateAction(dt.date(2024, 1, 1), 1, number)
    return storage.record_corporate_actions("AAPL", [split], "test", restates=["split"])


def fill(storage: DuckDBDataStorage, number: int) -> None:
    """Store the bars of the answer with this number."""
    for key in SERIES:
        bars = FRAME.assign(volume=number)
        storage.store_ohlcv_data(key.asset, bars, key.source, key.timeframe, adjustment=key.adjustment)


def assert_bars_go_with_the_answer(storage: DuckDBDataStorage) -> int:
    """Return the known answer; fail if a series has bars of another one, or covers a range without its bars."""
    known = storage.corporate_actions("AAPL", "test")
    assert known is not None
    number = known.actions[0].split_to
    assert number is not None
    for key in SERIES:
        bars = storage.read_pandas(storage.pin(key))
        assert (bars["volume"] == number).all()
        assert len(bars) in (0, len(FRAME))
        assert bool(storage.coverage(key)) == bool(len(bars))
    assert storage.verify().findings == []
    return int(number)


def restate_until_killed(path: Path, number: int, pipe: Connection) -> None:
    """In another process: restate, report it, and fill the series again, repeatedly."""
    storage = DuckDBDataStorage(path)
    while True:
        number += 1
        say(storage, number)
        pipe.send(number)
        fill(storage, number)


def restate_and_die(path: Path, restated_first: bool) -> None:
    """In another process: be killed before or after the series are restated, with the answer written already."""
    restate = reference_data.restate

    def last_restate(*arguments: Any) -> None:
        if restated_first:
            restate(*arguments)
        os.kill(os.getpid(), signal.SIGKILL)

    reference_data.restate = last_restate
    say(DuckDBDataStorage(path), 2)


@pytest.mark.parametrize("restated_first", [False, True])
def test_a_writer_killed_in_the_middle_of_a_restatement_has_changed_nothing(
    tmp_path: Path, restated_first: bool
) -> None:
    storage = DuckDBDataStorage(tmp_path)
    say(storage, 1)
    fill(storage, 1)
    pins = [storage.pin(key) for key in SERIES]
    storage.close()
    process = FORKED.Process(target=restate_and_die, args=(storage.path, restated_first))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert assert_bars_go_with_the_answer(storage) == 1
    assert [storage.pin(key) for key in SERIES] == pins
    assert say(storage, 2) is True
    assert [storage.facts(storage.pin(key)).rows for key in SERIES] == [0] * len(SERIES)


def test_a_writer_killed_at_any_moment_leaves_no_bars_of_another_answer(tmp_path: Path) -> None:
    storage = DuckDBDataStorage(tmp_path)
    say(storage, 1)
    fill(storage, 1)
    known = 1
    rng = random.Random(11)
    for _ in range(KILLS):
        ours, theirs = FORKED.Pipe()
        process = FORKED.Process(target=restate_until_killed, args=(storage.path, known, theirs), daemon=True)
        process.start()
        theirs.close()
        reported = ours.recv()
        time.sleep(rng.uniform(0.0, 0.2))
        os.kill(process.pid or 0, signal.SIGKILL)
        process.join()
        try:
            while ours.poll():
                reported = ours.recv()
        except EOFError:
            pass
        known = assert_bars_go_with_the_answer(storage)
        assert reported <= known <= reported + 1
        storage.close()


def find_out_together(path: Path, barrier: Barrier, pipe: Connection) -> None:
    """In another process: receive each answer when the others do, and try to add bars to the earlier version."""
    storage = DuckDBDataStorage(path)
    differed = []
    refused = 0
    for number in range(2, 2 + ROUNDS):
        before = storage.pin(SERIES[0]).version_id
        barrier.wait()
        differed.append(say(storage, number))
        try:
            late = minute_bars("2024-02-01 09:30", rows=3).assign(volume=number - 1)
            storage.store_ohlcv_data("AAPL", late, "test", "minute", adjustment="split", onto=before)
        except HistoryRestatedError:
            refused += 1
        barrier.wait()
    pipe.send((differed, refused))


def test_of_several_that_find_out_at_once_one_restates(tmp_path: Path) -> None:
    storage = DuckDBDataStorage(tmp_path)
    say(storage, 1)
    fill(storage, 1)
    storage.close()
    barrier = FORKED.Barrier(PROCESSES)
    pipes = []
    for _ in range(PROCESSES):
        ours, theirs = FORKED.Pipe()
        FORKED.Process(target=find_out_together, args=(storage.path, barrier, theirs), daemon=True).start()
        theirs.close()
        pipes.append(ours)
    reports = [pipe.recv() for pipe in pipes]
    assert [sum(answers) for answers in zip(*(differed for differed, _ in reports), strict=True)] == [1] * ROUNDS
    assert [refused for _, refused in reports] == [ROUNDS] * PROCESSES
    assert assert_bars_go_with_the_answer(storage) == 1 + ROUNDS
    assert storage.statistics().versions == len(SERIES) * (1 + ROUNDS)
