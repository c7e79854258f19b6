"""Several downloads at once, handed over in the order in which they arrive."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Sequence
from queue import Empty, Full, Queue, SimpleQueue
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

_LOOK_UP = 0.05  # seconds after which a worker whose consumer is slow looks whether there still is one


def as_they_arrive(
    download: Callable[[Item], Result], items: Sequence[Item], *, workers: int, stop: threading.Event
) -> Generator[tuple[Item, Result | BaseException], None, None]:
    """Yield each item with what `download` made of it, or with the exception that it raised.

    No more than `workers` finished downloads wait for the consumer; the workers wait then, too. When the consumer
    stops, `stop` is set, and no further item is begun. The threads end by themselves and never keep a process alive.
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
            except BaseException as error:  # the consumer raises it: a worker that died silently would be waited for
                outcome = error
            while not stop.is_set():
                try:
                    done.put((item, outcome), timeout=_LOOK_UP)
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
