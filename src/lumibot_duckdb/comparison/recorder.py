"""Records the backtests of an unmodified script inside Lumibot: the data that strategies received, and their trades."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from dataclasses import replace
from functools import partial, wraps
from hashlib import blake2b
from itertools import chain
from pathlib import Path
from threading import Lock, get_ident, local
from typing import Any

import pandas as pd
from lumibot.backtesting import data_provenance, market_input_evidence
from lumibot.entities import Bars
from lumibot.strategies.strategy import Strategy
from lumibot.strategies.strategy_executor import StrategyExecutor
from lumibot.traders.trader import Trader

from lumibot_duckdb.comparison.answers import Answer, AnswersWriter, frame_answer, plain_numbers, value_answer
from lumibot_duckdb.comparison.broker_calls import intercept_broker_calls
from lumibot_duckdb.comparison.locks import fork_safe_lock
from lumibot_duckdb.comparison.meters import AFTER, ANALYSIS, FIRST_BARS, LOOP, REQUESTS, Meters
from lumibot_duckdb.comparison.outcome import (
    answers_file,
    events_file,
    inputs_folder,
    note_forked,
    values_file,
    write_backtest,
    write_table,
)
from lumibot_duckdb.comparison.redaction import redacted, without
from lumibot_duckdb.comparison.value_text import as_text, cell
from lumibot_duckdb.lumibot_contract import enforcement, strategy_access

# A strategy's methods that return market data. Those that call others of these are recorded once, as the script called
# them.
_DATA_METHODS = (
    "get_historical_prices",
    "get_historical_prices_for_assets",
    "get_last_price",
    "get_last_prices",
    "get_quote",
    "get_quotes",
    "get_chains",
    "get_chain_full_info",
    "get_strikes",
    "get_greeks",
    "get_yesterday_dividend",
    "get_yesterday_dividends",
    "get_yesterday_stock_split",
    "get_yesterday_stock_splits",
)
# Columns of the log of trade events with random identifiers, or with times of the computer's clock.
_RANDOM_COLUMNS = frozenset(
    ("identifier", "order_identifier", "parent_identifier", "event_id", "cash_event_broker_event_id", "audit.timestamp")
)
_FAILED_AT_END = "on_strategy_end raised an error, which is in the script's output"
"""Lumibot logs such an error but does not raise it."""
_LOG_FOLDER = "logs"


class LiveTradingError(RuntimeError):
    """A script in a comparison tried to trade live."""

    def __init__(self) -> None:
        super().__init__("the script starts live trading, which cannot be compared; change it to run a backtest")


class Recorder:
    """Records each backtest of this process to files in a folder, numbered in the order in which they start.

    Backtests may run at the same time, in threads or nested. For those in forked processes, only the names are noted.
    `secrets` are removed from everything that is recorded; the set may grow while backtests run.
    """

    def __init__(self, folder: Path, meters: Meters, secrets: Set[str]) -> None:
        self.count = 0
        self.is_forked = False
        self._folder = folder
        self._meters = meters
        self._secrets = secrets
        self._running: dict[int, _Recording] = {}
        self._starting = Lock()

    def install(self) -> None:
        """Record from now on, until the process ends.

        Raises `LumibotContractError` if the installed Lumibot lacks a method that is recorded.
        """
        enforcement.require("comparison")
        Trader.run_all = self._wrap_run_all(Trader.run_all)
        StrategyExecutor.run = self._wrap_backtest(StrategyExecutor.run)
        strategy_access.wrap_analysis(self._wrap_analysis)
        for name in _DATA_METHODS:
            setattr(Strategy, name, self._recorded(name, getattr(Strategy, name)))
        strategy_access.wrap_indicators(self._wrap_indicator)
        strategy_access.wrap_benchmark(self._wrap_benchmark)
        intercept_broker_calls(self._broker_call)
        data_provenance.write_backtest_data_provenance = self._redirected(
            data_provenance.write_backtest_data_provenance
        )
        market_input_evidence.write_market_input_evidence = self._redirected(
            market_input_evidence.write_market_input_evidence
        )
        os.register_at_fork(after_in_child=self._leave_to_parent)

    def _leave_to_parent(self) -> None:
        """Stop recording in a forked process."""
        self.is_forked = True
        for recording in self._running.values():
            recording.leave_to_parent()
        self._running = {}

    def _wrap_run_all(self, run_all: Any) -> Any:
        @wraps(run_all)
        def unattended(trader: Any, *args: Any, **kwargs: Any) -> Any:
            strategies = strategy_access.strategies_of(trader)
            if not strategies:
                return run_all(trader, *args, **kwargs)
            if not trader.is_backtest_broker:
                raise LiveTradingError
            self._move_files(trader, strategies[0])
            with self._meters.within(LOOP):
                return run_all(trader, *args, **kwargs)

        return unattended

    def _wrap_backtest(self, run: Any) -> Any:
        """Record in the thread that runs the backtest, because `run_all` may return before it has ended.

        An error while recording is set as `executor.exception`, which Lumibot raises when it joins the thread.
        """

        @wraps(run)
        def recorded(executor: Any) -> Any:
            if not executor.strategy.is_backtesting:
                return run(executor)
            if self.is_forked:
                note_forked(self._folder, without(strategy_access.name_of(executor.strategy), frozenset(self._secrets)))
                return run(executor)
            try:
                with self._meters.excluded():
                    recording = self._begin(executor.strategy)
            except Exception as error:
                executor.exception = error
                return False
            failure: str | None = None
            try:
                with self._meters.within(LOOP):
                    ended = run(executor)
                if executor.exception is not None:
                    failure = self._failure(executor.exception)
                elif not ended:
                    failure = _FAILED_AT_END
                return ended
            except BaseException as error:
                failure = self._failure(error)
                raise
            finally:
                if not self.is_forked:  # the strategy may have forked
                    self._meters.enter(AFTER)
                    with self._meters.excluded():
                        self._end(recording, executor, failure)

        return recorded

    def _begin(self, strategy: Any) -> _Recording:
        with self._starting:
            number = self.count
            recording = _Recording(strategy, self._folder, number, self._meters, self._secrets)
            self.count += 1
            self._running[id(strategy)] = recording
        return recording

    def _end(self, recording: _Recording, executor: Any, failure: str | None) -> None:
        del self._running[id(recording.strategy)]
        try:
            recording.end(failure)
        except Exception as error:
            executor.exception = error

    def _failure(self, error: BaseException) -> str:
        message = re.sub(r" at 0x[0-9a-f]+", "", " ".join(str(error).split()))
        return redacted(f"{type(error).__name__}: {message}".removesuffix(": "), frozenset(self._secrets))

    # -- Lumibot's log files ---------------------------------------------------------------------------------------

    def _moved(self, original: Any) -> Path:
        """Return a path in this run's folder for one in Lumibot's log folder, and any other path unchanged."""
        path: Path = Path(original)
        return self._folder / path if path.parts[:1] == (_LOG_FOLDER,) else path

    def _move_files(self, trader: Any, strategy: Any) -> None:
        (self._folder / _LOG_FOLDER).mkdir(exist_ok=True)
        trader.logdir = self._moved(trader.logdir)
        if trader.logfile:
            trader.logfile = self._moved(trader.logfile)
        strategy_access.move_stats_file(strategy, self._moved)

    def _redirected(self, write: Any) -> Any:
        @wraps(write)
        def moved(source: Any, directory: Any = _LOG_FOLDER, **settings: Any) -> Any:
            return write(source, self._moved(directory), **settings)

        return moved

    def _wrap_analysis(self, method: Any) -> Any:
        @wraps(method)
        def charged(strategy: Any, *args: Any, **kwargs: Any) -> Any:
            with self._meters.within(ANALYSIS):
                return method(strategy, *args, **kwargs)

        return charged

    # -- requests and answers --------------------------------------------------------------------------------------

    def _recording_of(self, strategy: Any) -> _Recording | None:
        """Return the recording for a strategy's request; None if there is none, or it is part of another request."""
        recording = self._running.get(id(strategy))
        return None if recording is None or recording.in_request.active else recording

    def _recorded(self, name: str, method: Any) -> Any:
        @wraps(method)
        def recorded(strategy: Any, *args: Any, **kwargs: Any) -> Any:
            recording = self._recording_of(strategy)
            if recording is None:
                return method(strategy, *args, **kwargs)
            return recording.record(name, partial(method, strategy), args, kwargs)

        return recorded

    def _broker_call(
        self, owner: Any, name: str, method: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        recording = self._recording_for(owner)
        if recording is None or recording.in_request.active:
            return method(*args, **kwargs)
        return recording.record(f"data_source.{name}", method, args, kwargs)

    def _recording_for(self, owner: Any) -> _Recording | None:
        """Return the recording for a call of a broker or a source: its own, this thread's, or the only one."""
        running = list(self._running.values())
        own = (each for each in running if each.has(owner))
        in_thread = (each for each in running if each.thread == get_ident())
        return next(chain(own, in_thread), running[0] if len(running) == 1 else None)

    def _wrap_benchmark(self, dump: Any) -> Any:
        @wraps(dump)
        def dumped(strategy: Any) -> None:
            dump(strategy)
            recording = self._running.get(id(strategy))
            if recording is not None:
                with self._meters.excluded():
                    recording.benchmark = _benchmark(strategy)

        return dumped

    def _wrap_indicator(self, dispatch: Any) -> Any:
        @wraps(dispatch)
        def recorded(
            indicators: Any, asset: Any, timestep: Any, name: str, settings: Any, custom_fn: Any, **more: Any
        ) -> Any:
            recording = self._recording_of(strategy_access.strategy_of(indicators))
            if recording is None:
                return dispatch(indicators, asset, timestep, name, settings, custom_fn, **more)

            def compute(asset: Any, timestep: Any, **_: Any) -> Any:
                return dispatch(indicators, asset, timestep, name, settings, custom_fn, **more)

            return recording.record(f"indicators.{name}", compute, (asset, timestep), {**settings, **more})

        return recorded


class _InRequest(local):
    """Whether this thread is inside a recorded request."""

    active = False


class _Recording:
    """The recording of a running backtest."""

    def __init__(self, strategy: Any, folder: Path, number: int, meters: Meters, secrets: Set[str]) -> None:
        self.strategy = strategy
        self.in_request = _InRequest()
        self.benchmark: dict[str, str] = {}
        self.thread = get_ident()
        self._folder = folder
        self._number = number
        self._about = _about(strategy, frozenset(secrets))
        self._answers = AnswersWriter(answers_file(folder, number))
        self._meters = meters
        self._secrets = secrets
        self._touched: set[tuple[str, Any]] = set()
        self._writing = fork_safe_lock()
        self._ended = False
        write_backtest(folder, number, **self._about, analysis={}, ended=False)

    def has(self, owner: Any) -> bool:
        """Return whether a broker or a source belongs to this backtest."""
        broker = self.strategy.broker
        return any(owner is each for each in (broker, broker.data_source, getattr(broker, "option_source", None)))

    def leave_to_parent(self) -> None:
        """Stop writing, in a forked process, which shares the open file of answers with its parent."""
        self._answers.detach()

    def record(self, name: str, method: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Make a call for the strategy, and record its answer or the type of its error."""
        self.in_request.active = True
        try:
            with self._meters.excluded():
                request = _Request.of(name, args, kwargs)
                touch = (request.asset, request.timestep)
            try:
                with self._meters.within(REQUESTS if touch in self._touched else FIRST_BARS):
                    answer = method(*args, **kwargs)
            except Exception as error:
                self._write([value_answer(self._now(), request.call, request.asset, f"raised {type(error).__name__}")])
                raise
            with self._meters.excluded():
                self._touched.add(touch)
                self._write(_answers(self._now(), request, answer))
            return answer
        finally:
            self.in_request.active = False

    def end(self, failure: str | None) -> None:
        """Write the results of the backtest, and the error that stopped it, if any."""
        with self._writing:
            self._ended = True
            self._answers.close()
        strategy, folder, number, secrets = self.strategy, self._folder, self._number, frozenset(self._secrets)
        market_input_evidence.write_market_input_evidence(strategy.broker.data_source, inputs_folder(folder, number))
        events = strategy_access.trade_events(strategy)
        events = events.drop(columns=[name for name in events.columns if name in _RANDOM_COLUMNS])
        write_table(events_file(folder, number), list(events.columns), _rows(events, secrets))
        values = strategy_access.portfolio_values(strategy)
        write_table(values_file(folder, number), list(values.columns), _rows(values, secrets))
        analysis = {
            str(name): plain_numbers(as_text(value)) for name, value in strategy_access.analysis_of(strategy).items()
        }
        analysis = {name: without(text, secrets) for name, text in analysis.items()}
        write_backtest(folder, number, **self._about, analysis={**analysis, **self.benchmark}, failure=failure)

    def _now(self) -> str:
        when: str = self.strategy.get_datetime().isoformat()
        return when

    def _write(self, answers: Iterable[Answer]) -> None:
        with self._writing:
            if self._ended:
                return  # requested by a thread that outlives the backtest
            for answer in answers:
                self._answers.write(_without(answer, frozenset(self._secrets)))


def _about(strategy: Any, secrets: frozenset[str]) -> dict[str, Any]:
    source = strategy.broker.data_source
    kind = next(kind for kind in type(source).__mro__ if kind.__module__.startswith(("lumibot", "lumibot_duckdb")))
    settings = as_text(strategy_access.settings_of(strategy))
    return {
        "name": without(strategy_access.name_of(strategy), secrets),
        "source": f"{kind.__module__}.{kind.__qualname__}",
        "covered": bool(getattr(source, "use_duckdb", False)),
        "settings": blake2b(settings.encode(), digest_size=16).hexdigest(),  # parameters may have keys in them
    }


def _benchmark(strategy: Any) -> dict[str, str]:
    """Return the returns of a backtest's benchmark as statistics: one for each row, in chronological order."""
    frame = strategy_access.benchmark_returns(strategy)
    if frame is None:
        return {}
    of = f"benchmark {as_text(strategy_access.benchmark_asset(strategy))}"
    columns, *rows = frame.to_csv(index=False).splitlines()
    return {f"{of}, columns": columns, **{f"{of} {time}": row for time, row in zip(frame.index, rows, strict=True)}}


class _Request:
    """A call as text."""

    def __init__(self, call: str, asset: str, timestep: Any) -> None:
        self.call = call
        self.asset = asset
        self.timestep = timestep

    @classmethod
    def of(cls, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> _Request:
        arguments = [as_text(value) for value in args]
        arguments += [f"{word}={as_text(value)}" for word, value in sorted(kwargs.items()) if value is not None]
        first = args[0] if args else next((kwargs[word] for word in ("asset", "assets") if word in kwargs), "")
        timestep = kwargs.get("timestep", args[2] if len(args) > 2 else None)
        return cls(f"{name}({', '.join(arguments)})", _short(as_text(first)), str(timestep))


def _answers(when: str, request: _Request, answer: Any) -> Iterator[Answer]:
    """Yield an answer in a form that can be written: one for each asset, if it has the bars of several."""
    if isinstance(answer, Bars):
        yield frame_answer(when, request.call, request.asset, answer.pandas_df)
    elif isinstance(answer, pd.DataFrame):
        yield frame_answer(when, request.call, request.asset, answer)
    elif isinstance(answer, pd.Series):
        yield frame_answer(when, request.call, request.asset, answer.to_frame())
    elif isinstance(answer, Mapping) and any(isinstance(each, Bars | pd.DataFrame) for each in answer.values()):
        for asset, each in answer.items():
            yield from _answers(when, _Request(request.call, as_text(asset), request.timestep), each)
    else:
        yield value_answer(when, request.call, request.asset, as_text(answer))


def _without(answer: Answer, secrets: frozenset[str]) -> Answer:
    """Return an answer without keys; frames of bars are unchanged."""
    parts = answer.parts if answer.is_frame else [without(answer.text, secrets).encode()]
    return replace(answer, call=without(answer.call, secrets), asset=without(answer.asset, secrets), parts=parts)


def _short(text: str, length: int = 200) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"


def _rows(frame: pd.DataFrame, secrets: frozenset[str]) -> Iterator[list[str]]:
    for row in frame.itertuples(index=False, name=None):
        yield [without(cell(value), secrets) for value in row]
