"""The process that runs a script up to its backtest, and then forks one process for each trial.

`python -m lumibot_duckdb.sweeps.trials.server FOLDER REQUESTS REPLIES LIFELINE [TERMINAL]`: the arguments are the
folder for output and records, and inherited descriptors. The process ends, with its trials, when the other end of the
lifeline is closed: also if the process that started it is killed.

First message received: `{"job": ...}`, and the bytes of the pickled strategy if the target is one. Then `{"run":
number, ...}` starts a trial and `{"kill": number}` ends it. Sent: once `{"ready": ...}` or `{"broken": ...}`, and for
each trial `{"started": number, "process": id}` and `{"ended": number, "code": code, "cpu": seconds}`; a negative code
is the number of a signal. If this process cannot be forked, it runs a single trial itself.
"""

from __future__ import annotations

import gc
import os
import pickle
import random
import re
import selectors
import shutil
import sys
import threading
import warnings
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from lumibot_duckdb.activation.env_overrides import override_environment
from lumibot_duckdb.comparison.headless import ENVIRONMENT, suppress_browser
from lumibot_duckdb.comparison.redaction import is_secret, known_secrets
from lumibot_duckdb.lumibot_contract.enforcement import require
from lumibot_duckdb.sweeps.trials.interception import BacktestCall, LiveTradingError, intercept_backtests
from lumibot_duckdb.sweeps.trials.job import Job
from lumibot_duckdb.sweeps.trials.messages import OUTPUT, Channel, trial_folder
from lumibot_duckdb.sweeps.trials.output import describe_error, details_of
from lumibot_duckdb.sweeps.trials.process_safety import end_with_parent, kill_group, why_not_to_fork
from lumibot_duckdb.sweeps.trials.trial_process import TrialRequest, run_and_exit
from lumibot_duckdb.sweeps.trials.warm_start import fill_caches, load_as_noted, share_calendars

_ENDED_FOR_GOOD = 0.5
"""How often processes are looked after that keep the pipe of an ended trial open, in seconds."""


_IDLE_AFTER_BACKTEST = re.compile(r"broker_.*_thread|ThreadPoolExecutor-\d+_\d+")
"""Names of the threads of a backtest's broker and data source."""


