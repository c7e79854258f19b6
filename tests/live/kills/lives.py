"""Lives of a recorder, which end at any moment, and what the store must have after each of them."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import pandas as pd

from live.kills.market_time import MarketTime
from live.kills.markets import Market
from live.kills.processes import Processes, RecordProcess
from live.servers.binance_server import COLUMNS
from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.storage.api import SeriesKey, TimeRange
from lumibot_duckdb.storage.bars.coverage import in_ranges, merged, missing
from lumibot_duckdb.storage.bars.spool import Spool
from lumibot_duckdb.storage.errors import SeriesNotFoundError, StoreNotFoundError
from lumibot_duckdb.storage.times import moment_of
from storage.held_store import locked

_LONGEST = 150.0
_RECOVERY = 1.0
"""After so many seconds of waiting, the market behaves."""
_ORDERLY = (signal.SIGTERM, signal.SIGINT)
_STORE_UNUSABLE = 3


class Lives:
    """Starts a recorder again and again, and lets time pass at its market.

    Parameters:
        folder: for logs.
        disk: the folder of the store. If it may be `filled`, it is a small separate disk.
        market: the market.
        shared: its time.
        processes: start the recorder.
    """

    def __init__(
        self,
        folder: Path,
        disk: Path,
        market: Market,
        shared: MarketTime,
        processes: Processes,
        seed: int,
        *,
        may_fill: bool = False,
    ) -> None:
        self.store = disk / "lumibot.duckdb"
        self.ended: dict[str, int] = {}
        self._folder = folder
        self._filler = disk / "filler" if may_fill else None
        self._market = market
        self._shared = shared
        self._processes = processes
        self._seed = seed
        self._dice, self._dice_of_mishaps = random.Random(), random.Random(seed)
        self._number = 0

    # -- a life ----------------------------------------------------------------------------------------------

    def live(self, *, anew: bool = False) -> None:
        """Start a recorder, and end it at some moment; then check the store."""
        self._number += 1
        self._dice = random.Random(f"life {self._number} of {self._seed}")  # the same however long others took
        ends: list[tuple[str, Callable[[RecordProcess], None]]] = [
            ("starting", self._starting),
            ("connecting", self._connecting),
            ("writing", self._writing),
            ("recording", self._recording),
            ("ending", self._ending),
            ("ended", self._in_order),
        ]
        name, end = self._dice.choice(ends)
        faulty = self._dice.choice([self._held, self._full]) if self._dice.random() < 0.4 else None
        process = self._started(anew=anew)
        try:
            with suppress(_EndedEarlyError), nullcontext() if faulty is None else faulty(process):
                end(process)
                self._pass(process, lambda: not process.is_running)
            self._check_end(process, may_fail=faulty is not None)
            self.check_store()
        except BaseException:
            process.end()
            print(f"life {self._number}, {name}, {faulty}:\n{process.log.read_text()[-4000:]}")
            raise
        self.ended[name] = self.ended.get(name, 0) + 1

    def _started(self, *, anew: bool) -> RecordProcess:
        call = {
            "market": str(self._folder / "market"),
            "safe": str(self._folder / "safe"),
            "log": str(self._folder / f"log-{self._number}"),
            "store": str(self.store),
            "words": self._market.words,
            "environment": self._market.environment,
            "rest": self._market.rest_url,
            "stream": self._market.stream_url,
        }
        self._commands, self._writes = self._shared.commands, self._shared.writes
        return self._processes.new(call) if anew else self._processes.fork(call)

    # -- its end ---------------------------------------------------------------------------------------------

    def _starting(self, process: RecordProcess) -> None:
        self._pass(process, lambda: self._shared.commands > self._commands, at_most=self._dice.uniform(0, 2))
        self._pass(process, at_most=self._dice.uniform(0, 0.2))
        self._stop(process)

    def _connecting(self, process: RecordProcess) -> None:
        self._pass(process, lambda: self._market.is_connected)
        self._pass(process, at_most=self._dice.uniform(0, 0.1))
        self._stop(process)

    def _writing(self, process: RecordProcess) -> None:
        writes = self._writes + self._dice.randint(1, 6)
        self._pass(process, lambda: self._shared.writes >= writes)
        time.sleep(self._dice.uniform(0, 0.03))
        self._stop(process)

    def _recording(self, process: RecordProcess) -> None:
        self._pass(process, lambda: self._shared.writes > self._writes)
        self._pass(process, at_most=self._dice.uniform(0, 1.0), mishaps=0.02)
        self._stop(process)

    def _ending(self, process: RecordProcess) -> None:
        """Kill it after a signal that ends it in order."""
        self._pass(process, lambda: self._shared.writes > self._writes)
        self._pass(process, at_most=self._dice.uniform(0, 0.3))
        process.send(self._dice.choice(_ORDERLY))
        self._pass(process, at_most=self._dice.uniform(0, 0.3))
        process.send(signal.SIGKILL)

    def _in_order(self, process: RecordProcess) -> None:
        self._pass(process, lambda: self._shared.writes > self._writes)
        self._pass(process, at_most=self._dice.uniform(0, 0.6), mishaps=0.02)
        process.send(self._dice.choice(_ORDERLY))

    def _stop(self, process: RecordProcess) -> None:
        process.send(self._dice.choice([signal.SIGKILL, signal.SIGKILL, *_ORDERLY]))

    def _check_end(self, process: RecordProcess, *, may_fail: bool) -> None:
        """Check that it ended as it was asked to, and that no error escaped."""
        code, signals = process.wait(), process.signals
        if signal.SIGKILL in signals and code == -signal.SIGKILL:
            return
        if self._shared.commands == self._commands:  # Python was starting
            return
        if not signals:
            assert (code, may_fail) == (_STORE_UNUSABLE, True)
        elif code != 0:  # it had not begun to record
            assert code in {128 + signals[0], *((_STORE_UNUSABLE,) if may_fail else ())}
        said = process.log.read_text()
        assert not [word for word in ("Traceback", "Exception ignored", "was destroyed") if word in said]

    # -- faults of the store ---------------------------------------------------------------------------------

    @contextmanager
    def _held(self, process: RecordProcess) -> Iterator[None]:
        """Let another process hold the store, from some moment on."""
        self._pass(process, at_most=self._dice.uniform(0, 0.5))
        with locked(self.store):
            yield

    @contextmanager
    def _full(self, process: RecordProcess) -> Iterator[None]:
        """Let the disk be full, from some moment on."""
        if self._filler is None:
            yield
            return
        self._pass(process, at_most=self._dice.uniform(0, 0.5))
        with filled(self._filler, self._dice.choice([0, 0, 4_096, 65_536])):
            try:
                yield
            finally:
                process.end()  # before it can write again

    # -- time ------------------------------------------------------------------------------------------------

    def _pass(
        self,
        process: RecordProcess,
        until: Callable[[], Any] | None = None,
        *,
        at_most: float | None = None,
        mishaps: float = 0.0,
    ) -> None:
        """Let time pass until something is the case, or for some seconds."""
        began = time.monotonic()
        while until is None or not until():
            passed = time.monotonic() - began
            if at_most is not None and passed >= at_most:
                break
            if not process.is_running:
                raise _EndedEarlyError
            if passed > _RECOVERY:
                self._market.recover()
            assert passed < _LONGEST, f"life {self._number} waits for too long"
            self._market.step()
            if self._dice_of_mishaps.random() < mishaps:
                self._market.misbehave()
            time.sleep(self._market.pause if passed < _RECOVERY else 10 * self._market.pause)

    # -- the store -------------------------------------------------------------------------------------------

    def check_store(self) -> None:
        """Check that the store is sound, and has nothing that REST does not have, and all that it covers."""
        with DuckDBDataStorage(self.store) as storage:
            storage.merge_spooled()
            try:
                report = storage.verify()
            except StoreNotFoundError:  # it was killed too early
                return
            assert report.sound, report.findings
            assert not Spool(self.store).contents().writes
            for key in self._market.keys:
                self._check_series(storage, key)

    def _check_series(self, storage: DuckDBDataStorage, key: SeriesKey) -> None:
        found, covered = stored(storage, key), storage.coverage(key)
        starts = found.index.to_numpy()
        assert found.index.is_unique
        assert found.index.is_monotonic_increasing
        assert not len(found) or starts[-1] + 60 <= self._market.now  # no bar is unfinished
        assert in_ranges(starts, covered).all()
        expected = self._market.bars(key)
        assert set(starts) <= set(expected.index)
        lacking = expected.index[in_ranges(expected.index.to_numpy(), covered)].difference(found.index)
        assert not len(lacking), (key.label(), lacking.tolist())
        same = [start for start in starts.tolist() if start not in self._market.corrected(key)]
        assert found.loc[same].to_numpy().tolist() == expected.loc[same].to_numpy().tolist()
        for end in self._safe(key):
            assert missing(TimeRange(end - 1, end), covered) == [], (key.label(), end)

    def _safe(self, key: SeriesKey) -> set[int]:
        """Return up to which times bars of a series were stored, as the recorder says."""
        safe = self._folder / "safe"
        lines = map(str.split, safe.read_text().splitlines()) if safe.exists() else iter(())
        return {int(line[2]) for line in lines if line[:2] == [key.source, key.asset.symbol]}

    def finish(self) -> None:
        """Let a recorder live until it is asked to end; then the store has what REST has, without a gap.

        Beside it are only the files that each store has.
        """
        self._number += 1
        self._market.recover()
        process = self._started(anew=False)
        try:
            self._pass(process, lambda: self._shared.writes > self._writes and self._market.is_connected)
            self._pass(process, at_most=0.5)
            until = int(self._market.now) // 60 * 60
            self._market.settle()
            process.send(signal.SIGTERM)
            assert process.wait() == 0
        finally:
            process.end()
            print(process.log.read_text())
        self.check_store()
        left = {each.name.removeprefix(self.store.name) for each in self.store.parent.iterdir()}
        assert left == {"", ".lock", ".turn", ".use"}
        with DuckDBDataStorage(self.store) as storage:
            for key in self._market.keys:
                found, expected = stored(storage, key), self._market.bars(key)
                covered = merged(storage.coverage(key))
                last = int(expected.index[expected.index < until].max()) + 60
                gaps = [
                    f"{moment_of(gap.start)}: {gap.end - gap.start} s"
                    for gap in missing(TimeRange(covered[0].start, last), covered)
                ]
                assert not gaps, (key.label(), gaps)
                within = in_ranges(expected.index.to_numpy(), [TimeRange(covered[0].start, last)])
                pd.testing.assert_frame_equal(found[found.index < last], expected[within], check_names=False)


class _EndedEarlyError(Exception):
    """The process has ended before a signal came, as it does if the store cannot be used at the start."""


def stored(storage: DuckDBDataStorage, key: SeriesKey) -> pd.DataFrame:
    """Return the bars of a series by epoch seconds."""
    try:
        bars = storage.read_pandas(storage.pin(key))
    except SeriesNotFoundError:
        return pd.DataFrame(columns=COLUMNS, index=pd.Index([], dtype="int64"))
    return bars.set_axis(pd.DatetimeIndex(bars.index).as_unit("s").asi8)[COLUMNS].astype("float64")


@contextmanager
def filled(filler: Path, left: int) -> Iterator[None]:
    """Fill a small disk with a file, but for some bytes."""
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(65_536)) == 65_536:
            pass
    try:
        with filler.open("r+b") as file:
            file.truncate(max(0, filler.stat().st_size - left))
        yield
    finally:
        filler.unlink()
