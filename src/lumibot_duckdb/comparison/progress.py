"""How far a run is: written to a file by the process that runs a script, and read by the one that waits for it."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from time import sleep

_PAUSE = 0.5
"""Seconds between two reports."""
_MIN_FRACTION = 0.02
"""The smallest part of a run from which its duration is estimated."""


@dataclass(frozen=True)
class Progress:
    """How many backtests of a run have ended, and how much of the current ones is done (0 to 1)."""

    ended: int = 0
    fraction: float = 0.0


@dataclass(frozen=True)
class Outlook:
    """What is known about a run when it starts.

    `file` is the one to which the run writes its progress. An earlier run of the same script had `backtests` backtests
    and took `usual` seconds; None if there was none. `later` runs follow.
    """

    file: Path
    backtests: int | None = None
    usual: float | None = None
    later: int = 0

    def done(self, progress: Progress) -> float | None:
        """Return how much of the run is done (0 to 1); None if the number of its backtests is not known."""
        if self.backtests is None and progress.ended:
            return None
        return min((progress.ended + progress.fraction) / max(self.backtests or 1, 1), 1.0)

    def seconds_left(self, progress: Progress, elapsed: float) -> float | None:
        """Return an estimate of the seconds until this run and the later ones have ended; None if there is none."""
        done = self.done(progress)
        if done is not None and done >= _MIN_FRACTION:
            whole = max(elapsed / done, elapsed)
        elif self.usual is not None:
            whole = max(self.usual, elapsed)
        else:
            return None
        return whole - elapsed + self.later * (whole if self.usual is None else self.usual)


class ProgressReport:
    """Writes the progress of this process to a file, in a thread, until the process ends."""

    def __init__(self, file: Path, current: Callable[[], Progress]) -> None:
        self._file = file
        self._current = current
        self._written = Progress()

    def start(self) -> None:
        """Start the thread."""
        Thread(target=self._run, daemon=True, name="progress").start()

    def _run(self) -> None:
        while True:
            sleep(_PAUSE)
            with suppress(Exception):  # a strategy that is being constructed; the next report will do
                self._write(self._current())

    def _write(self, progress: Progress) -> None:
        if progress == self._written:
            return
        part = self._file.with_suffix(".part")
        part.write_text(json.dumps([progress.ended, progress.fraction]))
        part.replace(self._file)
        self._written = progress


def progress_file(folder: Path) -> Path:
    """Return the file with the progress of a run whose recordings are in a folder."""
    return folder / "progress.json"


def read_progress(file: Path) -> Progress:
    """Return what a run last reported."""
    try:
        ended, fraction = json.loads(file.read_text())
    except (OSError, ValueError):
        return Progress()
    return Progress(ended, fraction)
