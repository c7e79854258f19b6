"""What became of work that ends early, in the messages of Ctrl-C, a full disk, and a store that others hold."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from lumibot_duckdb.storage.errors import DiskFullError, StoreBusyError, StoreWriteError


class PartialWork:
    """Work in several transactions.

    Attributes:
        outcome: what it has changed by now and how to continue, such as "merged 3 of 8 series: merge again for the
            rest"; "" if nothing was changed yet.
    """

    def __init__(self) -> None:
        self.outcome = ""


@contextmanager
def partial_work(untouched: str) -> Iterator[PartialWork]:
    """Yield work that takes several transactions; what ends it early says what it has changed by then.

    A KeyboardInterrupt gets a message, `untouched` if nothing was changed. Set the outcome of a transaction inside
    `deferred()`, together with it: then no Ctrl-C comes in between.
    """
    work = PartialWork()
    try:
        yield work
    except KeyboardInterrupt as stop:
        raise KeyboardInterrupt(work.outcome or untouched) from stop
    except StoreWriteError as error:
        if not work.outcome:
            raise
        later = ", once there is space" if isinstance(error, DiskFullError) else ""
        cause = f"{error.cause.rstrip('. ')}. {_sentence(work.outcome)}"
        raise type(error)(cause + later, cause=cause) from error
    except StoreBusyError as error:
        if not work.outcome:
            raise
        raise StoreBusyError(f"{str(error).rstrip('. ')}. {_sentence(work.outcome)}") from error


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
