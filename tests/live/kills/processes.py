"""Starts `lumibot-duckdb record` in processes that a test may end at any moment."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

_PROGRAM = (sys.executable, "-m", "live.kills.record_process")
_PATHS = os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])


class Processes:
    """Starts recorders while it is entered: forks of one process, or new interpreters."""

    def __enter__(self) -> Processes:
        self._environment = {**os.environ, "PYTHONPATH": _PATHS, "LUMIBOT_DISABLE_DOTENV": "1"}
        self._parent = subprocess.Popen(
            _PROGRAM, env=self._environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._parent.kill()
        self._parent.communicate()

    def fork(self, call: dict[str, Any]) -> RecordProcess:
        """Run a command in a fork of a process that has imported what it needs."""
        return RecordProcess(self._asked(call), Path(call["log"]), self)

    def new(self, call: dict[str, Any]) -> RecordProcess:
        """Run a command in a new interpreter."""
        with Path(call["log"]).open("a") as log:
            started = subprocess.Popen(
                [*_PROGRAM, json.dumps(call)],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        return RecordProcess(started.pid, Path(call["log"]), started)

    def wait_for(self, pid: int) -> int:
        return self._asked(pid)

    def _asked(self, what: Any) -> int:
        assert self._parent.stdin is not None
        assert self._parent.stdout is not None
        print(json.dumps(what), file=self._parent.stdin, flush=True)
        return int(self._parent.stdout.readline())


@dataclass
class RecordProcess:
    """A process that records. Its exit code is minus the number of a signal that has ended it."""

    pid: int
    log: Path
    started_by: Processes | subprocess.Popen[bytes]
    signals: list[signal.Signals] = field(default_factory=list)
    code: int | None = None

    @property
    def is_running(self) -> bool:
        if self.code is not None:
            return False
        state = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state != "Z"  # ended, and not waited for

    def send(self, number: signal.Signals) -> None:
        self.signals.append(number)
        os.kill(self.pid, number)

    def wait(self) -> int:
        if self.code is None:
            started_by = self.started_by
            self.code = started_by.wait_for(self.pid) if isinstance(started_by, Processes) else started_by.wait()
        return self.code

    def end(self) -> None:
        """Kill it if it runs."""
        if self.code is None:
            os.kill(self.pid, signal.SIGKILL)
            self.wait()
