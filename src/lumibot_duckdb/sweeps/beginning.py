"""Begins a sweep in the results database, or continues one that was interrupted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from itertools import count

from lumibot_duckdb import clock
from lumibot_duckdb.comparison.versions import versions_of_run
from lumibot_duckdb.results.database import ResultsDatabase
from lumibot_duckdb.results.errors import SweepExistsError
from lumibot_duckdb.results.names import check_name as check_usable
from lumibot_duckdb.results.records import SweepRecord, TrialRecord
from lumibot_duckdb.sweeps.errors import SweepError, SweepRunningError
from lumibot_duckdb.sweeps.examination import Examination
from lumibot_duckdb.sweeps.plan import SweepPlan
from lumibot_duckdb.sweeps.resuming import check_unchanged
from lumibot_duckdb.sweeps.sweep_lock import sweep_lock
from lumibot_duckdb.sweeps.trials.target_identity import arguments_of, command_of, digest_of


@dataclass(frozen=True)
class Begun:
    """A sweep whose name is taken, and what an earlier run has stored of it.

    Attributes:
        database: The results.
        record: The record of the sweep. Its `as_of` is None until the sweep is stored.
        stored: The trials that an earlier run has stored, by their numbers.
        is_resumed: Whether an earlier run has begun it.
    """

    database: ResultsDatabase
    record: SweepRecord
    stored: Mapping[int, TrialRecord]
    is_resumed: bool


def check_name(plan: SweepPlan, *, resume: bool) -> None:
    """Raise what `begun` raises for the name of a sweep, before the script runs, which takes seconds."""
    if plan.name is None:
        if resume:
            raise SweepError("which sweep shall be resumed? Add its name (--name NAME, name=... in Python)")
        return
    check_usable(plan.name)
    database = ResultsDatabase(plan.results)
    if resume:
        database.sweep(plan.name)
    else:
        _check_free(plan.name, database)


def _check_free(name: str, database: ResultsDatabase) -> None:
    if database.has_sweep(name):
        raise SweepExistsError(
            f"there is a sweep {name} in {database.path} already: choose another name (--name), continue it "
            "(--resume), or delete it first (lumibot-duckdb results delete)"
        )


@contextmanager
def begun(plan: SweepPlan, examination: Examination, *, resume: bool) -> Iterator[Begun]:
    """Yield a sweep with a name that no other process can take in the `with` block.

    Raises:
        SweepExistsError: there is a sweep of that name, and it is not to be resumed.
        SweepNotFoundError: there is no sweep of that name to resume.
        SweepRunningError: another process runs the sweep.
        ChangedSweepError: the sweep was begun with another space, script or settings.
    """
    database = ResultsDatabase(plan.results)
    with ExitStack() as stack:
        name = _taken_name(stack, plan, database, resume=resume)
        record = sweep_record(plan, examination, name)
        if not resume:
            yield Begun(database, record, {}, is_resumed=False)
            return
        earlier = database.sweep(name).record
        check_unchanged(earlier, record)
        extended = {**earlier.settings, "trials": record.settings["trials"]}
        yield Begun(database, replace(earlier, settings=extended), database.records(name), is_resumed=True)


def _taken_name(stack: ExitStack, plan: SweepPlan, database: ResultsDatabase, *, resume: bool) -> str:
    """Return the name of the sweep, locked on the stack."""
    if plan.name is not None:
        stack.enter_context(sweep_lock(plan.results, plan.name))
        if not resume:
            _check_free(plan.name, database)
        return plan.name
    for number in count(1):
        name = f"{plan.base_name}-{number}"
        try:
            lock = ExitStack()
            lock.enter_context(sweep_lock(plan.results, name))
        except SweepRunningError:
            continue
        if not database.has_sweep(name):
            stack.push(lock)
            return name
        lock.close()
    raise AssertionError("count() does not end")


def sweep_record(plan: SweepPlan, examination: Examination, name: str) -> SweepRecord:
    """Return the record of a sweep that begins now."""
    return SweepRecord(
        name=name,
        strategy=examination.description.strategy,
        script=command_of(plan.target),
        space=plan.space.as_json(),
        settings={
            "objective": plan.objective.name,
            "direction": plan.objective.direction,
            **plan.search.as_json(),
            "walk_forward": None if plan.walk_forward is None else str(plan.walk_forward),
            "digest": digest_of(plan.target),
            "arguments": dict(arguments_of(plan.target)),
            "engine": plan.engine,
            "jobs": plan.jobs,
            "timeout": plan.limits.seconds,
            "memory": plan.limits.memory,
        },
        started=clock.utc_now(),
        as_of=None,
        store=str(plan.store),
        versions=versions_of_run(),
    )
