"""The last lines of `run --live`."""

from __future__ import annotations

import io
import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from lumibot_duckdb.cli.live_recording import print_at_the_end


class Signalled(io.RawIOBase):
    """A file whose first write is interrupted by a signal, which Python handles in the middle of it."""

    def __init__(self, path: Path) -> None:
        self.descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
        self.writes = 0

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self.descriptor

    def write(self, data: Any) -> int:
        self.writes += 1
        if self.writes == 1:
            signal.raise_signal(signal.SIGUSR1)
        return os.write(self.descriptor, data)


def test_the_last_lines_are_printed_while_the_program_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def end(number: int, frame: FrameType | None) -> None:
        print_at_the_end("lumibot-duckdb: 3 bars recorded")

    before = signal.signal(signal.SIGUSR1, end)
    try:
        file = Signalled(tmp_path / "errors")
        monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(io.BufferedWriter(file), line_buffering=True))
        print("a line of the program", file=sys.stderr)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert (tmp_path / "errors").read_text() == "lumibot-duckdb: 3 bars recorded\na line of the program\n"
