"""Backtests the strategy of a session, observed in the same way as the session was."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import wraps
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa

from lumibot_duckdb.comparison.parameters import parameter_values
from lumibot_duckdb.comparison.redaction import HIDDEN
from lumibot_duckdb.live.replay.script_strategy import environment_of
from lumibot_duckdb.live.session.events import Event
from lumibot_duckdb.live.session.observer import SessionObserver
from lumibot_duckdb.live.session.session_rows import SessionRows
from lumibot_duckdb.lumibot_contract.enforcement import require
from lumibot_duckdb.lumibot_contract.live_session_hooks import observe_runs, stop_observing
from lumibot_duckdb.results.live_records import LIVE_TABLES
from lumibot_duckdb.sweeps.trials.trial_process import WITHOUT_FILES

_EVENTS = 2_000
"""How many events are kept before rows are made of them: rows need less memory than frames."""


@dataclass(frozen=True)
class SessionBacktest:
    """What a backtest of a session saw and did, as the tables of a session, and its pause between two iterations."""

    tables: dict[str, pa.Table]
    sleeptime: str


class CollectedRows:
    """Collects the events of a backtest as the tables of a session."""

    def __init__(self) -> None:
        self.error: BaseException | None = None
        self._rows = SessionRows()
        self._events: list[Event] = []
        self._parts: list[dict[str, pa.Table]] = []

    def add(self, event: Event) -> None:
        """Take an event."""
        self._events.append(event)
        if len(self._events) >= _EVENTS:
            self._pack()

    def end(self, error: BaseException | None) -> None:
        """Take note of the end of the backtest."""
        self.error = error

    def tables(self) -> dict[str, pa.Table]:
        """Return all rows so far, by the names of `LIVE_TABLES`."""
        self._pack()
        return {
            name: pa.concat_tables([schema.empty_table(), *(part[name] for part in self._parts if name in part)])
            for name, schema in LIVE_TABLES.items()
        }

    def _pack(self) -> None:
        self._parts.append(self._rows.tables(self._events))
        self._events = []


def backtest_session(
    strategy: type[Any],
    source: Any,
    first: datetime,
    last: datetime,
    settings: Mapping[str, Any],
    budget: float,
) -> SessionBacktest:
    """Backtest a strategy over the span of a session and a little longer, and return what it saw and did.

    Parameters:
        source: The class of the data source, as `Strategy.backtest` takes it.
        first: When the session's first iteration began; the backtest begins at the beginning of its minute.
        last: When its last iteration began.
        settings: Those of the session. Parameters that were not stored exactly have the values of the script.
        budget: The value of the portfolio at the beginning.

    Raises what the strategy raises.
    """
    from lumibot.entities import Asset

    require("live_session")
    collected, begun = CollectedRows(), list[Any]()
    parameters = exact_parameters(settings)
    quote = settings.get("quote")
    start = first.replace(second=0, microsecond=0)

    def begin(running: Any) -> SessionObserver | None:
        if not running.is_backtesting or type(running) is not strategy:
            return None
        begun.append(running)
        return SessionObserver(running, collected)

    observe_runs(begin)
    try:
        with environment_of({"MARKET": settings["market"]} if "market" in settings else {}), _without_input_files():
            strategy.run_backtest(
                source,
                start,
                last + 2 * _pause_of(settings),  # Lumibot leaves out an iteration that ends with the backtest
                budget=budget,
                parameters=parameters,
                benchmark_asset=None,
                risk_free_rate=0.0,
                **({"quote_asset": Asset(quote, settings.get("quote_type") or "forex")} if quote else {}),
                **WITHOUT_FILES,
            )
    finally:
        stop_observing(begin)
    if collected.error is not None:
        raise collected.error
    return SessionBacktest(collected.tables(), str(begun[-1].sleeptime) if begun else "")


def changed_sleeptime(sleeptime: str, settings: Mapping[str, Any]) -> bool:
    """Return whether the pause between two iterations is another one than in a session, if both are known."""
    pauses = [_pause(text) for text in (sleeptime, str(settings.get("sleeptime", "")))]
    return None not in pauses and pauses[0] != pauses[1]


def exact_parameters(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of a session, without keys and objects, which were stored as texts only."""
    inexact = settings.get("inexact_parameters", ())
    return {name: value for name, value in settings.get("parameters", {}).items() if name not in inexact}


def changed_parameters(strategy: type[Any], settings: Mapping[str, Any]) -> list[str]:
    """Return the names of parameters whose values were not stored exactly, and seem to differ from the script's."""
    own = getattr(strategy, "parameters", None)
    texts = parameter_values(own if isinstance(own, dict) else {}, frozenset())
    parameters = settings.get("parameters", {})
    return [
        name for name in settings.get("inexact_parameters", ()) if parameters[name] not in (HIDDEN, texts.get(name))
    ]


def _pause_of(settings: Mapping[str, Any]) -> timedelta:
    """Return the pause between two iterations, at least a minute; of a `sleeptime` that is not known, a day."""
    pause = _pause(str(settings.get("sleeptime", "")))
    return timedelta(days=1) if pause is None else max(timedelta(minutes=1), pause)


def _pause(sleeptime: str) -> timedelta | None:
    """Return what a `sleeptime` of Lumibot means; None if it is none."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhdSMHD]?)", sleeptime.strip())
    if found is None:
        return None
    unit = {"s": "seconds", "h": "hours", "d": "days"}.get(found[2].lower(), "minutes")
    return timedelta(**{unit: float(found[1])})


@contextmanager
def _without_input_files() -> Iterator[None]:
    """Let Lumibot write its record of a backtest's bars into a temporary folder, and not among the user's logs."""
    from lumibot.backtesting import data_provenance, market_input_evidence

    from lumibot_duckdb.sources.shared.replacing import replaced

    with ExitStack() as replacing:
        folder = replacing.enter_context(TemporaryDirectory())
        for module, name in (
            (data_provenance, "write_backtest_data_provenance"),
            (market_input_evidence, "write_market_input_evidence"),
        ):
            replacing.enter_context(replaced(module, name, _redirected(getattr(module, name), folder)))
        yield


def _redirected(write: Any, folder: str) -> Any:
    @wraps(write)
    def redirected(source: Any, directory: Any = None, **settings: Any) -> Any:
        return write(source, folder, **settings)

    return redirected
