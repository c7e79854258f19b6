"""Records the live sessions of this process. The strategy does not notice it."""

from __future__ import annotations

import os
import shlex
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from types import ModuleType
from typing import TYPE_CHECKING, Any

from lumibot_duckdb import clock
from lumibot_duckdb.activation.on_import import on_import
from lumibot_duckdb.live.recording import process_end
from lumibot_duckdb.lumibot_contract import strategy_access
from lumibot_duckdb.lumibot_contract.enforcement import keeps_contract
from lumibot_duckdb.results.live_sessions import LiveSessions

if TYPE_CHECKING:
    from lumibot_duckdb.live.session.recorder import SessionCounts, SessionRecorder
    from lumibot_duckdb.results.live_records import LiveSessionRecord

_LAST_WORDS = 5.0
"""How many seconds the end of the process waits for a session that has not ended."""


class SessionRecording:
    """Records each strategy that begins to trade live in this process, as a separate session.

    Parameters:
        results: The results database; by default the one of the store.
        name: The name of the session. By default that of the strategy, with "-live". If earlier sessions have it, the
            new one gets a number.
        command: The script with its arguments, for the record; by default those of this process.
        store: The store in which the bars are recorded.
        pause_seconds: How long rows wait at most until they are written.

    Raises:
        InvalidResultError: `name` cannot be the name of a session.
        ValueError: `results` cannot be a results database.
    """

    def __init__(
        self,
        results: str | os.PathLike[str] | None = None,
        *,
        name: str | None = None,
        command: str | None = None,
        store: str | os.PathLike[str] | None = None,
        pause_seconds: float = 5.0,
    ) -> None:
        from lumibot_duckdb.results.location import results_path
        from lumibot_duckdb.results.names import check_name

        self.path = results_path(results, store)
        if name is not None:
            check_name(name)
        self._name = name
        self._command = command
        self._store = None if store is None else str(store)
        self._pause_seconds = pause_seconds
        self._recorders: list[SessionRecorder] = []
        self._undo: list[Callable[[], None]] = []
        self._guard = Lock()

    def install(self) -> bool:
        """Record from now on; return False if the installed Lumibot does not allow it, which is logged.

        Lumibot is not imported. Raises `LumibotContractError` if `LUMIBOT_DUCKDB_STRICT` is set.
        """
        if not keeps_contract("live_session", otherwise="live sessions are not recorded"):
            return False
        from lumibot_duckdb.lumibot_contract import live_session_hooks as hooks

        def observe(_: ModuleType) -> None:
            hooks.observe_runs(self._begin)
            self._undo.append(lambda: hooks.stop_observing(self._begin))

        self._undo.append(on_import([hooks.STRATEGY], observe))
        process_end.close_then(self)
        return True

    def uninstall(self) -> None:
        """Record no further session; those that run are recorded until they end."""
        while self._undo:
            self._undo.pop()()
        process_end.forget(self)

    @property
    def counts(self) -> dict[str, SessionCounts]:
        """How many rows each session has, by its name; "" for one that is not stored yet."""
        return {recorder.name or "": recorder.counts for recorder in self._recorders}

    def close(self, timeout: float | None = None) -> bool:
        """End sessions that have not ended, as at the end of the process; they count as interrupted.

        Each has `timeout` seconds, five by default. Returns whether all have ended.
        """
        seconds = _LAST_WORDS if timeout is None else timeout
        ended = [recorder.close("interrupted", seconds) for recorder in self._recorders]
        return all(ended)

    def start_over(self) -> None:
        """Forget the sessions in a forked process: they are the parent's."""
        self._recorders = []

    def _begin(self, strategy: Any) -> Any:
        if strategy.is_backtesting:
            return None
        from lumibot_duckdb.live.session.observer import SessionObserver
        from lumibot_duckdb.live.session.recorder import SessionRecorder

        session_id, started = uuid.uuid4().hex, clock.utc_now()
        recorder = SessionRecorder(
            LiveSessions(self.path, wait_seconds=2.0),
            lambda: self._describe(strategy, session_id, started),
            pause_seconds=self._pause_seconds,
        )
        with self._guard:
            self._recorders.append(recorder)
        return SessionObserver(strategy, recorder)

    def _describe(self, strategy: Any, session_id: str, started: Any) -> LiveSessionRecord:
        from lumibot_duckdb.comparison.redaction import known_secrets, redacted, without
        from lumibot_duckdb.comparison.versions import versions_of_run
        from lumibot_duckdb.results.live_records import LiveSessionRecord

        secrets = known_secrets(Path(sys.argv[0] if sys.argv else "."))
        strategy_name = without(strategy_access.name_of(strategy), secrets)
        command = self._command if self._command is not None else shlex.join(sys.argv)
        return LiveSessionRecord(
            session_id=session_id,
            name=self._name or f"{strategy_name}-live",
            strategy=strategy_name,
            script=redacted(command, secrets),
            settings=_settings(strategy, secrets),
            started=started,
            store=self._store,
            versions=versions_of_run(),
        )


def _settings(strategy: Any, secrets: frozenset[str]) -> dict[str, Any]:
    """Return what a backtest of the session needs to know, and what tells sessions apart."""
    from lumibot_duckdb.comparison.parameters import parameter_values
    from lumibot_duckdb.live.session.observer import asset_name
    from lumibot_duckdb.lumibot_contract.live_session_hooks import quote_asset_of

    broker = strategy.broker
    kind, source = type(strategy), type(broker.data_source)
    quote = quote_asset_of(strategy)
    given = {str(name): value for name, value in strategy_access.parameters_of(strategy).items()}
    parameters = parameter_values(given, secrets)
    return {
        "class": kind.__qualname__,
        "module": kind.__module__,
        "broker": str(broker.name),
        "source": f"{source.__module__}.{source.__qualname__}",
        "market": str(broker.market),
        "sleeptime": str(strategy.sleeptime),
        "quote": None if quote is None else asset_name(quote),
        "quote_type": None if quote is None else str(quote.asset_type),
        "parameters": parameters,
        "inexact_parameters": [name for name in parameters if not _is_exact(given.get(name), parameters[name])],
    }


def _is_exact(value: Any, stored: Any) -> bool:
    """Return whether the value of a parameter is what was stored of it: no key, and no object written as text."""
    try:
        return type(value) is type(stored) and bool(value == stored)
    except Exception:  # whatever `==` of an object raises
        return False
