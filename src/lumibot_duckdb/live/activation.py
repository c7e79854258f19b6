"""`activate()`: records live trading, and answers live reads from the store, for unmodified scripts.

Nothing of Lumibot is imported and no store is opened: modules are changed when a script imports them, and the store is
opened by the thread that writes. So a script can still set the environment variables that Lumibot reads at its import,
and starts as fast as without recording.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from lumibot_duckdb.activation.on_import import on_import
from lumibot_duckdb.lumibot_contract.enforcement import keeps_contract

if TYPE_CHECKING:
    from lumibot_duckdb.live.backfill.late_backfill import LateBackfill
    from lumibot_duckdb.live.reads.adjusted_recorder import AdjustedRecorder
    from lumibot_duckdb.live.reads.live_read import ReadFilter
    from lumibot_duckdb.live.session.recording import SessionRecording
    from lumibot_duckdb.live.warm_up.choice import WarmUpArgument

CLOSE_SECONDS = 10.0
"""How long the end of a process waits for bars that are not stored yet."""

_BACKFILL_SECONDS = 1.0
"""How long it waits for a response of the backfill. The next process downloads what this one did not."""

_guard = threading.RLock()
_active: Activation | None = None


@dataclass(frozen=True)
class LiveCounts:
    """Numbers of bars of a live process.

    Attributes:
        recorded: Stored, or kept beside the store until its next write.
        waiting: Not stored yet.
        lost: Dropped, because too many waited, or because they could be neither stored nor kept.
    """

    recorded: int
    waiting: int
    lost: int


@dataclass
class Activation:
    """What `activate` has begun.

    Attributes:
        store: The path of the store.
        recorder: Takes the bars.
        sessions: Records what strategies see and do; None if that was not wanted.
        downloads: Downloads what was not recorded.
    """

    store: Path
    recorder: AdjustedRecorder
    sessions: SessionRecording | None
    downloads: LateBackfill
    undo: list[Callable[[], object]]

    @property
    def counts(self) -> LiveCounts:
        """What became of the bars so far."""
        counts = self.recorder.counts
        kept = counts.written + counts.spooled
        return LiveCounts(
            kept, counts.waiting + self.recorder.waiting, counts.dropped + counts.failed + self.recorder.lost
        )


def activate(
    store: str | os.PathLike[str] | None = None,
    results: str | os.PathLike[str] | None = None,
    warm_up: WarmUpArgument = None,
    *,
    backfill: bool = True,
    sessions: bool = True,
    name: str | None = None,
) -> Activation | None:
    """Record live trading in this process, in the background: the bars that are read, and what strategies see and do.

    Every settled bar that Lumibot's sources for Alpaca, CCXT exchanges, Schwab, Tradier and Interactive Brokers (REST)
    return is stored, with the ranges whose bars are all known, and so is what Yahoo returns to live strategies.
    Bars of the same kind as those of backtests are added to the series that backtests read. Strategies see exactly what
    they would see otherwise, and backtests in the same process are not recorded. The requests of each strategy, its
    orders and fills and the value of its portfolio are a session in the results database.

    Idempotent, and undone by `deactivate`. If the installed Lumibot is not supported, nothing is recorded, and a
    warning says why.

    Args:
        store: The path of the store; by default `LUMIBOT_DUCKDB_PATH`, else the one in Lumibot's cache folder.
        results: The results database; by default the one of the store.
        warm_up: Whether reads are answered from the store where it has the bars: True, False, or "auto" for the series
            that `lumibot-duckdb live check` has verified. By default `LUMIBOT_DUCKDB_LIVE_WARM_UP`, else "auto".
        backfill: Whether ranges that were not recorded in the last days are downloaded, in the background.
        sessions: Whether strategies are recorded, or only bars.
        name: The name of the sessions; by default that of the strategy, with "-live".

    Returns:
        What is active; None if nothing is recorded.

    Raises:
        ValueError: Live reads are recorded in another store already, or `warm_up` or `results` cannot be used.
        InvalidResultError: `name` cannot be the name of a session.

    Example:
        >>> from lumibot_duckdb import live
        >>> active = live.activate(backfill=False)
        >>> active.counts
        LiveCounts(recorded=0, waiting=0, lost=0)
        >>> live.deactivate()
    """
    global _active
    from lumibot_duckdb.storage.locating import located_store

    path = located_store(store)
    with _guard:
        if _active is not None:
            if store is not None and path != _active.store:
                raise ValueError(
                    f"live reads are recorded in {_active.store} already: call live.deactivate() before recording in "
                    f"{path}"
                )
            return _active
        if not keeps_contract("live_reads", otherwise="live reads are not recorded"):
            return None
        from lumibot_duckdb.live.session.recording import SessionRecording

        recording = SessionRecording(results, name=name, store=path) if sessions else None
        _active = _begun(path, warm_up, backfill, recording)
        atexit.register(deactivate)
        return _active


def deactivate(timeout: float = CLOSE_SECONDS) -> None:
    """End recording: restore Lumibot's functions, and store what waits, for at most `timeout` seconds."""
    global _active
    with _guard:
        ended, _active = _active, None
        atexit.unregister(deactivate)
        if ended is None:
            return
        while ended.undo:
            ended.undo.pop()()
    ended.recorder.close(timeout)
    ended.downloads.close(_BACKFILL_SECONDS)


