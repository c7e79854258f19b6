"""Runs a command together with every process that it starts: none of them outlives it."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

_GRACE_SECONDS = 5.0
"""How long an interrupted process may take to exit before it is killed."""


def run_as_group(
    command: Sequence[str],
    *,
    environment: Mapping[str, str],
    output: IO[str],
    input: IO[bytes] | None = None,
    pipe: int | None = None,
    notices: int | None = None,
    folder: Path | None = None,
    grace_seconds: float = _GRACE_SECONDS,
) -> int:
    """Run a command in a new process group and return its exit code.

    Its standard input is the open file `input`, or empty. The command inherits the descriptors `pipe` and `notices`, if
    given, and runs in `folder` (default: the current one). An exception in this process, such as Ctrl-C, interrupts the
    group, and processes that do not exit within `grace_seconds` are killed. Processes that the command leaves running
    are killed as well.
    """
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdin=input or subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        pass_fds=tuple(each for each in (pipe, notices) if each is not None),
        start_new_session=True,
    )
    try:
        return process.wait()
    except BaseException:
        _signal_all(process, signal.SIGINT)
        with suppress(subprocess.TimeoutExpired, KeyboardInterrupt):
            process.wait(grace_seconds)
        raise
    finally:
        _signal_all(process, signal.SIGKILL)
        process.wait()


def _signal_all(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):  # they have all ended
        os.killpg(process.pid, number)
