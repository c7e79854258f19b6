"""Runs the trials of a sweep, each in a separate process."""

from __future__ import annotations

import atexit
import os
import queue
import shutil
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from difflib import get_close_matches
from pathlib import Path
from time import monotonic
from typing import Any, Literal, TypeAlias

from lumibot_duckdb import clock
from lumibot_duckdb.comparison.redaction import known_secrets
from lumibot_duckdb.comparison.versions import versions_of_run
from lumibot_duckdb.results.records import Status, TrialRecord, Value
from lumibot_duckdb.sweeps.errors import SweepClosedError, TargetKilledError, UnknownParameterError
from lumibot_duckdb.sweeps.trials.messages import OUTPUT, read_record, trial_folder
from lumibot_duckdb.sweeps.trials.output import last_lines
from lumibot_duckdb.sweeps.trials.own_memory import cpu_seconds_of, own_bytes
from lumibot_duckdb.sweeps.trials.process_safety import killed_by
from lumibot_duckdb.sweeps.trials.target import RunnableTarget, TargetDescription
from lumibot_duckdb.sweeps.trials.target_process import TargetProcess
from lumibot_duckdb.sweeps.trials.trial import Limits, Trial

Intermediate: TypeAlias = "Callable[[int, int, float], bool]"
"""Takes a trial's number, a day of its backtest (counted from 0) and the value of the portfolio at the end of that day;
returns whether the trial is to end now."""


@dataclass(frozen=True)
class TrialSettings:
    """How trials run.

    Attributes:
        as_of: The moment (tz-aware) as of which trials read the store; None for its present state. Bars that were
            stored then do not change during a sweep. What no trial has needed before is downloaded as usual.
        artifacts: A folder in which each trial gets a subfolder with its statistics files, tear sheet, plots and log;
            None if there shall be none.
        start: "fork" and "spawn" decide how the processes of trials start; "auto" forks where that is safe.
    """

    as_of: datetime | None = None
    artifacts: Path | None = None
    start: Literal["auto", "fork", "spawn"] = "auto"


NO_LIMITS = Limits()
DEFAULTS = TrialSettings()

_TYPES_OF_VALUES = (bool, int, float, str, type(None))
_POLL_SECONDS = 0.2
"""How often the memory of a limited trial is measured."""
_ATTEMPTS = 3
"""How often a trial is started whose server has been killed."""


def describe(target: RunnableTarget, settings: TrialSettings = DEFAULTS) -> TargetDescription:
    """Run a target up to its backtest, and return what it would run.

    The process waits for trials of this target until `close` or the end of this process.

    Raises:
        TargetError: the script fails before its backtest, or has none, or starts live trading.
    """
    process = _take_process(target, settings.start)
    process.is_taken = False
    return process.description


def prepare(
    target: RunnableTarget, trial: Trial, limits: Limits = NO_LIMITS, settings: TrialSettings = DEFAULTS
) -> TrialRecord:
    """Run a trial that downloads what the store lacks, with progress on the terminal; return its record.

    `settings.as_of` is ignored: take the present moment as `as_of` of the other trials once this returns. Raises as
    `run_trial`.
    """
    return _run(target, trial, limits, replace(settings, as_of=None), None, shows_progress=True)


def run_trial(
    target: RunnableTarget,
    trial: Trial,
    limits: Limits = NO_LIMITS,
    settings: TrialSettings = DEFAULTS,
    intermediate: Intermediate | None = None,
) -> TrialRecord:
    """Run a trial, and wait until it has ended.

    Call it from as many threads as trials shall run at the same time: those of one target share a process that has
    run the script up to its backtest. An interrupted call (Ctrl-C) kills its trial. `objective` of the record is None.

    Parameters:
        target: what is backtested.
        trial: the parameters of this backtest.
        limits: a trial that exceeds them is killed; its record has the status "timeout" or "memory". The memory is
            that of the trial's own, without what it shares with the process it was forked from.
        settings: how it runs.
        intermediate: called while the trial runs; if it returns True, the trial is killed, and its record has the
            status "pruned".

    Raises:
        UnknownParameterError: the trial sets a parameter that the strategy does not have.
        TypeError: the value of a parameter is no number, text, bool or None.
        TargetError: as `describe`.
        SweepClosedError: `close` was called meanwhile.
    """
    return _run(target, trial, limits, settings, intermediate)


