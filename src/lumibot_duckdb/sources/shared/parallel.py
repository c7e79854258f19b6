"""Several downloads at once, yielded in the order in which they finish."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Sequence
from queue import Empty, Full, Queue, SimpleQueue
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

_POLL_INTERVAL = 0.05  # seconds between two looks at whether the consumer has stopped


def as_they_finish(
    download: Callable[[Item], Result], items: Sequence[Item], *, workers: int, stop: threading.Event
) -> Generator[tuple[Item, Result | BaseException], None, None]:
    """Yield each item with its result, or with the exception that its download raised.

    At most `workers` results wait for the consumer; then the workers wait, too. Closing the generator sets `stop`, and
    no worker begins another item. The threads are daemons, because those of a `ThreadPoolExecutor` would keep the
    process alive after Ctrl-C until their downloads are complete.
    """
    todo: SimpleQueue[Item] = SimpleQueue()
    for item in items:
        todo.put(item)
    done: Queue[tuple[Item, Result | BaseException]] = Queue(maxsize=workers)

    def work() -> None:
        while not stop.is_set():
            try:
                item = todo.get_nowait()
            except Empty:
                return
            outcome: Result | BaseException
            try:
                outcome = download(item)
            except BaseException as error:  # raised by the consumer, which would wait forever for a dead worker
                outcome = error
            while not stop.is_set():
                try:
                    done.put((item, outcome), timeout=_POLL_INTERVAL)
                    break
                except Full:
                    continue

    try:
        for _ in range(min(workers, len(items))):
            threading.Thread(target=work, name="download", daemon=True).start()
        for _ in items:
            yield done.get()
    finally:
        stop.set()
