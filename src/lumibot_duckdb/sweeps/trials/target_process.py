"""The process of a target, seen from the one that started it: sends trials, and waits for what becomes of them."""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from datetime import datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from lumibot_duckdb.comparison.redaction import known_secrets
from lumibot_duckdb.storage.location import ENVIRONMENT_VARIABLE, store_path
from lumibot_duckdb.sweeps.errors import TargetError, TargetKilledError
from lumibot_duckdb.sweeps.trials.job import Job
from lumibot_duckdb.sweeps.trials.messages import OUTPUT, Channel
from lumibot_duckdb.sweeps.trials.process_safety import kill_group, killed_by
from lumibot_duckdb.sweeps.trials.target import PickledTarget, RunnableTarget, ScriptTarget, TargetDescription
from lumibot_duckdb.sweeps.trials.work_folder import WorkFolder

_NO_BACKTEST = (
    "{target} ended without a call of Strategy.backtest or Strategy.run_backtest. If the call depends on a condition, "
    "such as `if __name__ == ...` or an argument, make sure that it is met"
)


class TargetProcess:
    """A process that runs a target up to its backtest. Messages about trials arrive in their `inboxes`.

    `is_taken` is for the caller: a process that does not fork can run only one trial. `is_closed` tells a process that
    `close` has ended from one that ended otherwise. Raises `TargetError` if the target has no backtest, or fails.
    """

    def __init__(self, target: RunnableTarget, start: str) -> None:
        self._work_folder = WorkFolder()
        self.folder = self._work_folder.path
        self.inboxes: dict[int, queue.SimpleQueue[dict[str, Any]]] = {}
        self._guard = threading.Lock()
        self._next = 1
        self._is_lost = False
        self._is_discarded = False
        self._receiver: threading.Thread | None = None
        self.is_taken = False
        self.is_closed = False
        self._start_process(target, start)
        try:
            self.description = self._await_backtest(target)
        except BaseException:
            self.close()
            raise
        self._receiver = threading.Thread(target=self._receive, daemon=True, name="messages about trials")
        self._receiver.start()

    @property
    def process_id(self) -> int:
        """The id of the process."""
        return self._process.pid

    @property
    def has_ended(self) -> bool:
        """Whether the process runs no more trials."""
        return self._process.poll() is not None

    def send_trial(self, request: Mapping[str, Any]) -> int:
        """Start a trial; return the number of its messages. Raises OSError if the process has ended."""
        with self._guard:
            if self._is_lost:
                raise BrokenPipeError("the process has ended")
            number, self._next = self._next, self._next + 1
            self.inboxes[number] = queue.SimpleQueue()
            self._channel.send(run=number, **request)
        return number

    def forget_trial(self, number: int) -> None:
        """Take no more messages about a trial."""
        with self._guard:
            del self.inboxes[number]

    def kill_trial(self, number: int) -> None:
        """Kill a trial, if it still runs."""
        if not self.description.is_forked:
            kill_group(self._process.pid)
            return
        with self._guard, suppress(OSError):
            if not self._is_lost:
                self._channel.send(kill=number)

    def close(self) -> None:
        """End the process and its trials, which do not run again, and remove its files."""
        self.is_closed = True
        self.discard()

    def discard(self) -> None:
        """Remove what is left of a process that has ended by itself. Its trials may run again in another one."""
        with self._guard:
            if self._is_discarded:
                return
            self._is_discarded = True
            os.close(self._lifeline)
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            kill_group(self._process.pid)
            self._process.wait()
        if self._receiver is None:
            self._channel.close()
        else:
            self._receiver.join(5)
        self._work_folder.remove()

    # -- its start -----------------------------------------------------------------------------------------------

    def _start_process(self, target: RunnableTarget, start: str) -> None:
        requests, sending = os.pipe()
        receiving, replies = os.pipe()
        lifeline, self._lifeline = os.pipe()
        terminal = _terminal()
        inherited = [requests, replies, lifeline, *([] if terminal is None else [terminal])]
        command = [sys.executable, "-m", "lumibot_duckdb.sweeps.trials.server", str(self.folder), *map(str, inherited)]
        try:
            with (self.folder / OUTPUT).open("wb") as output:
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    cwd=target.folder,
                    env=_environment(target),
                    pass_fds=inherited,
                    start_new_session=True,
                )
        finally:
            for descriptor in inherited:
                os.close(descriptor)
        self._channel = Channel(receiving, sending)
        pickled = _pickled(target)
        with suppress(BrokenPipeError):  # it has ended, which `_await_backtest` reports
            self._channel.send(job=asdict(_job(target, start, len(pickled))))
            self._channel.send_bytes(pickled)

    def _await_backtest(self, target: RunnableTarget) -> TargetDescription:
        try:
            message = self._channel.receive_first()
        except EOFError:
            code = self._process.wait()
            kind = TargetKilledError if code < 0 else TargetError
            how = killed_by(code) if code < 0 else f"ended with code {code}"
            raise kind(f"{_name_of(target)} {how}, before its backtest", self._output()) from None
        if "broken" in message:
            raise _why_broken(target, **message["broken"])
        return _described(**message["ready"])

    def _output(self) -> str:
        from lumibot_duckdb.sweeps.trials.output import last_lines

        return "\n".join(last_lines(self.folder / OUTPUT, known_secrets(Path())))

    def _receive(self) -> None:
        """Pass messages to the trials that they are about, until the process ends; then tell them."""
        with suppress(EOFError, OSError):
            while True:
                for message in self._channel.receive():
                    number = next(message[kind] for kind in ("started", "value", "ended") if kind in message)
                    if (inbox := self.inboxes.get(number)) is not None:
                        inbox.put(message)
        code = self._process.wait()
        with self._guard:
            self._is_lost = True
            self._channel.close()
            for inbox in self.inboxes.values():
                inbox.put({"lost": code})