def close(target: RunnableTarget | None = None) -> None:
    """End the process that waits for trials of a target (None: of all), and kill the trials that still run.

    Their calls of `run_trial` raise `SweepClosedError`.
    """
    with _guard:
        ended = [each for each in _processes if target is None or each.target_id == target.identity]
        found = [process for place in ended for process in _processes.pop(place)]
    for process in found:
        process.close()


# -- processes of targets --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Place:
    target_id: str
    start: str


_guard = threading.Lock()
_starting: dict[_Place, threading.Lock] = {}
_processes: dict[_Place, list[TargetProcess]] = {}
"""Those that have been started: one that forks trials, or any number of those that run a single one."""


def _take_process(target: RunnableTarget, start: str) -> TargetProcess:
    """Return a process that can run a trial now, which is started if there is none."""
    place = _Place(target.identity, start)
    with _guard:
        one_at_a_time = _starting.setdefault(place, threading.Lock())
    process = _waiting_process(place)
    if process is not None:
        return process
    with one_at_a_time:  # so that many threads start only one, if it forks the trials of all
        return _waiting_process(place) or _start(target, place)


def _waiting_process(place: _Place) -> TargetProcess | None:
    with _guard:
        for process in list(_processes.get(place, [])):
            if process.has_ended and not process.is_taken:
                _processes[place].remove(process)
                process.discard()
            elif not process.is_taken:
                process.is_taken = not process.description.is_forked
                return process
    return None


def _start(target: RunnableTarget, place: _Place) -> TargetProcess:
    process = TargetProcess(target, place.start)
    process.is_taken = not process.description.is_forked
    with _guard:
        _processes.setdefault(place, []).append(process)
    return process


def _end(process: TargetProcess) -> None:
    """End a process that cannot run another trial."""
    process.close()
    with _guard:
        for waiting in _processes.values():
            if process in waiting:
                waiting.remove(process)


def _forget_processes() -> None:
    """Leave the processes to the parent, in a process that was forked."""
    global _guard
    _guard = threading.Lock()
    _processes.clear()
    _starting.clear()


atexit.register(close)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_processes)


# -- one trial -------------------------------------------------------------------------------------------------------


def _run(
    target: RunnableTarget,
    trial: Trial,
    limits: Limits,
    settings: TrialSettings,
    intermediate: Intermediate | None,
    *,
    shows_progress: bool = False,
) -> TrialRecord:
    _check_values(trial.values)
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            process = _take_process(target, settings.start)
        except TargetKilledError:
            if attempt == _ATTEMPTS:
                raise
            continue
        run = _TrialRun(process, trial, limits, intermediate)
        try:
            check_parameters(process.description, trial.values)
            record = run.record(_request(trial, settings, shows_progress, intermediate is not None))
            if process.is_closed and (record is None or record.status == "crashed"):
                raise SweepClosedError
        finally:
            if process.is_taken:
                _end(process)
        if record is not None:
            return record
    return run.without_record("crashed", f"the process that starts the trials was killed {_ATTEMPTS} times")


def check_parameters(description: TargetDescription, names: Iterable[str]) -> None:
    """Raise `UnknownParameterError` for a name that is no parameter of the strategy."""
    for name in names:
        if name not in description.parameters:
            known = list(description.parameters)
            similar = get_close_matches(name, known, n=1)
            hint = f"did you mean {similar[0]!r}?" if similar else f"it has {', '.join(known) or 'none'}"
            raise UnknownParameterError(
                f"{description.strategy} has no parameter {name!r}: {hint} (Parameters are the entries of its "
                "`parameters` and of those that the script passes to the backtest, and the arguments of `initialize`)"
            )


def _check_values(values: Mapping[str, Value]) -> None:
    for name, value in values.items():
        if type(value) not in _TYPES_OF_VALUES:
            kind = type(value).__name__
            raise TypeError(
                f"{name}={value!r} is of type {kind}: a parameter of a trial is a number, a text, True or None"
            )


def _request(trial: Trial, settings: TrialSettings, shows_progress: bool, reports_values: bool) -> dict[str, Any]:
    artifacts = None if settings.artifacts is None else settings.artifacts.absolute() / f"trial-{trial.number}"
    return {
        "values": dict(trial.values),
        "span": None if trial.span is None else [trial.span.start.isoformat(), trial.span.end.isoformat()],
        "as_of": None if settings.as_of is None else settings.as_of.isoformat(),
        "artifacts": None if artifacts is None else str(artifacts),
        "shows_progress": shows_progress,
        "reports_values": reports_values,
    }


