"""Trials on the workers of a Ray cluster."""

from __future__ import annotations

import logging
import signal
import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from lumibot_duckdb.sweeps.engines.cluster import ClusterExecutor
from lumibot_duckdb.sweeps.engines.errors import EngineError

try:
    import ray
except ImportError as error:
    raise EngineError(
        "the engine ray needs the package ray: pip install 'lumibot-duckdb[ray]', here and on all machines"
    ) from error

CONNECT_SECONDS = 15.0
"""How long the head of a cluster may take to answer."""
_STARTS_AGAIN = 3
"""How often a trial starts again whose worker is lost, as often as Dask does."""


class RayExecutor(ClusterExecutor):
    """Runs trials on a cluster, or on workers that Ray starts on this machine.

    Raises `EngineError` if the address does not answer. A connection that the process has already is used, and kept.
    """

    def __init__(self, address: str | None, jobs: int | None = None) -> None:
        super().__init__("Ray" if address is None else f"the Ray cluster at {address}", jobs)
        self._owns_connection = not ray.is_initialized()
        self._running: set[Any] = set()
        if self._owns_connection:
            self._connect(address, jobs)
        self._call = ray.remote(num_cpus=1, max_retries=_STARTS_AGAIN)(_called)

    def _connect(self, address: str | None, jobs: int | None) -> None:
        quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
        on_sigterm = signal.getsignal(signal.SIGTERM)
        try:
            if address is None:
                ray.init(address="local", num_cpus=jobs, include_dashboard=False, **quiet)
            else:
                _check_answers(address)
                ray.init(address=address, **quiet)
        except (OSError, ValueError, RuntimeError) as error:  # Ray's own errors are among them
            ray.shutdown()
            raise EngineError(
                f"{self.place} does not answer ({error}): check the address, the network, and that `ray start` has run "
                "on this and the other machines"
            ) from None
        finally:
            if threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGTERM, on_sigterm)  # Ray's handler would end a sweep without its message

    def capacity(self) -> int:
        """Return the number of CPUs of the cluster."""
        return int(ray.cluster_resources().get("CPU", 1))

    def begin(self, identity: str, content: bytes) -> Any:
        """Put the content where workers get it once. They end with this process, and what they have started, too."""
        return ray.put(content)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run a function on a worker."""
        task = self._call.remote(fn, *args, **kwargs)
        self._running.add(task)
        future: Future[Any] = task.future()
        future.add_done_callback(lambda _: self._running.discard(task))
        return future

    def is_loss(self, error: BaseException) -> bool:
        """Return whether Ray gave up a trial, because several workers ended while they ran it."""
        return isinstance(
            error, (ray.exceptions.WorkerCrashedError, ray.exceptions.NodeDiedError, ray.exceptions.OutOfMemoryError)
        )

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Leave the cluster, which ends the workers of this process."""
        running, self._running = self._running, set()
        for task in running:
            ray.cancel(task, force=True)
        if self._owns_connection:
            ray.shutdown()


def _called(fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    return fn(*args, **kwargs)


def _check_answers(address: str) -> None:
    """Raise OSError unless something answers at an address. Ray itself would wait for minutes."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()
