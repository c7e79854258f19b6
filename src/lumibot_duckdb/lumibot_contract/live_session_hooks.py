"""Reports what strategies request, their orders and the values of their portfolios, to an observer of each run.

The classes stay wrapped. A strategy without an observer does not change, and an error of an observer
never reaches a strategy.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from threading import Lock, local
from typing import Any, Protocol

from lumibot_duckdb.lumibot_contract import strategy_access

logger = logging.getLogger(__name__)

STRATEGY = "lumibot.strategies.strategy"
"""The module after whose import runs can be observed."""

REQUESTS = ("get_historical_prices", "get_historical_prices_for_assets", "get_last_price", "get_last_prices")
"""The methods of strategies that are reported. A call within another one is part of that."""
_EXECUTED = ("run", "run_once")


class Observer(Protocol):
    """Takes note of what a strategy does while it runs."""

    def began(self) -> None:
        """Note that the run begins."""

    def requested(self, method: str, arguments: Mapping[str, Any], answer: Any, error: Exception | None) -> None:
        """Note the answer to a request, or its error."""

    def traded(self, event: Mapping[str, Any], order: Any) -> None:
        """Note a row of the log of trade events, and its order, or None if the broker does not know it."""

    def valued(self, row: Mapping[str, Any]) -> None:
        """Note the "datetime", the "portfolio_value" and the "cash" of an iteration."""

    def ended(self, error: BaseException | None) -> None:
        """Note that the run has ended."""


BeginRun = Callable[[Any], "Observer | None"]
"""Returns the observer of a strategy that begins to run; None if it is not observed."""

_installing = Lock()
_installed = False
_begins: list[BeginRun] = []
_observers: dict[int, Observer] = {}


class _Nesting(local):
    active = False


_nesting = _Nesting()


def observe_runs(begin: BeginRun) -> None:
    """Call `begin` for each strategy that begins to run, from now on. The latest one that returns an observer decides.

    Raises what importing Lumibot raises. The caller checks the contract ("live_session").
    """
    global _installed
    with _installing:
        if not _installed:
            _install()
            _installed = True
        _begins.append(begin)


def stop_observing(begin: BeginRun) -> None:
    """Stop calling `begin`. Runs that have begun stay observed."""
    with _installing:
        _begins.remove(begin)


def _install() -> None:
    from lumibot.strategies.strategy import Strategy
    from lumibot.strategies.strategy_executor import StrategyExecutor

    executor: Any = StrategyExecutor
    for name in _EXECUTED:
        setattr(executor, name, _wrap_run(getattr(executor, name)))
    base = strategy_access.strategy_base()
    base._append_row = _wrap_append_row(base._append_row)
    for name in REQUESTS:
        setattr(Strategy, name, _wrap_request(name, getattr(Strategy, name)))


def _wrap_run(run: Any) -> Any:
    @wraps(run)
    def observed(executor: Any) -> Any:
        strategy = executor.strategy
        observer = _safely(_begin, strategy)
        if observer is None:
            return run(executor)
        error: BaseException | None = None
        try:
            ended = run(executor)
            error = executor.exception
            return ended
        except BaseException as raised:
            error = raised
            raise
        finally:
            _observers.pop(id(strategy), None)
            _safely(observer.ended, error)

    return observed


def _begin(strategy: Any) -> Observer | None:
    if id(strategy) in _observers:
        return None
    for begin in reversed(_begins):
        observer = begin(strategy)
        if observer is not None:
            _observers[id(strategy)] = observer
            _safely(observer.began)
            _safely(_watch_trades, strategy.broker, observer)
            return observer
    return None


def _wrap_append_row(append: Any) -> Any:
    @wraps(append)
    def appended(strategy: Any, row: Mapping[str, Any]) -> None:
        append(strategy, row)
        observer = _observers.get(id(strategy))
        if observer is not None:
            _safely(observer.valued, row)

    return appended


def _wrap_request(name: str, method: Any) -> Any:
    import inspect

    signature = inspect.signature(method)

    def note(observer: Observer, strategy: Any, args: Any, kwargs: Any, answer: Any, error: Exception | None) -> None:
        arguments = dict(signature.bind(strategy, *args, **kwargs).arguments)
        arguments.pop("self", None)
        observer.requested(name, {**arguments, **arguments.pop("kwargs", {})}, answer, error)

    @wraps(method)
    def requested(strategy: Any, *args: Any, **kwargs: Any) -> Any:
        observer = None if _nesting.active else _observers.get(id(strategy))
        if observer is None:
            return method(strategy, *args, **kwargs)
        _nesting.active = True
        try:
            answer = method(strategy, *args, **kwargs)
        except Exception as error:
            _safely(note, observer, strategy, args, kwargs, None, error)
            raise
        finally:
            _nesting.active = False
        _safely(note, observer, strategy, args, kwargs, answer, None)
        return answer

    return requested


# -- trade events -------------------------------------------------------------------------------------------------


def _watch_trades(broker: Any, observer: Observer) -> None:
    """Let the broker's log of trade events report each row, whichever way it comes.

    The broker's method for events is no place for this: it may hold an event back, and is called again for it.
    """
    rows = broker._trade_event_log_rows

    def note(row: Any) -> None:
        event = row if isinstance(row, Mapping) else dict(zip(broker._trade_event_log_columns, row, strict=False))
        identifier = event.get("identifier")
        order = None if identifier is None else broker.get_tracked_order(identifier, use_placeholders=True)
        observer.traded(event, order)

    reporting = _ReportingDeque(rows, rows.maxlen) if isinstance(rows, deque) else _ReportingList(rows)
    reporting.note = note
    broker._trade_event_log_rows = reporting


class _ReportingDeque(deque[Any]):
    """The log of a live broker, which has a bounded length."""

    note: Callable[[Any], None] | None = None

    def append(self, row: Any) -> None:
        """Append a row, and report it."""
        super().append(row)
        if self.note is not None:
            _safely(self.note, row)


class _ReportingList(list[Any]):
    """The log of a backtest."""

    note: Callable[[Any], None] | None = None

    def append(self, row: Any) -> None:
        """Append a row, and report it."""
        super().append(row)
        if self.note is not None:
            _safely(self.note, row)


# -- what a session holds -----------------------------------------------------------------------------------------


def quote_asset_of(strategy: Any) -> Any:
    """Return the asset in which the values of a strategy are."""
    return strategy._quote_asset


def frame_of(bars: Any) -> Any:
    """Return the bars that a strategy got as a pandas frame whose index has their times.

    Bars that are already a pandas frame are not converted, and the object does not change.
    """
    polars = strategy_access.polars_frame_of(bars)
    if polars is None:
        return bars.pandas_df
    frame = polars.to_pandas()
    return frame.set_index(_time_column(frame.columns))


def _time_column(columns: Iterable[str]) -> str:
    return next(name for name in columns if name in ("datetime", "timestamp", "date", "time"))


_warned = False


def _safely(call: Callable[..., Any], *args: Any) -> Any:
    """Return what a call returns; None if it raises an error. The first one is logged."""
    global _warned
    try:
        return call(*args)
    except Exception as error:
        if not _warned:
            _warned = True
            logger.warning(
                "lumibot-duckdb could not record a part of this live session, and trading continues: %s: %s",
                type(error).__name__,
                error,
            )
        return None
