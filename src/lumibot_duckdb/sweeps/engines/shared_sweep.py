"""What a worker needs to know of a sweep, and what must be the same there as where the sweep runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from lumibot_duckdb.sweeps.engines.errors import WorkerError
from lumibot_duckdb.sweeps.engines.shared_store import SharedStore, shared_store
from lumibot_duckdb.sweeps.trials.target import (
    ClassTarget,
    PickledTarget,
    RunnableTarget,
    ScriptTarget,
    Target,
    TargetDescription,
)
from lumibot_duckdb.sweeps.trials.target_identity import digest_of
from lumibot_duckdb.sweeps.trials.target_process import hash_seed, search_path

_MOST_CHARACTERS = 80


@dataclass(frozen=True)
class SharedSweep:
    """A sweep as it travels to workers.

    Attributes:
        target: What is backtested, with the working folder of the sweep.
        description: The backtest, as the machine of the sweep has found it.
        digest: The digest of the script; None if it is not known.
        store: How a worker finds the store; None for the default one of each machine.
    """

    target: ScriptTarget | PickledTarget
    description: TargetDescription
    digest: str | None
    store: SharedStore | None

    def target_here(self, worker: str) -> RunnableTarget:
        """Return the target on this machine. Raises `WorkerError` if it is not there, or another one."""
        folder = self.target.folder
        if folder is not None and not folder.is_dir():
            raise WorkerError(
                f"{worker} has no folder {folder}: a sweep needs its working folder at the same path on all machines"
            )
        if isinstance(self.target, ScriptTarget) and not self.target.is_module:
            script = (folder or Path()) / self.target.script
            if not script.exists():
                raise WorkerError(
                    f"{worker} has no script {script}: copy the script and what it reads to the same path on all "
                    "machines, or use a shared folder"
                )
            if self.digest is not None and digest_of(self.target) != self.digest:
                raise WorkerError(f"{worker} has another {script}: copy the present script to all machines")
        if self.store is None:
            return self.target
        return replace(self.target, store=self.store.path_here(worker))


def shared_sweep(target: Target, description: TargetDescription) -> SharedSweep:
    """Return what workers need to know of a sweep. Raises `EngineError` if they cannot get its store."""
    store = None if target.store is None else shared_store(target.store)
    return SharedSweep(_travelling(target), description, digest_of(target), store)


def _travelling(target: Target) -> ScriptTarget | PickledTarget:
    """Return a target that means the same in a process with another working folder and other modules."""
    folder = (target.folder or Path()).absolute()
    seed = {"PYTHONHASHSEED": hash_seed(target)}
    if not isinstance(target, ClassTarget):
        return replace(target, folder=folder, environment={**target.environment, **seed})
    from lumibot_duckdb.sweeps.trials.pickling import pickled_backtest

    return PickledTarget(
        pickled_backtest(target),
        target.strategy.__name__,
        target.store,
        {"PYTHONPATH": search_path(), **target.environment, **seed},
        folder,
        target.identity,
    )


def difference(here: TargetDescription, there: TargetDescription) -> str:
    """Return in which respect a backtest differs from the one of a sweep; "" if it does not.

    Times of day do not count, because a script may end its backtest now.
    """
    for name in ("strategy", "source"):
        if getattr(here, name) != getattr(there, name):
            return f"the {name} is {getattr(there, name)!r}, and here {getattr(here, name)!r}"
    for name in ("start", "end"):
        ours, theirs = (time and time.date() for time in (getattr(here, name), getattr(there, name)))
        if ours != theirs:
            return f"its {name} is {theirs}, and here {ours}"
    return _first_difference(here.parameters, there.parameters)


def _first_difference(here: Mapping[str, object], there: Mapping[str, object]) -> str:
    for name in dict.fromkeys([*here, *there]):
        ours, theirs = (repr(each[name])[:_MOST_CHARACTERS] if name in each else "not there" for each in (here, there))
        if ours != theirs:
            return f"the parameter {name} is {theirs}, and here {ours}"
    return ""
