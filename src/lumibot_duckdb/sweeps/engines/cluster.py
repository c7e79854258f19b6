"""What the executors of clusters have in common."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from concurrent.futures import Executor, Future
from time import monotonic
from typing import Any

_COUNT_SECONDS = 2.0
"""How often workers are counted."""


class ClusterExecutor(Executor):
    """Runs functions on the workers of a cluster. A function whose worker is lost runs again on another.

    `place` names the cluster in messages. `jobs` is how many trials run at a time; None for as many as the workers can.
    """

    def __init__(self, place: str, jobs: int | None) -> None:
        self.place = place
        self._jobs = jobs
        self._capacity = 1
        self._counted = -_COUNT_SECONDS

    def jobs(self) -> int:
        """Return how many trials run at a time. Workers may come and go."""
        if self._jobs is not None:
            return self._jobs
        if monotonic() - self._counted >= _COUNT_SECONDS:
            self._capacity, self._counted = max(self.capacity(), 1), monotonic()
        return self._capacity

    @abstractmethod
    def capacity(self) -> int:
        """Return how many trials the workers can run at a time."""

    @abstractmethod
    def begin(self, identity: str, content: bytes) -> Any:
        """Begin a sweep. The result stands for its content among the arguments of `submit`, and travels only once.

        `identity` is that of the target whose processes end on all workers with `shutdown`, or with this process.
        """

    @abstractmethod
    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run a function on a worker."""

    @abstractmethod
    def is_loss(self, error: BaseException) -> bool:
        """Return whether an error says that the workers of one function were lost again and again."""

    @abstractmethod
    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Leave the cluster: trials that still run are killed, and the processes of the sweep end on all workers."""
