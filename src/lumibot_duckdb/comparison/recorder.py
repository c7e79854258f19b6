"""Records the backtests of an unmodified script from inside of Lumibot: what a strategy was given, and what it did."""

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
from lumibot_duckdb.comparison.broker_calls import follow_direct_questions
from lumibot_duckdb.comparison.locks import lock_that_is_free_in_forks
from lumibot_duckdb.comparison.meters import AFTER, ANALYSIS, FIRST_BARS, LOOP, REQUESTS, Meters
from lumibot_duckdb.comparison.outcome import (
    answers_file,
    events_file,
    inputs_folder,
    note_elsewhere,
    values_file,
    write_backtest,
    write_table,
)
from lumibot_duckdb.comparison.redaction import redacted, without
from lumibot_duckdb.comparison.value_text import as_text, cell
from lumibot_duckdb.lumibot_contract import fallback, strategy_access

# What a strategy asks for. Those that call others of these are recorded once, as they were called.
_QUESTIONS = (
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
# Columns of the log of trade events that are drawn at random for each order, or that say when the computer did it.
_BY_CHANCE = frozenset(
    ("identifier", "order_identifier", "parent_identifier", "event_id", "cash_event_broker_event_id", "audit.timestamp")
)
_AT_ITS_END = "on_strategy_end raised an error, which is in the script's output"
"""Lumibot logs that one and keeps it to itself."""
_LUMIBOTS_FOLDER = "logs"


class LiveTradingError(RuntimeError):
    """A script that was to be compared wanted to trade instead of backtesting."""

    def __init__(self) -> None:
        super().__init__("the script starts live trading, which is never compared; let it backtest")


class Recorder:
    """Records each backtest of this process into files of a folder, under numbers in the order in which they start.

    Backtests may run at the same time, in threads or one within another. Of those in a process that is forked, no
    more is noted than their names. `secrets`, of which there may be more later, are in nothing that is recorded.
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
        """Record from now on, to the end of the process.

        Raises `LumibotContractError` if Lumibot no longer has what is recorded.
        """
        fallback.require("comparison")
        Trader.run_all = self._around_a_run(Trader.run_all)
        StrategyExecutor.run = self._around_a_backtest(StrategyExecutor.run)
        strategy_access.wrap_analysis(self._charged_to_analysis)
        for name in _QUESTIONS:
            setattr(Strategy, name, self._recorded(name, getattr(Strategy, name)))
        strategy_access.wrap_indicators(self._recorded_indicator)
        strategy_access.wrap_benchmark(self._with_the_benchmark)
        follow_direct_questions(self._asked_directly)
        data_provenance.write_backtest_data_provenance = self._in_our_folder(
            data_provenance.write_backtest_data_provenance
        )
        market_input_evidence.write_market_input_evidence = self._in_our_folder(
            market_input_evidence.write_market_input_evidence
        )
        os.register_at_fork(after_in_child=self._leave_to_parent)

    def _leave_to_parent(self) -> None:
        """Keep away, as a forked process, from all that is being recorded."""
        self.is_forked = True
        for recording in self._running.values():
            recording.leave_to_parent()
        self._running = {}

    def _around_a_run(self, run_all: Any) -> Any:
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

    def _around_a_backtest(self, run: Any) -> Any:
        """Record in the thread in which a backtest runs, since `run_all` may return before it has ended.

        An error of recording goes to `exception`, which Lumibot raises where the end of the backtest is waited for.
        """

        @wraps(run)
        def recorded(executor: Any) -> Any:
            if not executor.strategy.is_backtesting:
                return run(executor)
            if self.is_forked:
                note_elsewhere(
                    self._folder, without(strategy_access.name_of(executor.strategy), frozenset(self._secrets))
                )
                return run(executor)
            try:
                with self._meters.apart():
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
                    failure = _AT_ITS_END
                return ended
            except BaseException as error:
                failure = self._failure(error)
                raise
            finally:
                if not self.is_forked:  # by the strategy, meanwhile
                    self._meters.enter(AFTER)
                    with self._meters.apart():
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
        said = re.sub(r" at 0x[0-9a-f]+", "", " ".join(str(error).split()))
        return redacted(f"{type(error).__name__}: {said}".removesuffix(": "), frozenset(self._secrets))

    # -- the files that Lumibot writes of each run ---------------------------------------------------------------

    def _moved(self, given: Any) -> Path:
        """Return where a file goes that would go to Lumibot's folder of logs: to that of this run."""
        path: Path = Path(given)
        return self._folder / path if path.parts[:1] == (_LUMIBOTS_FOLDER,) else path

    def _move_files(self, trader: Any, strategy: Any) -> None:
        (self._folder / _LUMIBOTS_FOLDER).mkdir(exist_ok=True)
        trader.logdir = self._moved(trader.logdir)
        if trader.logfile:
            trader.logfile = self._moved(trader.logfile)
        strategy_access.move_stats_file(strategy, self._moved)

    def _in_our_folder(self, write: Any) -> Any:
        @wraps(write)
        def moved(source: Any, directory: Any = _LUMIBOTS_FOLDER, **settings: Any) -> Any:
            return write(source, self._moved(directory), **settings)

        return moved

    def _charged_to_analysis(self, method: Any) -> Any:
        @wraps(method)
        def charged(strategy: Any, *args: Any, **kwargs: Any) -> Any:
            with self._meters.within(ANALYSIS):
                return method(strategy, *args, **kwargs)

        return charged

    # -- what a strategy is given ----------------------------------------------------------------------------------

    def _recording_of(self, strategy: Any) -> _Recording | None:
        """Return where a question of a strategy is written down; None if nowhere, or as part of another question."""
        recording = self._running.get(id(strategy))
        return None if recording is None or recording.asking.already else recording

    def _recorded(self, name: str, method: Any) -> Any:
        @wraps(method)
        def recorded(strategy: Any, *args: Any, **kwargs: Any) -> Any:
            recording = self._recording_of(strategy)
            if recording is None:
                return method(strategy, *args, **kwargs)
            return recording.ask(name, partial(method, strategy), args, kwargs)

        return recorded

    def _asked_directly(
        self, owner: Any, name: str, method: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        recording = self._recording_around(owner)
        if recording is None or recording.asking.already:
            return method(*args, **kwargs)
        return recording.ask(f"data_source.{name}", method, args, kwargs)

    def _recording_around(self, owner: Any) -> _Recording | None:
        """Return the backtest in which a broker or a source is asked: its own, this thread's, or the only one."""
        running = list(self._running.values())
        own = (each for each in running if each.has(owner))
        in_thread = (each for each in running if each.thread == get_ident())
        return next(chain(own, in_thread), running[0] if len(running) == 1 else None)

    def _with_the_benchmark(self, dump: Any) -> Any:
        @wraps(dump)
        def dumped(strategy: Any) -> None:
            dump(strategy)
            recording = self._running.get(id(strategy))
            if recording is not None:
                with self._meters.apart():
                    recording.benchmark = _benchmark(strategy)

        return dumped

    def _recorded_indicator(self, dispatch: Any) -> Any:
        @wraps(dispatch)
        def recorded(
            indicators: Any, asset: Any, timestep: Any, name: str, settings: Any, custom_fn: Any, **more: Any
        ) -> Any:
            recording = self._recording_of(strategy_access.strategy_of(indicators))
            if recording is None:
                return dispatch(indicators, asset, timestep, name, settings, custom_fn, **more)

            def ask(asset: Any, timestep: Any, **_: Any) -> Any:
                return dispatch(indicators, asset, timestep, name, settings, custom_fn, **more)

            return recording.ask(f"indicators.{name}", ask, (asset, timestep), {**settings, **more})

        return recorded


class _Asking(local):
    """Whether this thread is inside of a question already."""

    already = False


class _Recording:
    """One backtest while it runs."""

    def __init__(self, strategy: Any, folder: Path, number: int, meters: Meters, secrets: Set[str]) -> None:
        self.strategy = strategy
        self.asking = _Asking()
        self.benchmark: dict[str, str] = {}
        self.thread = get_ident()
        self._folder = folder
        self._number = number
        self._about = _about(strategy, frozenset(secrets))
        self._answers = AnswersWriter(answers_file(folder, number))
        self._meters = meters
        self._secrets = secrets
        self._touched: set[tuple[str, Any]] = set()
        self._writing = lock_that_is_free_in_forks()
        self._ended = False
        write_backtest(folder, number, **self._about, analysis={}, ended=False)

    def has(self, owner: Any) -> bool:
        """Tell whether a broker or a source is that of this backtest."""
        broker = self.strategy.broker
        return any(owner is each for each in (broker, broker.data_source, getattr(broker, "option_source", None)))

    def leave_to_parent(self) -> None:
        """Write nothing any more, as a forked process, which has the file of answers in common with its parent."""
        self._answers.detach()

    def ask(self, name: str, method: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Ask on behalf of the strategy, and write down the answer or the kind of error."""
        self.asking.already = True
        try:
            with self._meters.apart():
                asked = _Question.of(name, args, kwargs)
                touch = (asked.asset, asked.timestep)
            try:
                with self._meters.within(REQUESTS if touch in self._touched else FIRST_BARS):
                    answer = method(*args, **kwargs)
            except Exception as error:
                self._write([value_answer(self._now(), asked.call, asked.asset, f"raised {type(error).__name__}")])
                raise
            with self._meters.apart():
                self._touched.add(touch)
                self._write(_answers(self._now(), asked, answer))
            return answer
        finally:
            self.asking.already = False

    def end(self, failure: str | None) -> None:
        """Write down what came of it, and which error it was that stopped it."""
        with self._writing:
            self._ended = True
            self._answers.close()
        strategy, folder, number, secrets = self.strategy, self._folder, self._number, frozenset(self._secrets)
        market_input_evidence.write_market_input_evidence(strategy.broker.data_source, inputs_folder(folder, number))
        events = strategy_access.trade_events(strategy)
        events = events.drop(columns=[name for name in events.columns if name in _BY_CHANCE])
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
                return  # asked by a thread that goes on after the backtest
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
    """Return what a backtest's returns are held against, as statistics of it: a row each, in order of time."""
    frame = strategy_access.benchmark_returns(strategy)
    if frame is None:
        return {}
    of = f"benchmark {as_text(strategy_access.benchmark_asset(strategy))}"
    columns, *rows = frame.to_csv(index=False).splitlines()
    return {f"{of}, columns": columns, **{f"{of} {time}": row for time, row in zip(frame.index, rows, strict=True)}}


class _Question:
    """A call in words."""

    def __init__(self, call: str, asset: str, timestep: Any) -> None:
        self.call = call
        self.asset = asset
        self.timestep = timestep

    @classmethod
    def of(cls, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> _Question:
        given = [as_text(value) for value in args]
        given += [f"{word}={as_text(value)}" for word, value in sorted(kwargs.items()) if value is not None]
        first = args[0] if args else next((kwargs[word] for word in ("asset", "assets") if word in kwargs), "")
        timestep = kwargs.get("timestep", args[2] if len(args) > 2 else None)
        return cls(f"{name}({', '.join(given)})", _short(as_text(first)), str(timestep))


def _answers(when: str, asked: _Question, answer: Any) -> Iterator[Answer]:
    """Put an answer in a form that can be written; that on many assets is one for each."""
    if isinstance(answer, Bars):
        yield frame_answer(when, asked.call, asked.asset, answer.pandas_df)
    elif isinstance(answer, pd.DataFrame):
        yield frame_answer(when, asked.call, asked.asset, answer)
    elif isinstance(answer, pd.Series):
        yield frame_answer(when, asked.call, asked.asset, answer.to_frame())
    elif isinstance(answer, Mapping) and any(isinstance(each, Bars | pd.DataFrame) for each in answer.values()):
        for asset, each in answer.items():
            about = _Question(asked.call, as_text(asset), asked.timestep)
            yield from _answers(when, about, each)
    else:
        yield value_answer(when, asked.call, asked.asset, as_text(answer))


def _without(answer: Answer, secrets: frozenset[str]) -> Answer:
    """Return an answer without keys, but for what is in a frame of bars."""
    parts = answer.parts if answer.is_frame else [without(answer.text, secrets).encode()]
    return replace(answer, call=without(answer.call, secrets), asset=without(answer.asset, secrets), parts=parts)


def _short(text: str, length: int = 200) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"


def _rows(frame: pd.DataFrame, secrets: frozenset[str]) -> Iterator[list[str]]:
    for row in frame.itertuples(index=False, name=None):
        yield [without(cell(value), secrets) for value in row]
