"""Wraps methods of Lumibot so that the backtests of an unmodified script are recorded, each on its own."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Set
from functools import partial, wraps
from itertools import chain
from pathlib import Path
from threading import Lock, get_ident
from typing import Any

from lumibot.backtesting import data_provenance, market_input_evidence
from lumibot.backtesting.backtesting_broker import BacktestingBroker
from lumibot.strategies.strategy import Strategy
from lumibot.strategies.strategy_executor import StrategyExecutor
from lumibot.traders.trader import Trader

from lumibot_duckdb.comparison.broker_calls import intercept_broker_calls
from lumibot_duckdb.comparison.meters import AFTER, ANALYSIS, LOOP, Meters
from lumibot_duckdb.comparison.outcome import note_forked
from lumibot_duckdb.comparison.progress import Progress
from lumibot_duckdb.comparison.recording import Recording
from lumibot_duckdb.comparison.redaction import redacted, without
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
        self._running: dict[int, Recording] = {}
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
        strategy_access.wrap_risk_free_rate(self._wrap_risk_free_rate)
        Strategy.log_message = self._wrap_log_message(Strategy.log_message)
        intercept_broker_calls(self._broker_call)
        self._wrap_orders()
        data_provenance.write_backtest_data_provenance = self._redirected(
            data_provenance.write_backtest_data_provenance
        )
        market_input_evidence.write_market_input_evidence = self._redirected(
            market_input_evidence.write_market_input_evidence
        )
        os.register_at_fork(after_in_child=self._leave_to_parent)

    def progress(self) -> Progress:
        """Return how far the backtests of this process are."""
        running = list(self._running.values())
        fraction = sum(strategy_access.progress_of(each.strategy) for each in running) / max(len(running), 1)
        return Progress(self.count - len(running), fraction)

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

    def _begin(self, strategy: Any) -> Recording:
        with self._starting:
            number = self.count
            recording = Recording(strategy, self._folder, number, self._meters, self._secrets)
            self.count += 1
            self._running[id(strategy)] = recording
        return recording

    def _end(self, recording: Recording, executor: Any, failure: str | None) -> None:
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

    def _recording_of(self, strategy: Any) -> Recording | None:
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

    def _recording_for(self, owner: Any) -> Recording | None:
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
                    recording.note_benchmark()

        return dumped

    def _wrap_risk_free_rate(self, read: Any) -> Any:
        @wraps(read)
        def noted(strategy: Any) -> Any:
            rate = read(strategy)
            if (recording := self._running.get(id(strategy))) is not None:
                recording.risk_free_rate = rate
            return rate

        return noted

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

    # -- orders and messages ---------------------------------------------------------------------------------------

    def _wrap_orders(self) -> None:
        """Record orders when the broker receives, modifies and processes them."""
        submit, modify = BacktestingBroker.submit_order, BacktestingBroker.modify_order
        process = BacktestingBroker.process_pending_orders

        @wraps(submit)
        def submit_order(broker: Any, order: Any) -> Any:
            if order is not None and (recording := self._recording_for(broker)) is not None:
                recording.note_orders(lambda log, when: log.submitted(when, order))
            return submit(broker, order)

        @wraps(modify)
        def modify_order(broker: Any, order: Any, stop_price: Any = None, limit_price: Any = None) -> Any:
            if (recording := self._recording_for(broker)) is not None:
                prices = {"stop_price": stop_price, "limit_price": limit_price}
                changes = {name: price for name, price in prices.items() if price is not None}
                recording.note_orders(lambda log, when: log.modified(when, order, changes))
            return modify(broker, order, stop_price=stop_price, limit_price=limit_price)

        @wraps(process)
        def process_pending_orders(broker: Any, strategy: Any) -> Any:
            if (recording := self._running.get(id(strategy))) is not None:
                pending = broker.get_active_tracked_orders(strategy.name)
                if pending:
                    recording.note_orders(lambda log, when: log.changed(when, pending))
            return process(broker, strategy)

        for method in (submit_order, modify_order, process_pending_orders):
            setattr(BacktestingBroker, method.__name__, method)

    def _wrap_log_message(self, log_message: Any) -> Any:
        @wraps(log_message)
        def counted(strategy: Any, *args: Any, **kwargs: Any) -> Any:
            if (recording := self._running.get(id(strategy))) is not None:
                recording.note_message()
            return log_message(strategy, *args, **kwargs)

        return counted