class _TrialRun:
    """A trial that a process runs."""

    def __init__(self, process: TargetProcess, trial: Trial, limits: Limits, intermediate: Intermediate | None) -> None:
        self._process = process
        self._trial = trial
        self._limits = limits
        self._intermediate = intermediate
        self._started = clock.utc_now()
        self._began = monotonic()
        self._child: int | None = None
        self._own_memory = 0
        self._cpu_seconds = 0.0
        self._killed: tuple[Status, str] | None = None

    def record(self, request: Mapping[str, Any]) -> TrialRecord | None:
        """Run the trial and return its record; None if the process that was to fork it has ended."""
        try:
            number = self._process.send_trial(request)
        except OSError:
            return None
        try:
            code = self._await_end(number)
        except BaseException:
            self._process.kill_trial(number)
            raise
        finally:
            self._process.forget_trial(number)
        folder = trial_folder(self._process.folder, number)
        try:
            return self._result(code, folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _await_end(self, number: int) -> int | None:
        """Wait for the end of the trial; return the exit code, or None if the process of the target ended before."""
        inbox = self._process.inboxes[number]
        while True:
            try:
                message = inbox.get(timeout=self._patience())
            except queue.Empty:
                self._check_limits(number)
                continue
            if "started" in message:
                self._child, self._began, self._started = message["process"], monotonic(), clock.utc_now()
            elif "value" in message:
                self._check_value(number, message)
            elif "ended" in message:
                self._cpu_seconds = message["cpu"]
                return int(message["code"])
            else:
                return None if self._process.description.is_forked else int(message["lost"])

    def _patience(self) -> float | None:
        """Return how many seconds to wait until the limits are checked."""
        if self._child is None or self._killed is not None:
            return None
        if self._limits.memory is not None:
            return _POLL_SECONDS
        if self._limits.seconds is not None:
            return max(self._began + self._limits.seconds - monotonic(), 0.0)
        return None

    def _check_limits(self, number: int) -> None:
        seconds, memory = self._limits.seconds, self._limits.memory
        if seconds is not None and monotonic() - self._began >= seconds:
            self._kill(number, "timeout", f"it was killed because it had not ended after {seconds:g} seconds")
        elif memory is not None:
            self._own_memory = max(self._own_memory, own_bytes(self._child) or 0)
            if self._own_memory > memory:
                needed, allowed = self._own_memory / 1e6, memory / 1e6
                reason = f"it was killed because it needed {needed:,.0f} MB of its own, more than {allowed:,.0f} MB"
                self._kill(number, "memory", reason)

    def _check_value(self, number: int, message: Mapping[str, Any]) -> None:
        if self._killed is not None or self._intermediate is None:
            return
        if self._intermediate(self._trial.number, message["day"], message["amount"]):
            self._kill(number, "pruned", f"it was ended after {message['day'] + 1} days")

    def _kill(self, number: int, status: Status, reason: str) -> None:
        self._killed = status, reason
        if not self._process.description.is_forked:
            self._cpu_seconds = cpu_seconds_of(self._child)
        self._process.kill_trial(number)

    def _result(self, code: int | None, folder: Path) -> TrialRecord | None:
        record = read_record(folder)  # it may have ended while it was to be killed
        if record is not None:
            own = max(record.own_memory or 0, self._own_memory) if record.own_memory is not None else None
            return replace(record, own_memory=own)
        output = "\n".join(last_lines(folder / OUTPUT, known_secrets(Path()))) or None
        if self._killed is not None:
            return self.without_record(*self._killed, output)
        return None if code is None else self.without_record("crashed", _how_it_ended(code), output)

    def without_record(self, status: Status, error: str, output: str | None = None) -> TrialRecord:
        """Return the record of a trial that has left none."""
        return TrialRecord(
            parameters={**self._process.description.parameters, **self._trial.values},
            status=status,
            started=self._started,
            seconds=monotonic() - self._began,
            cpu_seconds=self._cpu_seconds,
            own_memory=self._own_memory or None,
            error=error,
            traceback=None if output is None else f"Last lines of the output:\n{output}",
            versions=versions_of_run(),
        )


def _how_it_ended(code: int) -> str:
    if code >= 0:
        return (
            f"its process ended with code {code} before there was a result, as os._exit does; a strategy that ends its "
            "backtest early has to raise an error"
        )
    return f"its process {killed_by(code)}"
