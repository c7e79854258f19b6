"""Ends the processes of a sweep on the workers of Dask, when the sweep ends or is lost."""

from __future__ import annotations

import asyncio
from threading import Thread
from typing import Any

from distributed import WorkerPlugin

from lumibot_duckdb.sweeps.engines.worker import end_target

_PREFIX = "lumibot-duckdb-"


class EndWithSweep(WorkerPlugin):  # type: ignore[misc]  # an extra
    """A part of each worker while a sweep runs.

    The scheduler cancels the trials of a sweep that was killed, or lost its connection. Dask does not interrupt what
    runs already, so this does.
    """

    def __init__(self, identity: str) -> None:
        self.identity = identity
        self.name = self.name_of(identity)

    @staticmethod
    def name_of(identity: str) -> str:
        """Return the name of the plugin for a target."""
        return f"{_PREFIX}{identity}"

    @staticmethod
    def key(identity: str, number: int) -> str:
        """Return Dask's key of a trial."""
        return f"{_PREFIX}{identity}-{number}"

    def transition(self, key: Any, start: str, finish: str, **kwargs: Any) -> None:
        """End the processes when a trial that runs is cancelled."""
        if (
            start in ("executing", "long-running")
            and finish in ("released", "cancelled")
            and str(key).startswith(f"{self.name}-")
        ):
            Thread(target=end_target, args=(self.identity,), daemon=True).start()  # the worker must not wait for it

    async def teardown(self, worker: Any) -> None:
        """End the processes when the sweep or the worker ends."""
        await asyncio.to_thread(end_target, self.identity)
