"""Trials on the workers of a Dask cluster."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from itertools import count
from typing import Any

from lumibot_duckdb.sweeps.engines.cluster import ClusterExecutor
from lumibot_duckdb.sweeps.engines.errors import EngineError

try:
    import distributed
except ImportError as error:
    raise EngineError(
        "the engine dask needs the package distributed: pip install 'lumibot-duckdb[dask]', here and on all workers"
    ) from error

from lumibot_duckdb.sweeps.engines.dask_plugin import EndWithSweep

CONNECT_SECONDS = 15.0
"""How long a scheduler may take to answer, and how long it may be without a worker."""


class DaskExecutor(ClusterExecutor):
    """Runs trials on the workers of the scheduler at an address. Raises `EngineError` if it does not answer."""

    def __init__(self, address: str, jobs: int | None = None) -> None:
        super().__init__(f"the Dask scheduler at {address}", jobs)
        self._client = self._connected(address)
        self._executor = self._client.get_executor(pure=False)
        self._numbers = count(1)
        self._identity: str | None = None
        self._content: Any = None
        try:
            self._client.wait_for_workers(1, timeout=CONNECT_SECONDS)
        except TimeoutError:
            self._client.close()
            raise EngineError(
                f"{self.place} has no workers: start some with `dask worker {address}` on the machines that shall run "
                "trials"
            ) from None

    def _connected(self, address: str) -> Any:
        try:
            return distributed.Client(address, timeout=CONNECT_SECONDS, set_as_default=False, name="lumibot-duckdb")
        except (OSError, ValueError) as error:
            raise EngineError(
                f"{self.place} does not answer within {CONNECT_SECONDS:g} seconds ({error}): check the address, the "
                "network, and that `dask scheduler` runs there"
            ) from None

    def capacity(self) -> int:
        """Return the number of threads of all workers. Each waits for a trial's process."""
        return sum(map(int, self._client.nthreads().values()))

    def begin(self, identity: str, content: bytes) -> Any:
        """Hold the content on the workers, and let them end the processes of the target with this sweep."""
        self._identity = identity
        self._client.register_plugin(EndWithSweep(identity))
        # As the result of a task, so that it is computed again if the worker that has it is lost.
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Sending large graph", UserWarning)  # frames may be large
            self._content = self._client.submit(bytes, content, pure=False)
        return self._content

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run a function on a worker."""
        key = EndWithSweep.key(self._identity or "", next(self._numbers))
        future: Future[Any] = self._executor.submit(fn, *args, key=key, **kwargs)
        return future

    def is_loss(self, error: BaseException) -> bool:
        """Return whether the scheduler gave up a trial, because several workers ended while they ran it."""
        return isinstance(error, distributed.scheduler.KilledWorker)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Leave the scheduler."""
        self._executor.shutdown(wait=False)
        if self._identity is not None and self._client.status == "running":
            with suppress(Exception):  # the scheduler may be lost; then each worker ends the processes itself
                self._client.unregister_worker_plugin(EndWithSweep.name_of(self._identity))
        self._identity = self._content = None
        self._client.close()
