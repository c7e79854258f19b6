"""A process and all that it starts: nothing of it goes on after its end."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

_PATIENCE = 5.0
"""Seconds that an interrupted process has to end by itself."""


def run_as_group(
    command: Sequence[str],
    *,
    environment: Mapping[str, str],
    output: IO[str],
    pipe: int,
    folder: Path | None = None,
    patience: float = _PATIENCE,
) -> int:
    """Run a command in a group of its own, with nothing to read, and return its exit code.

    It is given the descriptor `pipe`, and works in `folder` (default: the present one). Whatever interrupts this, such
    as Ctrl-C, interrupts the group; what does not end then is killed, as is at the end of the command what it left
    running.
    """
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        pass_fds=(pipe,),
        start_new_session=True,
    )
    try:
        return process.wait()
    except BaseException:
        _signal_all(process, signal.SIGINT)
        with suppress(subprocess.TimeoutExpired, KeyboardInterrupt):
            process.wait(patience)
        raise
    finally:
        _signal_all(process, signal.SIGKILL)
        process.wait()


def _signal_all(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):  # they have all ended
        os.killpg(process.pid, number)
