"""A pseudo terminal in place of standard error, and what a user would see on it."""

from __future__ import annotations

import fcntl
import os
import re
import struct
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

import pytest

from lumibot_duckdb import progress

WIDTH = 100
_DRAWN = re.compile(r"\r([^\r\n\x1b]+)\x1b\[K")


class Terminal:
    """Everything that was written to a pseudo terminal."""

    def __init__(self) -> None:
        self._chunks: list[bytes] = []

    @property
    def written(self) -> str:
        return b"".join(self._chunks).decode()

    @property
    def drawn(self) -> list[str]:
        """The lines of progress, in the order in which they were drawn."""
        return _DRAWN.findall(self.written)

    def wait(self, text: str = "") -> None:
        """Wait until a line with a text was drawn since the call."""
        before, deadline = len(self.drawn), time.monotonic() + 10
        while not any(text in line for line in self.drawn[before:]):
            assert time.monotonic() < deadline, f"no line with {text!r} was drawn"
            time.sleep(0.002)

    @property
    def percentages(self) -> list[int]:
        """The percentages that were shown."""
        return [int(line.partition(" %")[0].split()[-1]) for line in self.drawn if " %" in line]

    @property
    def left(self) -> str:
        """What is left on the screen at the end."""
        lines, column = [""], 0
        text = self.written
        while text:
            if text.startswith("\x1b[K"):
                lines[-1], text = lines[-1][:column], text[3:]
                continue
            character, text = text[0], text[1:]
            if character == "\r":
                column = 0
            elif character == "\n":
                lines.append("")
                column = 0
            else:
                lines[-1] = lines[-1][:column] + character + lines[-1][column + 1 :]
                column += 1
        return "\n".join(lines)

    def read_from(self, descriptor: int) -> None:
        """Read until the other side is closed."""
        try:
            while chunk := os.read(descriptor, 65_536):
                self._chunks.append(chunk)
        except OSError:  # how Linux reports the end
            pass


@contextmanager
def terminal(monkeypatch: pytest.MonkeyPatch, *, at_once: bool = True) -> Iterator[Terminal]:
    """Let standard error be a terminal in a `with` block. Progress is shown from the start, with `at_once`."""
    reader, writer = os.openpty()
    fcntl.ioctl(writer, termios.TIOCSWINSZ, struct.pack("HHHH", 40, WIDTH, 0, 0))
    shown = Terminal()
    thread = Thread(target=shown.read_from, args=(reader,))
    thread.start()
    with monkeypatch.context() as patch:
        patch.setattr(progress, "_line", progress._Line())
        patch.setattr(progress, "_REDRAWN_AFTER", 0.005)
        patch.setattr(progress, "_ENDS_AFTER", 0.02)
        if at_once:
            patch.setattr(progress, "_SHOWN_AFTER", 0.0)
        patch.setenv("TERM", "xterm")
        with os.fdopen(writer, "w", encoding="utf-8") as stream:
            patch.setattr(sys, "stderr", stream)
            yield shown
    thread.join()
    os.close(reader)
