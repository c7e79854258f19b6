"""Lets Ctrl-C stop a long query.

DuckDB checks for Ctrl-C between the pieces of work of the calling thread, but not while it waits for its other
threads, so a query on two threads often cannot be stopped. Here the query runs in a separate thread, and the calling
thread waits where Python can be interrupted.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import TypeVar

import duckdb

Answer = TypeVar("Answer")

# Waits are short, since some Python shells report Ctrl-C without a signal that would end a wait.
_LOOK_SECONDS = 0.1
# An interrupt that comes before the query has begun is lost, so it is repeated until the query ends.
_REPEAT_SECONDS = 0.05


def interruptibly(duck: duckdb.DuckDBPyConnection, query: Callable[[], Answer]) -> Answer:
    """Return what `query`, which uses `duck`, returns; on Ctrl-C stop it first, then raise KeyboardInterrupt.

    Only the main thread is ever interrupted by Ctrl-C: in another one, `query` is called directly.
    """
    if threading.current_thread() is not threading.main_thread():
        return query()
    answer: Future[Answer] = Future()
    threading.Thread(target=_settle, args=(answer, query), name="lumibot-duckdb-query", daemon=True).start()
    try:
        while not answer.done():
            wait([answer], _LOOK_SECONDS)
    except KeyboardInterrupt:
        while not answer.done():
            duck.interrupt()
            wait([answer], _REPEAT_SECONDS)
        raise
    return answer.result()


def _settle(answer: Future[Answer], query: Callable[[], Answer]) -> None:
    try:
        answer.set_result(query())
    except BaseException as error:
        answer.set_exception(error)