class Server:
    """Runs a job up to its backtest, then the trials that are requested."""

    def __init__(self, folder: Path, channel: Channel, lifeline: int, terminal: int | None) -> None:
        self._folder = folder
        self._channel = channel
        self._terminal = terminal
        self._lifeline = threading.Thread(target=self._watch, args=(lifeline,), daemon=True, name="lifeline")
        self._harmless = [self._lifeline]
        self._secrets: set[str] = set()
        self._job = Job()
        self._seen: list[str] = []
        self._trials: dict[int, _Running] = {}
        self._has_learned = False

    def run(self) -> NoReturn:
        """Run the job that arrives, and end the process."""
        self._lifeline.start()
        message = self._channel.receive_first()["job"]
        self._job = job = Job(**{**message, "arguments": tuple(message["arguments"])})
        pickled = self._channel.receive_bytes(job.pickled)
        self._secrets.update(known_secrets(Path(job.script)))
        override_environment({**ENVIRONMENT, **job.settings})
        suppress_browser()
        try:
            from lumibot_duckdb.activation.activation import activate

            activate()
            intercept_backtests(self._on_backtest)
            _run_pickled(pickled) if pickled else _run_script(job)
        except BaseException as error:
            self._broken(error)
        else:
            self._broken(None)
        os._exit(1)

    def _broken(self, error: BaseException | None) -> None:
        """Report that the script ended before the backtest that is swept."""
        secrets, message, details = frozenset(self._secrets), "", ""
        if error is not None:
            details = details_of(error, self._folder / OUTPUT, secrets)
            message = str(error) if isinstance(error, LiveTradingError) else describe_error(error, secrets)
        is_own = isinstance(error, LiveTradingError)
        with suppress(OSError):
            self._channel.send(broken={"message": message, "details": details, "seen": self._seen, "is_own": is_own})

    # -- at the backtest -----------------------------------------------------------------------------------------

    def _on_backtest(self, call: BacktestCall) -> Any:
        """Run earlier backtests as usual; at the one that is swept, wait for trials, and never return."""
        wanted = self._job.strategy
        if wanted is not None and wanted not in call.names:
            return self._run_earlier(call)
        require("sweeps")
        self._secrets.update(value for name, value in os.environ.items() if is_secret(name, value))
        self._secrets.update(_secrets_among(call.arguments))
        _import_what_trials_need()
        start = self._job.start
        reason = "" if start == "fork" else why_not_to_fork(self._harmless)
        if start == "spawn":
            reason = "it was chosen"
        self._channel.send(ready={**_description(call, frozenset(self._secrets)), "reason": reason})
        try:
            if reason:
                self._run_one(call)
            self._serve(call)
        except EOFError:
            self._lifeline.join()  # which ends this process
        except BaseException as error:
            self._broken(error)
        os._exit(1)

    def _run_earlier(self, call: BacktestCall) -> Any:
        """Run a backtest that is not swept. It leaves threads of Lumibot's that wait for work and never get any."""
        self._seen.append(call.strategy.__name__)
        before = threading.enumerate()
        try:
            return call.run()
        finally:
            new = [each for each in threading.enumerate() if each not in before]
            self._harmless += [each for each in new if _IDLE_AFTER_BACKTEST.fullmatch(each.name)]

    def _run_one(self, call: BacktestCall) -> NoReturn:
        """Run the first trial that is requested in this process."""
        message = self._channel.receive_first()
        self._channel.send(started=message["run"], process=os.getpid())
        run_and_exit(call, self._request(message, self._channel), self._secrets)

    def _request(self, message: Mapping[str, Any], channel: Channel) -> TrialRequest:
        """Return the request of a message. The values of its days are sent through a channel."""
        number = message["run"]
        folder = trial_folder(self._folder, number)
        folder.mkdir()

        def report(day: int, value: float) -> None:
            with suppress(OSError):  # nobody reads them any more
                channel.send(value=number, day=day, amount=value)

        return TrialRequest.of(message, folder, self._terminal, report, notes=not self._has_learned)

    def _serve(self, call: BacktestCall) -> NoReturn:
        """Fork a process for each trial that is requested."""
        gc.collect()
        gc.freeze()  # so that no collection in a trial touches, and thereby copies, what all of them share
        with selectors.DefaultSelector() as waiting:
            waiting.register(self._channel.reading, selectors.EVENT_READ)
            while True:
                for key, _ in waiting.select(_ENDED_FOR_GOOD if self._trials else None):
                    if key.fd == self._channel.reading:
                        for message in self._channel.receive():
                            self._handle(message, call, waiting)
                    elif values := os.read(key.fd, 65_536):
                        self._channel.send_bytes(key.data.complete_lines(values))
                for number in [each for each, trial in self._trials.items() if trial.has_ended()]:
                    trial = self._trials.pop(number)
                    waiting.unregister(trial.pipe)
                    os.close(trial.pipe)
                    kill_group(trial.process)  # what the trial has left running
                    self._learn_from(number)
                    self._channel.send(ended=number, code=trial.code, cpu=trial.cpu_seconds)

    def _learn_from(self, number: int) -> None:
        """Load what the first trial that came to its end had to load, so that the next ones need not."""
        if not self._has_learned and load_as_noted(trial_folder(self._folder, number)):
            self._has_learned = True
            gc.freeze()

    def _handle(self, message: Mapping[str, Any], call: BacktestCall, waiting: selectors.BaseSelector) -> None:
        if "kill" in message:
            if message["kill"] in self._trials:
                kill_group(self._trials[message["kill"]].process)
            return
        try:
            trial = self._trials[message["run"]] = self._fork(call, message)
        except OSError as error:  # there are too many processes, or too little memory
            output = trial_folder(self._folder, message["run"]) / OUTPUT
            with suppress(OSError):
                output.write_text(f"no process could be started for this trial: {error}\n")
            self._channel.send(ended=message["run"], code=1, cpu=0.0)
            return
        waiting.register(trial.pipe, selectors.EVENT_READ, trial)
        self._channel.send(started=message["run"], process=trial.process)

    def _fork(self, call: BacktestCall, message: Mapping[str, Any]) -> _Running:
        """Fork a process for a trial, which begins with the random numbers that the script would continue with."""
        server, numbers = os.getpid(), random.getstate()
        pipe, kept_open = os.pipe()
        try:
            request = self._request(message, Channel(pipe, kept_open))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # of threads: `why_not_to_fork` knows them
                process = os.fork()
        except OSError:
            os.close(pipe)
            os.close(kept_open)
            raise
        with suppress(OSError):  # one of both comes first
            os.setpgid(process, process)
        if not process:
            try:
                end_with_parent(server)
                self._channel.close()
                random.setstate(numbers)  # Python seeds them anew in a forked process
                run_and_exit(call, request, self._secrets)
            finally:
                os._exit(1)
        os.close(kept_open)
        return _Running(process, pipe)

    def _watch(self, lifeline: int) -> None:
        """End this process, and all that it has started, when nobody holds the lifeline any more."""
        with suppress(OSError):
            os.read(lifeline, 1)
        for trial in list(self._trials.values()):
            kill_group(trial.process)
        shutil.rmtree(self._folder, ignore_errors=True)
        kill_group(os.getpid())
        os._exit(1)


