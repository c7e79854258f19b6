"""Shows how far long work is: one line on the terminal, with an estimate of the time that is left.

The line is drawn on standard error once the work has taken a second, and erased when the work ends, also by an error.
If standard error is not a terminal, nothing is written.

Only a carriage return and "erase to the end of the line" are used. So a process that is killed leaves the terminal as
it was, and Lumibot's own progress bar, which is redrawn in the same way, is never cut in two.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any

_SHOWN_AFTER = 1.0
"""Seconds of work after which the line appears."""
_REDRAWN_AFTER = 0.25
"""Seconds between two drawings of the line."""
_ENDS_AFTER = 5.0
"""Seconds without work after which the thread that draws ends."""
_MIN_FRACTION = 0.02
"""The smallest part of the work from which the rest is estimated."""
_BAR_CELLS = 24
_ERASE = "\x1b[K"


class Progress:
    """Work that is shown while a `with` block carries it out, if it takes long. Count in `done`, or call `advance`.

    Work inside other work is described by its own text; the bar is that of the outer one.

    Parameters:
        text: what is done. It may be changed in the meantime.
        total: the amount of work in any unit; None if it is not known.
        shown: False never shows it, nor any work inside it.
    """

    def __init__(self, text: str, total: float | None = None, *, shown: bool = True) -> None:
        self.text = text
        self.total = total
        self.done: float = 0
        self.shown = shown
        self.started = 0.0

    def __enter__(self) -> Progress:
        self.started = time.perf_counter()
        _line.add(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _line.remove(self)

    def advance(self, by: float = 1) -> None:
        """Count work that is done."""
        self.done += by

    def update(self, done: float, total: float) -> None:
        """Set how much is done of how much. It is what the storage calls with numbers of rows."""
        self.done, self.total = done, total

    @property
    def fraction(self) -> float | None:
        """How much is done, from 0 to 1; None if the total is not known."""
        return min(self.done / self.total, 1.0) if self.total else None


@contextmanager
def counting(total: int) -> Iterator[Progress]:
    """Let work in a `with` block be shown as part of `total` steps. The block itself does not count as work.

    Set `done` to the number of steps before the current one.
    """
    steps = Progress("", total)
    steps.started = time.perf_counter()
    _line.steps.append(steps)
    try:
        yield steps
    finally:
        _line.steps.remove(steps)


def duration(seconds: float) -> str:
    """Return a duration in words, e.g. "40 s" or "2 min"."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6_000 else f"{seconds / 3_600:.1f} h"


