"""After any sequence of bars, failures and restarts, the store has what was not lost, once, and covers no more."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import astuple, dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest import mock

from hypothesis import given
from hypothesis import strategies as st

from hypothesis_settings import examples
from live.recording.live_items import OPENING, SOURCE, closes, live, locked, moment, stored
from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.live.live_bars import LiveBars
from lumibot_duckdb.live.recording.batch_writer import BatchWriter
from lumibot_duckdb.live.recording.recorder import Recorder
from lumibot_duckdb.storage.bars import writer
from lumibot_duckdb.storage.bars.spool import Spool

SYMBOLS = ("X", "Y")


@dataclass(frozen=True)
class Response:
    """What a source returns at some moment: some of the minutes of a range, whose last ones may be unfinished."""

    symbol: str
    first: int
    end: int
    minutes: tuple[int, ...]
    seed: int
    replace: bool

    def live_bars(self, asked_at: float) -> LiveBars:
        """Return it as of a minute, which may be before its end."""
        moments = (moment(asked_at), self.minutes)
        return live(self.first, self.end, self.symbol, self.seed, *moments, replace=self.replace)

    def closed_at(self, asked_at: float) -> Response:
        """Return what of it had closed at a minute."""
        end = max(self.first, min(self.end, int(asked_at)))
        return replace(self, end=end, minutes=tuple(minute for minute in self.minutes if minute < end))


@st.composite
def responses(draw: st.DrawFn) -> Response:
    first = draw(st.integers(0, 12))
    end = first + draw(st.integers(1, 6))
    minutes = tuple(minute for minute in range(first, end) if draw(st.integers(0, 4)))
    is_correction = draw(st.integers(0, 3)) == 0
    return Response(draw(st.sampled_from(SYMBOLS)), first, end, minutes, draw(st.integers(0, 3)), is_correction)


WRITES = ("stored", "stored", "spooled", "lost", "crashed", "restarted")
steps = st.lists(st.one_of(responses(), responses(), st.sampled_from(WRITES)), max_size=20)


@dataclass
class Model:
    """What the store should have, by symbol and minute, and what waits beside it."""

    rows: dict[str, dict[int, float]] = field(default_factory=lambda: {symbol: {} for symbol in SYMBOLS})
    covered: dict[str, set[int]] = field(default_factory=lambda: {symbol: set() for symbol in SYMBOLS})
    queued: list[Response] = field(default_factory=list)
    spooled: list[Response] = field(default_factory=list)

    def record(self, response: Response) -> None:
        if response.first < response.end:
            self.queued.append(response)

    def write(self, how: str) -> None:
        if how in ("stored", "restarted"):
            if self.queued:
                self.merge()
            for response in self.queued:
                self._apply(response)
        elif how == "spooled":
            self.spooled += self.queued
        self.queued.clear()

    def merge(self) -> None:
        for response in self.spooled:
            self._apply(response)
        self.spooled.clear()

    def _apply(self, response: Response) -> None:
        rows, there = self.rows[response.symbol], range(response.first, response.end)
        if response.replace:
            for minute in there:
                rows.pop(minute, None)
        rows.update(closes(response.minutes, response.seed))
        if response.minutes or response.replace:
            self.covered[response.symbol].update(there)


class Bench:
    """A recorder on a store, in which writes fail on demand."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "s.duckdb"
        self.storage = DuckDBDataStorage(self.path)
        self.storage.record_coverage("OTHER", live(0, 1).covered[0], SOURCE, "minute")
        self.recorder = self._new()

    def _new(self) -> Recorder:
        return Recorder(lambda: self.storage, pause_seconds=3600)

    def write(self, how: str) -> None:
        """Let the recorder write what it has."""
        with _FAILURES[how](self.path):
            if how == "restarted":
                assert self.recorder.close()
            assert self.recorder.flush()
        counts = self.recorder.counts
        assert counts.recorded == sum(astuple(counts)[1:])
        assert counts.waiting == 0
        if how == "restarted":
            self.recorder = self._new()

    def close(self) -> None:
        self.recorder.close()
        self.storage.close()


@contextmanager
def _nothing(path: Path) -> Iterator[None]:
    yield


@contextmanager
def _held(path: Path) -> Iterator[None]:
    with mock.patch.object(writer, "_WAIT_TO_SPOOL_SECONDS", 0.0), locked(path):
        yield


@contextmanager
def _held_on_a_full_disk(path: Path) -> Iterator[None]:
    with _held(path), mock.patch.object(os, "fsync", side_effect=OSError(28, "No space left on device")):
        yield


@contextmanager
def _crashing(path: Path) -> Iterator[None]:
    with mock.patch.object(BatchWriter, "write", side_effect=SystemError("by a test")):
        yield


_FAILURES: dict[str, Callable[[Path], Any]] = {
    "stored": _nothing,
    "restarted": _nothing,
    "spooled": _held,
    "lost": _held_on_a_full_disk,
    "crashed": _crashing,
}


def check(storage: DuckDBDataStorage, model: Model) -> None:
    for symbol in SYMBOLS:
        assert stored(storage, symbol) == model.rows[symbol]
        ranges = storage.coverage(symbol, "minute", SOURCE)
        minutes = {(start - OPENING) // 60 for piece in ranges for start in range(piece.start, piece.end, 60)}
        assert minutes == model.covered[symbol]
    assert [finding for finding in storage.verify().findings if finding.check != "uncovered_bars"] == []


@examples(20)
@given(steps)
def test_the_store_has_what_was_not_lost(steps: Sequence[Response | str]) -> None:
    model = Model()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as block:
        bench = Bench(Path(folder))
        block.callback(bench.close)
        now = 4.0
        for step in [*steps, "stored"]:
            now += 0.5
            if isinstance(step, str):
                bench.write(step)
                model.write(step)
            else:
                bench.recorder.record(step.live_bars(now))
                model.record(step.closed_at(now))
        contents = Spool(bench.path).contents()
        assert bool(contents.writes) == bool(model.spooled)
        bench.storage.merge_spooled()
        model.merge()
        check(bench.storage, model)