def _job(target: RunnableTarget, start: str, pickled: int) -> Job:
    settings = dict(target.environment)
    if target.store is not None:
        settings[ENVIRONMENT_VARIABLE] = str(store_path(target.store).absolute())
    if not isinstance(target, ScriptTarget):
        return Job(pickled=pickled, settings=settings, start=start)
    return Job(target.script, target.arguments, target.is_module, target.strategy, 0, settings, start)


def _environment(target: RunnableTarget) -> dict[str, str]:
    """Return the environment of a target. All its processes iterate over sets in the same order."""
    paths = {} if isinstance(target, ScriptTarget) else {"PYTHONPATH": search_path()}
    return {**os.environ, **paths, **target.environment, "PYTHONHASHSEED": hash_seed(target)}


def search_path() -> str:
    """Return where this process finds modules: the class of a target, and what it imports."""
    return os.pathsep.join(filter(None, sys.path))


def hash_seed(target: RunnableTarget) -> str:
    """Return the seed of hashes, which decides about the order of sets: that of the user, or 0."""
    chosen = {**os.environ, **target.environment}.get("PYTHONHASHSEED", "")
    return chosen if chosen.isdigit() else "0"


def _pickled(target: RunnableTarget) -> bytes:
    if isinstance(target, ScriptTarget):
        return b""
    if isinstance(target, PickledTarget):
        return target.content
    from lumibot_duckdb.sweeps.trials.pickling import pickled_backtest

    return pickled_backtest(target)


def _terminal() -> int | None:
    """Return a descriptor of the terminal on which progress is shown; None if there is none."""
    with suppress(OSError, ValueError, AttributeError):
        if sys.stderr.isatty():
            return os.dup(sys.stderr.fileno())
    return None


def _described(
    strategy: str, source: str, parameters: Mapping[str, Any], start: str | None, end: str | None, reason: str
) -> TargetDescription:
    first, last = (None if each is None else datetime.fromisoformat(each) for each in (start, end))
    return TargetDescription(strategy, source, parameters, first, last, not reason, reason)


def _name_of(target: RunnableTarget) -> str:
    if isinstance(target, ScriptTarget):
        return f"the script {target.script}"
    return target.name if isinstance(target, PickledTarget) else target.strategy.__name__


def _why_broken(target: RunnableTarget, *, message: str, details: str, seen: list[str], is_own: bool) -> TargetError:
    name = _name_of(target)
    if is_own:
        return TargetError(message, details)
    if message:
        return TargetError(f"{name} failed before its backtest: {message}", details)
    wanted = target.strategy if isinstance(target, ScriptTarget) else None
    if seen and wanted is not None:
        similar = get_close_matches(wanted, seen, n=1)
        hint = f"did you mean {similar[0]!r}?" if similar else f"it backtests {', '.join(dict.fromkeys(seen))}"
        return TargetError(f"{name} has no backtest of {wanted!r}; {hint}")
    return TargetError(_NO_BACKTEST.format(target=name))