class _Running:
    """A trial that runs in a forked process. From `pipe` come the values of its days, and its end."""

    def __init__(self, process: int, pipe: int) -> None:
        self.process = process
        self.pipe = pipe
        self.code = 0
        self.cpu_seconds = 0.0
        self._rest = b""

    def complete_lines(self, received: bytes) -> bytes:
        """Return the lines that are complete by now."""
        lines, end, rest = (self._rest + received).rpartition(b"\n")
        self._rest = rest
        return lines + end

    def has_ended(self) -> bool:
        """Return whether the process has ended; then `code` and `cpu_seconds` are known."""
        ended, status, used = os.wait4(self.process, os.WNOHANG)
        if not ended:
            return False
        self.code, self.cpu_seconds = os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime
        return True


def _run_script(job: Job) -> None:
    from lumibot_duckdb.activation.script import file_of_module, run_module, run_script

    # Lumibot looks for `.env` files next to the script that `sys.argv` names.
    path = str(file_of_module(job.script) or job.script) if job.is_module else job.script
    sys.argv[:] = [path, *job.arguments]
    (run_module if job.is_module else run_script)(job.script, job.arguments)
    threading._shutdown()  # type: ignore[attr-defined]  # a thread of the script may call the backtest


def _run_pickled(pickled: bytes) -> None:
    strategy, arguments = pickle.loads(pickled)  # from the process that started this one
    strategy.run_backtest(**arguments)


def _description(call: BacktestCall, secrets: frozenset[str]) -> dict[str, Any]:
    from lumibot_duckdb.comparison.parameters import parameter_values  # imports Lumibot

    parameters = {name: value for name, value in call.parameters.items() if name != "pandas_data"}
    start, end = call.arguments["backtesting_start"], call.arguments["backtesting_end"]
    return {
        "strategy": call.strategy.__name__,
        "source": getattr(call.arguments["datasource_class"], "__name__", ""),
        "parameters": parameter_values(parameters, secrets),
        "start": start.isoformat() if hasattr(start, "isoformat") else None,
        "end": end.isoformat() if hasattr(end, "isoformat") else None,
    }


def _secrets_among(arguments: Mapping[str, Any]) -> list[str]:
    return [value for name, value in arguments.items() if isinstance(value, str) and is_secret(name, value)]


def _import_what_trials_need() -> None:
    """Import once what each trial would import, and load the market calendar."""
    import quantstats_lumi.stats  # noqa: F401

    import lumibot_duckdb.sweeps.trials.collecting  # noqa: F401

    share_calendars()
    fill_caches()


def main(arguments: list[str]) -> NoReturn:
    """Run the server of a process that was started as the module describes."""
    folder, *descriptors = arguments
    requests, replies, lifeline, *terminal = map(int, descriptors)
    for descriptor in (requests, replies, lifeline, *terminal):
        os.set_inheritable(descriptor, False)
    Server(Path(folder), Channel(requests, replies), lifeline, terminal[0] if terminal else None).run()


if __name__ == "__main__":
    main(sys.argv[1:])
