"""Where trials run: on this machine, or on the workers of a Dask or Ray cluster.

Each engine is an executor of `concurrent.futures`. Dask and Ray are imported only if they are chosen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

from lumibot_duckdb.sweeps.engines.cluster import ClusterExecutor
from lumibot_duckdb.sweeps.engines.local import local_executor
from lumibot_duckdb.sweeps.errors import SweepError
from lumibot_duckdb.sweeps.plan import usable_cpus

ENGINES = ("local", "dask", "ray")

OpenExecutor = Callable[[int], AbstractContextManager[Executor]]
"""Opens an executor for so many trials at a time."""


@dataclass(frozen=True)
class OpenEngine:
    """An engine that answers: how many trials it runs at a time, and what opens its executor."""

    jobs: int
    open_executor: OpenExecutor


@contextmanager
def open_engine(name: str = "local", address: str | None = None, jobs: int | None = None) -> Iterator[OpenEngine]:
    """Yield an engine, which is connected to its workers.

    Parameters:
        name: one of `ENGINES`.
        address: the scheduler of a cluster. Ray starts its own workers on this machine if there is none.
        jobs: how many trials run at a time; by default as many as the engine has CPUs.

    Raises:
        SweepError: there is no such engine, or it cannot be at the address.
        EngineError: the package is not installed, or the address does not answer, or has no workers.
    """
    if name == "local":
        check_choice(name, address)
        yield OpenEngine(jobs or usable_cpus(), local_executor)
        return
    with executor_for(name, address, jobs) as executor:
        yield OpenEngine(executor.jobs(), lambda _: nullcontext(executor))


def executor_for(name: str, address: str | None = None, jobs: int | None = None) -> ClusterExecutor:
    """Return the executor of a cluster. Raises as `open_engine`."""
    check_choice(name, address)
    if name == "dask":
        from lumibot_duckdb.sweeps.engines.dask_executor import DaskExecutor

        assert address is not None
        return DaskExecutor(address, jobs)
    from lumibot_duckdb.sweeps.engines.ray_executor import RayExecutor

    return RayExecutor(address, jobs)


def check_choice(name: str, address: str | None) -> None:
    """Raise `SweepError` if there is no such engine, or if it cannot be at the address."""
    if name not in ENGINES:
        raise SweepError(f"there is no engine {name!r}; choose one of {', '.join(ENGINES)}")
    if name == "local" and address is not None:
        raise SweepError(f"{address} is the address of a cluster: choose the engine, dask or ray, too (--engine)")
    if name == "dask" and address is None:
        raise SweepError(
            "name the address of Dask's scheduler, such as tcp://10.0.0.1:8786 (--address; `dask scheduler` prints it)"
        )
