"""Passes notices from the process that runs a script to the user, while the script runs."""

from __future__ import annotations

import os
from collections.abc import Callable
from threading import Thread

from lumibot_duckdb.activation import unserved
from lumibot_duckdb.sources.shared import lifecycle
from lumibot_duckdb.sources.shared.telemetry import log_backtest

_GRACE_SECONDS = 2.0
"""How long to wait for the end of the pipe, which a process that left its script's group may keep open."""


class NoticeReader:
    """Shows the lines that a process writes to `pipe` as soon as they arrive."""

    def __init__(self, show: Callable[[str], object]) -> None:
        self._show = show
        read_end, self.pipe = os.pipe()
        self._thread = Thread(target=self._read, args=(read_end,), daemon=True, name="notices")
        self._thread.start()

    def end(self) -> None:
        """Wait for the last line. Call this when the process has ended."""
        os.close(self.pipe)
        self._thread.join(_GRACE_SECONDS)

    def _read(self, read_end: int) -> None:
        with os.fdopen(read_end, encoding="utf-8", errors="replace") as lines:
            for line in lines:
                self._show(line.rstrip("\n"))


def send_notices(pipe: int) -> None:
    """Write a line to the pipe before each backtest on a source that is not served, on either side."""
    os.set_inheritable(pipe, False)

    def send(line: str) -> None:
        try:
            os.write(pipe, f"{line}\n".encode())
        except OSError:
            return  # the reader has gone, or the script has closed the pipe

    unserved.report_through(send)
    lifecycle.report_starts(unserved.report_sources)
    lifecycle.track_traders(log_backtest, cheaper_steps=False)  # this is Lumibot's side, too
