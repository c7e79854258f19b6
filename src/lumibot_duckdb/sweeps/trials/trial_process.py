"""One trial in its own process: the intercepted backtest with other parameters, and the record of it."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Mapping, Set
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from time import perf_counter, process_time
from typing import Any, NoReturn

from lumibot_duckdb import clock
from lumibot_duckdb.comparison.versions import versions_of_run
from lumibot_duckdb.lumibot_contract import strategy_access
from lumibot_duckdb.results.records import TrialRecord, Value
from lumibot_duckdb.sweeps.trials.interception import BacktestCall
from lumibot_duckdb.sweeps.trials.messages import OUTPUT, write_record
from lumibot_duckdb.sweeps.trials.output import describe_error, details_of, flush_output, redirect_output
from lumibot_duckdb.sweeps.trials.own_memory import memory_peaks
from lumibot_duckdb.sweeps.trials.warm_start import note_loaded

WITHOUT_FILES: dict[str, Any] = {
    "analyze_backtest": False,
    "show_plot": False,
    "show_tearsheet": False,
    "save_tearsheet": False,
    "show_indicators": False,
    "logfile": None,
    "save_logfile": False,
    "stats_file": None,
    "save_stats_file": False,
    "show_progress_bar": False,
    "quiet_logs": True,
}
"""Arguments of `run_backtest` for a trial: nothing here changes what is traded."""
_ARTIFACTS = {
    "stats_file": "stats.csv",
    "logfile": "log.csv",
    "plot_file_html": "trades.html",
    "trades_file": "trades.csv",
    "settings_file": "settings.json",
    "indicators_file": "indicators.html",
    "tearsheet_file": "tearsheet.html",
    "tearsheet_metrics_file": "tearsheet_metrics.json",
}
_SOURCES_WITH_END = ("PandasData", "PandasDataBacktesting")
_FAILED_AT_END = "on_strategy_end raised an error, which is in the output"
_NOT_BACKTESTABLE = (
    "Lumibot did not run the backtest: the strategy is marked as not backtestable, or its start or end is no datetime"
)


@dataclass(frozen=True)
class TrialRequest:
    """What a process is asked to run.

    `values` are the parameters to set; `span` is another start and end of the backtest, if given. `artifacts` is the
    folder for files of the trial, and `folder` the one for its output and its record. `terminal` is a descriptor on
    which progress is shown. `modules`, if given, are those that are imported before the trial, which then notes what it
    loads. `report`, if given, is called with the number and the value of each day.
    """

    values: Mapping[str, Value]
    folder: Path
    span: tuple[datetime, datetime] | None = None
    as_of: datetime | None = None
    artifacts: Path | None = None
    terminal: int | None = None
    modules: frozenset[str] | None = None
    report: Callable[[int, float], None] | None = None

    @classmethod
    def of(
        cls,
        message: Mapping[str, Any],
        folder: Path,
        terminal: int | None,
        report: Callable[[int, float], None],
        *,
        notes: bool = False,
    ) -> TrialRequest:
        """Return the request of a message; with `notes`, the trial notes what it loads."""
        span = message["span"]
        return cls(
            values=message["values"],
            folder=folder,
            span=None if span is None else (datetime.fromisoformat(span[0]), datetime.fromisoformat(span[1])),
            as_of=None if message["as_of"] is None else datetime.fromisoformat(message["as_of"]),
            artifacts=None if message["artifacts"] is None else Path(message["artifacts"]),
            terminal=terminal if message["shows_progress"] else None,
            modules=frozenset(sys.modules) if notes else None,
            report=report if message["reports_values"] else None,
        )


def run_and_exit(call: BacktestCall, request: TrialRequest, secrets: Set[str]) -> NoReturn:
    """Run a trial in this process, write its record, and end the process at once: nothing of the script follows."""
    code = 1
    try:
        redirect_output(request.folder / OUTPUT)
        _set_conditions(request)
        strategies = _note_strategies()  # they hold the store, of which the end notes what was read
        write_record(request.folder, _record(_changed(call, request), request, secrets, strategies))
        if request.modules is not None:
            note_loaded(request.folder, request.modules)
        code = 0
    except BaseException:
        traceback.print_exc()  # in the output, which explains why there is no record
    finally:
        flush_output()
        os._exit(code)


def _record(call: BacktestCall, request: TrialRequest, secrets: Set[str], strategies: list[Any]) -> TrialRecord:
    from lumibot_duckdb.comparison.parameters import parameter_values  # imports Lumibot
    from lumibot_duckdb.sweeps.trials.collecting import record_of
    from lumibot_duckdb.sweeps.trials.risk_free_rates import note_risk_free_rates

    note_risk_free_rates()
    ends = _note_early_ends()
    started, began, cpu_began = clock.utc_now(), perf_counter(), process_time()
    error: BaseException | None = None
    try:
        if call.run() is None:
            raise ValueError(_NOT_BACKTESTABLE)
        for ended_by in ends:
            raise ended_by
    except BaseException as raised:
        error = raised
    seconds, known, output = perf_counter() - began, frozenset(secrets), request.folder / OUTPUT
    failed = TrialRecord(parameter_values({**call.parameters}, known), "failed", started, seconds)
    if error is None:
        record = record_of(strategies[-1], started=started, seconds=seconds, secrets=known)
    else:
        record = failed
        with suppress(Exception):  # the backtest may have stopped before there was anything to collect
            record = record_of(strategies[-1], started=started, seconds=seconds, status="failed", secrets=known)
        record = replace(record, error=describe_error(error, known), traceback=details_of(error, output, known))
    peak, own = memory_peaks()
    return replace(
        record,
        cpu_seconds=process_time() - cpu_began,
        peak_memory=peak,
        own_memory=own,
        versions=versions_of_run(),
    )


def _changed(call: BacktestCall, request: TrialRequest) -> BacktestCall:
    """Return the call of the trial."""
    strategy_access.override_parameters_of_environment(request.values)
    changes = dict(WITHOUT_FILES)
    if request.artifacts is not None:
        changes |= {"analyze_backtest": True, "save_tearsheet": True, "save_logfile": True, "save_stats_file": True}
        changes |= {argument: str(request.artifacts / name) for argument, name in _ARTIFACTS.items()}
        changes["quiet_logs"] = False
    if request.span is not None:
        start, end = request.span
        changes |= {"backtesting_start": start, "backtesting_end": end - _last_iteration_after(call)}
    given = call.arguments.get("parameters") or {}
    return call.with_arguments(**changes, parameters={**given, **request.values})


def _last_iteration_after(call: BacktestCall) -> timedelta:
    """Return by how much a backtest must end earlier, so that it has no iteration at the end of its span.

    The next span begins there. Lumibot's sources stop a minute before their end, but not those for frames.
    """
    name = getattr(call.arguments.get("datasource_class"), "__name__", "")
    return timedelta(minutes=1) if name in _SOURCES_WITH_END else timedelta()


def _set_conditions(request: TrialRequest) -> None:
    """Set what Lumibot and our sources read from outside of the call."""
    os.environ["SAVE_LOGFILE"] = str(request.artifacts is not None).lower()
    os.environ["BACKTESTING_QUIET_LOGS"] = str(request.artifacts is None).lower()
    _keep_evidence_in(request.artifacts)
    if request.as_of is not None:
        from lumibot_duckdb.sources.shared.reading_moment import read_as_of

        read_as_of(request.as_of)
    if request.report is not None:
        from lumibot_duckdb.sweeps.trials.daily_values import report_daily_values

        report_daily_values(request.report)
    if request.terminal is not None:
        from lumibot_duckdb.sources.shared.progress import show_always

        sys.stderr = os.fdopen(request.terminal, "w", buffering=1)
        show_always()


def _keep_evidence_in(folder: Path | None) -> None:
    """Let Lumibot write its records of what a strategy was shown to a folder; without one, it keeps none."""
    from lumibot.backtesting import data_provenance, market_input_evidence

    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    for module, name in (
        (data_provenance, "write_backtest_data_provenance"),
        (market_input_evidence, "write_market_input_evidence"),
    ):
        setattr(module, name, _writing_to(getattr(module, name), folder))
    if folder is None:
        market_input_evidence.record_market_input = lambda **_: None


def _writing_to(write: Any, folder: Path | None) -> Any:
    def write_there(source: Any, directory: Any = None, **settings: Any) -> Any:
        return None if folder is None else write(source, folder, **settings)

    return write_there


def _note_early_ends() -> list[BaseException]:
    """Return a list to which each error is added that ends a backtest from now on but is not raised by Lumibot.

    A backtest runs in a thread, in which `sys.exit` only ends that thread.
    """
    from lumibot.strategies.strategy_executor import StrategyExecutor

    found: list[BaseException] = []
    run = StrategyExecutor.run

    def noted(executor: Any) -> Any:
        try:
            ended = run(executor)
        except BaseException as error:
            found.append(error)
            raise
        if not ended and executor.exception is None:
            found.append(RuntimeError(_FAILED_AT_END))
        return ended

    StrategyExecutor.run = noted
    return found


def _note_strategies() -> list[Any]:
    """Return a list to which each strategy is added that a trader gets from now on."""
    from lumibot.traders.trader import Trader

    found: list[Any] = []
    add = Trader.add_strategy

    def add_strategy(trader: Any, strategy: Any) -> Any:
        found.append(strategy)
        return add(trader, strategy)

    Trader.add_strategy = add_strategy
    return found