class _Line:
    """The line on the terminal, which all threads of the process share.

    It appears after a second of work. Much short work, one after another, counts together: `_busy` rises while there is
    work and falls while there is none. So loading five hundred series is shown, and loading one now and then is not.
    """

    def __init__(self) -> None:
        self.steps: list[Progress] = []
        self._lock = threading.RLock()
        self._work: list[Progress] = []
        self._busy = 0.0
        self._changed_at = 0.0  # when work began, or ended
        self._began = 0.0  # when the first of the current work after another began, and how much of it has ended
        self._ended = 0
        self._drawn = False
        self._drawer: threading.Thread | None = None
        self._before_logs = False
        self._usual_factory: Callable[..., logging.LogRecord] = logging.LogRecord

    def add(self, work: Progress) -> None:
        if not _is_terminal():
            return
        with self._lock:
            if not self._work:
                now = time.perf_counter()
                self._busy = max(self._busy - (now - self._changed_at), 0.0)
                self._changed_at = now
                if not self._busy:
                    self._began, self._ended = now, 0
            self._work.append(work)
            self._draw()
            if self._drawer is None or not self._drawer.is_alive():
                self._drawer = threading.Thread(target=self._keep_drawing, daemon=True, name="progress")
                self._drawer.start()

    def remove(self, work: Progress) -> None:
        if work not in self._work:  # there was no terminal
            return
        with self._lock:
            self._work.remove(work)
            if not self._work:
                now = time.perf_counter()
                self._busy = min(self._busy + now - self._changed_at, 2 * _SHOWN_AFTER)
                self._changed_at = now
                self._ended += 1
                self._erase()

    def _keep_drawing(self) -> None:
        while True:
            time.sleep(_REDRAWN_AFTER)
            with self._lock:
                idle = not self._work and time.perf_counter() - self._changed_at > _ENDS_AFTER
                if idle or threading.current_thread() is not self._drawer:
                    self._drawer = None if idle else self._drawer
                    return
                self._draw()

    def _draw(self) -> None:
        now = time.perf_counter()
        if not self._work or self._busy + now - self._changed_at < _SHOWN_AFTER:
            return
        if all(work.shown for work in self._work):
            self._write("\r" + _drawing(self.steps, self._work, self._ended, self._began, now) + _ERASE)
            if not self._drawn:
                self._drawn = True
                self._erase_before_logs()

    def _erase(self) -> None:
        if not self._drawn:
            return
        self._write("\r" + _ERASE)
        self._drawn = False
        if logging.getLogRecordFactory() == self._make_record:  # else another program part has wrapped it
            logging.setLogRecordFactory(self._usual_factory)
            self._before_logs = False

    def _erase_before_logs(self) -> None:
        """Erase the line before anything is logged, so that no message continues it."""
        if not self._before_logs:
            self._usual_factory = logging.getLogRecordFactory()
            logging.setLogRecordFactory(self._make_record)
            self._before_logs = True

    def _make_record(self, *args: Any, **kwargs: Any) -> logging.LogRecord:
        with self._lock:
            self._erase()
        return self._usual_factory(*args, **kwargs)

    def _write(self, text: str) -> None:
        with suppress(OSError, ValueError):  # the terminal is gone, which the work itself will notice
            sys.stderr.write(text)
            sys.stderr.flush()

    def forget(self) -> None:
        """Leave the line to the parent process, in a process that was forked."""
        self._lock = threading.RLock()
        self.steps, self._work, self._drawn, self._drawer = [], [], False, None


def _is_terminal() -> bool:
    return sys.stderr is not None and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


def _drawing(steps: Sequence[Progress], work: Sequence[Progress], ended: int, began: float, now: float) -> str:
    """Return the line: a text, a bar if the total of the work is known, the time so far, and an estimate.

    `ended` pieces of work came just before; the first one began at the time `began`.
    """
    text = work[-1].text
    outer = next((each for each in (*steps, *work) if each.total), work[0])
    fraction = outer.fraction
    if outer in steps and outer.total:
        text = f"{min(int(outer.done) + 1, int(outer.total))} of {int(outer.total)}: {text}"
        fraction = min((outer.done + (work[-1].fraction or 0.0)) / outer.total, 1.0)
    elif ended:
        text = f"#{ended + 1} {text}"
    elapsed = now - outer.started
    minutes, seconds = divmod(int(now - began if ended and outer not in steps else elapsed), 60)
    rest = f"{minutes}:{seconds:02}"
    if fraction is not None:
        rest = f"{_bar(fraction)} {100 * fraction:3.0f} %  {rest}"
        if fraction >= _MIN_FRACTION:
            rest += f", about {duration(elapsed * (1 - fraction) / fraction)} left"
    return f"{_cut(text, _width() - len(rest) - 3)}  {rest}"


def _bar(fraction: float) -> str:
    full, empty = ("█", "░") if "utf" in (getattr(sys.stderr, "encoding", None) or "").lower() else ("#", ".")
    filled = int(fraction * _BAR_CELLS)
    return full * filled + empty * (_BAR_CELLS - filled)


def _cut(text: str, cells: int) -> str:
    """Return a text that fits into so many cells of the terminal."""
    from rich.cells import cell_len, set_cell_size

    return text if cell_len(text) <= cells else set_cell_size(text, max(cells - 3, 0)) + "..."[: max(cells, 0)]


def _width() -> int:
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or 80
    except (OSError, ValueError):
        return 80


_line = _Line()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_line.forget)