def _begun(path: Path, warm_up: WarmUpArgument, backfill: bool, sessions: SessionRecording | None) -> Activation:
    from lumibot_duckdb.live.backfill.late_backfill import LateBackfill
    from lumibot_duckdb.live.reads.adjusted_recorder import AdjustedRecorder
    from lumibot_duckdb.live.recording.recorder import Recorder
    from lumibot_duckdb.live.warm_up.warm_up import warm_up_of

    def storage() -> Any:
        from lumibot_duckdb.duckdb_storage import DuckDBDataStorage

        return DuckDBDataStorage(path)

    filled_in = warm_up_of(storage, path, warm_up)
    end_sessions: list[Callable[[], object]] = []
    if sessions is not None and sessions.install():
        end_sessions += [sessions.close, sessions.uninstall]
    recorder = AdjustedRecorder(Recorder(storage), storage)
    downloads = LateBackfill(storage)
    undo: list[Callable[[], object]] = [record_reads(recorder, filled_in, begun=downloads.start if backfill else None)]
    if filled_in is not None:
        undo.append(filled_in.close)
    return Activation(path, recorder, sessions, downloads, [*undo, *end_sessions])


def record_reads(
    recorder: AdjustedRecorder, read_filter: ReadFilter | None = None, *, begun: Callable[[], None] | None = None
) -> Callable[[], None]:
    """Pass the bars of live reads to a recorder from now on; return what ends this.

    Parameters:
        recorder: takes the bars.
        read_filter: may answer reads from the store.
        begun: is called at the first read.
    """
    from lumibot_duckdb.live.reads.read_recording import ReadRecording
    from lumibot_duckdb.live.reads.yahoo_reads import observe_download
    from lumibot_duckdb.lumibot_contract import live_reads_hooks as hooks

    undo: list[Callable[[], None]] = []
    recording = ReadRecording(recorder, read_filter, begun=begun)

    def change(module: ModuleType) -> None:
        if module.__name__ == hooks.SHARED_BARS:
            undo.append(hooks.wrap_shared_reads(module, recording.observe))
        elif module.__name__ == hooks.INTERACTIVE_BROKERS:
            undo.append(hooks.wrap_interactive_brokers(module))
        else:
            undo.append(hooks.wrap_yahoo(module, lambda *download: observe_download(recording, *download)))

    undo.append(on_import(hooks.MODULES, change))

    def end() -> None:
        while undo:
            undo.pop()()

    return end
