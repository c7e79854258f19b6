"""Calls of blocking functions from a task, in threads that do not keep the process alive."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

Result = TypeVar("Result")


def in_daemon_thread(call: Callable[[], Result]) -> asyncio.Future[Result]:
    """Call a function in a thread. Unlike `asyncio.to_thread`, it cannot delay the end of the process."""
    outcome: Future[Result] = Future()
    outcome.set_running_or_notify_cancel()  # who stops waiting does not cancel it

    def run() -> None:
        try:
            result = call()
        except BaseException as error:
            outcome.set_exception(error)
        else:
            outcome.set_result(result)

    future = asyncio.wrap_future(outcome)
    threading.Thread(target=run, name="rest-reads", daemon=True).start()
    return future
