"""Stores the backtests of a script that runs in this process, each when it ends. The script does not notice it."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

from lumibot_duckdb import clock
from lumibot_duckdb.activation.script import traceback_of_script
from lumibot_duckdb.lumibot_contract import strategy_access
from lumibot_duckdb.lumibot_contract.enforcement import keeps_contract
from lumibot_duckdb.results import ResultsDatabase, SweepExistsError, SweepRecord, TrialRecord
from lumibot_duckdb.sources.shared import lifecycle

logger = logging.getLogger(__name__)

_NOT_RECORDED = "the backtests of this run are not recorded"


class RunRecorder:
    """Stores each backtest of this process as a sweep of the kind "run".

    The first one gets the name `name`, and further ones `name-2`, `name-3` and so on. An error while a backtest is
    recorded is logged once, and not raised. `command` is the script with its arguments.

    After the activation of our sources, because this uses their hooks into Lumibot.
    """

    def __init__(self, results: ResultsDatabase, name: str, command: str, script: Path, store: Path) -> None:
        self._results = results
        self._name = name
        self._command = command
        self._script = script
        self._store = store
        self._has_warned = False

    def install(self) -> None:
        """Record all backtests that begin from now on."""
        if all(keeps_contract(part, otherwise=_NOT_RECORDED) for part in ("activation", "comparison")):
            lifecycle.observe_runs(self._observe)

    @contextmanager
    def _observe(self, trader: Any) -> Iterator[None]:
        """Record the backtest of a trader, unless Ctrl-C or an exit of the script stops it."""
        strategies = strategy_access.strategies_of(trader) if trader.is_backtest_broker else []
        if len(strategies) != 1:
            yield
            return
        self._prepare()
        started, seconds, cpu_seconds = clock.utc_now(), perf_counter(), process_time()

        def record(error: Exception | None) -> None:
            took = {"seconds": perf_counter() - seconds, "cpu_seconds": process_time() - cpu_seconds}
            self._record(strategies[0], error, started=started, **took)

        try:
            yield
        except Exception as error:
            record(error)
            raise
        record(None)

    def _prepare(self) -> None:
        from lumibot_duckdb.sweeps.trials.risk_free_rates import note_risk_free_rates

        try:
            note_risk_free_rates()
        except Exception as error:
            self._warn(error)

    def _record(self, strategy: Any, error: Exception | None, **costs: Any) -> None:
        try:
            from lumibot_duckdb.comparison.redaction import known_secrets

            secrets = known_secrets(self._script)
            self._store_backtest(strategy, _collected(strategy, error, secrets, **costs), secrets)
        except Exception as problem:
            self._warn(problem)

    def _store_backtest(self, strategy: Any, record: TrialRecord, secrets: frozenset[str]) -> None:
        from lumibot_duckdb.comparison.redaction import redacted, without

        number = 1
        while True:
            sweep = SweepRecord(
                name=self._name if number == 1 else f"{self._name}-{number}",
                strategy=without(strategy_access.name_of(strategy), secrets),
                script=redacted(self._command, secrets),
                space={},
                settings=_settings(strategy),
                started=record.started,
                as_of=None,
                store=str(self._store),
                versions=record.versions,
            )
            try:
                self._results.add_run(sweep, record)
            except SweepExistsError:  # an earlier backtest of this script, perhaps in another process
                number += 1
                continue
            return

    def _warn(self, problem: Exception) -> None:
        if not self._has_warned:
            self._has_warned = True
            reason = " ".join(str(problem).split()) or type(problem).__name__
            logger.warning("lumibot-duckdb could not record a backtest: %s", reason)


def _collected(strategy: Any, error: Exception | None, secrets: frozenset[str], **costs: Any) -> TrialRecord:
    from lumibot_duckdb.comparison.memory import peak_resident_bytes
    from lumibot_duckdb.sweeps.trials.collecting import record_of

    failure = {} if error is None else _failure(error)
    return record_of(strategy, peak_memory=peak_resident_bytes(), secrets=secrets, **costs, **failure)


def _failure(error: Exception) -> dict[str, Any]:
    text = f"{type(error).__name__}: {error}".removesuffix(": ")
    lines = traceback.format_exception(type(error), error, traceback_of_script(error))
    return {"status": "failed", "error": text, "traceback": "".join(lines)}


def _settings(strategy: Any) -> dict[str, Any]:
    source = type(strategy.broker.data_source)
    return {
        "source": f"{source.__module__}.{source.__qualname__}",
        "start": str(strategy.backtesting_start or ""),
        "end": str(strategy.backtesting_end or ""),
    }
