"""Shows the steps of a comparison: how far each is and how long the rest will take, or plain text if nobody watches."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread
from time import perf_counter

from lumibot_duckdb.comparison.progress import Outlook, read_progress
from lumibot_duckdb.progress import duration

_REFRESH_SECONDS = 0.5
_PLAIN_SECONDS = 30.0
"""Seconds between two reports in plain text."""

Show = Callable[[float | None, float | None], None]
"""Shows how much of a run is done (0 to 1) and how many seconds are left, None if that is not known."""


class Shown:
    """A step that is shown. Call it with the outlook of the run that the step waits for."""

    def __init__(self, show: Show, pause: float) -> None:
        self._show = show
        self._pause = pause
        self._ended = Event()
        self._thread: Thread | None = None

    def __call__(self, outlook: Outlook) -> None:
        """Show the progress of a run from now on, until the step ends."""
        self._thread = Thread(target=self._follow, args=(outlook,), daemon=True, name="progress display")
        self._thread.start()

    def end(self) -> None:
        """Stop showing progress."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()

    def _follow(self, outlook: Outlook) -> None:
        started = perf_counter()
        while not self._ended.wait(self._pause):
            progress = read_progress(outlook.file)
            self._show(outlook.done(progress), outlook.seconds_left(progress, perf_counter() - started))


@contextmanager
def step(what: str) -> Iterator[Shown]:
    """Print a step when it starts, its progress while it runs, and its duration when it ends."""
    is_terminal = sys.stdout.isatty()
    display, line = (_in_terminal, f"  {what} ... ") if is_terminal else (_in_plain_text, "")
    started = perf_counter()
    try:
        with display(what) as shown:
            try:
                yield shown
            finally:
                shown.end()
    except BaseException:
        print(f"{line}stopped", flush=True)
        raise
    print(f"{line}{perf_counter() - started:,.1f} s", flush=True)


@contextmanager
def _in_plain_text(what: str) -> Iterator[Shown]:
    def show(done: float | None, left: float | None) -> None:
        if done is not None or left is not None:
            print(f"{_in_words(done, left)} ... ", end="", flush=True)

    print(f"  {what} ... ", end="", flush=True)
    yield Shown(show, _PLAIN_SECONDS)


@contextmanager
def _in_terminal(what: str) -> Iterator[Shown]:
    """Draw a bar, which disappears at the end."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("  {task.description}"), BarColumn(), TimeElapsedColumn(), TextColumn("{task.fields[rest]}"))
    with Progress(*columns, transient=True) as bar:
        task = bar.add_task(what, total=None, rest="")

        def show(done: float | None, left: float | None) -> None:
            bar.update(task, completed=done or 0.0, total=None if done is None else 1.0, rest=_in_words(done, left))

        yield Shown(show, _REFRESH_SECONDS)


def _in_words(done: float | None, left: float | None) -> str:
    percent = [] if done is None else [f"{100 * done:.0f} %"]
    return ", ".join([*percent, *([] if left is None else [f"about {duration(left)} left"])])
