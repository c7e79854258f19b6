"""Runs a script on both storages, once or several times, and compares the results."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean
from time import perf_counter

from lumibot_duckdb import clock
from lumibot_duckdb.comparison.changed_files import ChangedFiles
from lumibot_duckdb.comparison.differences import Comparison, Difference, Run, compare_runs, paired
from lumibot_duckdb.comparison.notes import (
    explain_difference,
    note_on_changed_files,
    note_on_varying_results,
    notes_on_comparison,
    notes_on_runs,
)
from lumibot_duckdb.comparison.outcome import DUCKDB, LUMIBOT, SIDES, Backtest
from lumibot_duckdb.comparison.progress import Outlook, progress_file
from lumibot_duckdb.comparison.runner import NAMES, RunError, Script, run_side

Step = Callable[[str], AbstractContextManager[Callable[[Outlook], None] | None]]
"""Reports the step that a `with` block carries out, and its progress if it yields a function that takes an outlook."""


class ScriptFailedError(RuntimeError):
    """A script failed on one side or on both. `notes` explain the failure."""

    def __init__(self, errors: list[RunError], note: str = "") -> None:
        super().__init__("; ".join(map(str, errors)))
        self.errors = errors
        self.notes = list(filter(None, dict.fromkeys([*(each for error in errors for each in error.notes), note])))


@dataclass(frozen=True)
class DifferingRun:
    """A run (`number` on `side`) that differs from the first run on the same side, and their first difference.

    `caused_by_script`: see `Comparison`.
    """

    side: str
    number: int
    difference: Difference
    caused_by_script: bool = False


@dataclass(frozen=True)
class Result:
    """The result. `lumibot` and `duckdb` are the measured runs; `reference` is the run that ours was compared with."""

    script: Path
    reference: Run
    lumibot: list[Run]
    duckdb: list[Run]
    comparison: Comparison
    differing_runs: list[DifferingRun] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def paired(self) -> list[tuple[Backtest, Backtest]]:
        """The pairs of backtests that were compared, without those that only one side has."""
        theirs, ours = self.reference.outcome.backtests, self.duckdb[0].outcome.backtests
        numbers = paired(theirs, ours)
        return [(theirs[one], ours[other]) for one, other in numbers if one is not None and other is not None]

    @property
    def uncovered(self) -> list[str]:
        """The sources of backtests that ran on Lumibot's own class on both sides."""
        backtests = self.duckdb[0].outcome.backtests
        return list(dict.fromkeys(backtest.source for backtest in backtests if not backtest.covered))

    @property
    def unchecked(self) -> list[str]:
        """The backtests that ran on the store on Lumibot's side as well."""
        return _names(backtest for backtest in self._lumibots_backtests if backtest.covered)

    @property
    def unfinished(self) -> list[str]:
        """The backtests that were still running on either side when the script ended."""
        ours = self.duckdb[0].outcome.backtests
        return _names(backtest for backtest in (*self._lumibots_backtests, *ours) if not backtest.ended)

    @property
    def compared(self) -> bool:
        """Whether any backtest ran on the store on our side, and none did on Lumibot's."""
        ours = self.duckdb[0].outcome.backtests
        return any(backtest.covered and backtest.ended for backtest in ours) and not self.unchecked

    @property
    def identical(self) -> bool:
        """Whether all backtests were compared, ended without an error, and had the same results in every run."""
        doubtful = self.differing_runs or self.unfinished or self.comparison.failures
        return self.compared and self.comparison.identical and not doubtful

    @property
    def _lumibots_backtests(self) -> list[Backtest]:
        return [backtest for run in (self.reference, *self.lumibot) for backtest in run.outcome.backtests]


def _names(backtests: Iterable[Backtest]) -> list[str]:
    return list(dict.fromkeys(backtest.name for backtest in backtests))


def compare_script(script: Script, folder: Path, step: Step, *, repeat: int = 1) -> Result:
    """Run a script on both sides `repeat` times each, in alternating order, and compare the results.

    If the store answers in place of the providers (`Script.stored_as_of`), Lumibot's side runs once more at the start,
    with an empty cache that is filled from the store. The results of that run are compared, and the costs are those of
    the later ones. Everything is written to `folder`. Raises `ScriptFailedError`.
    """
    leftovers = ChangedFiles(script.path, script.store)
    cache = {side: folder / f"cache-{side}" if script.stored_as_of is not None else None for side in SIDES}
    is_filled_first = script.stored_as_of is not None
    steps = _Steps(script, step, count=2 * repeat + is_filled_first)
    first = None
    if is_filled_first:
        try:
            what = f"on {NAMES[LUMIBOT]}, to fill its cache"
            first = steps.run(what, LUMIBOT, folder / "lumibot-first", cache[LUMIBOT])
        except RunError as error:
            raise ScriptFailedError([error]) from None
    runs: dict[str, list[Run]] = {side: [] for side in SIDES}
    for number in range(1, repeat + 1):
        errors = {}
        for side in SIDES if number % 2 else reversed(SIDES):  # neither side always runs on what the other has warmed
            what = f"on {NAMES[side]}" + (f", run {number} of {repeat}" if repeat > 1 else "")
            try:
                runs[side].append(steps.run(what, side, folder / f"{side}-{number}", cache[side]))
            except RunError as error:
                errors[side] = error
        if errors:
            another_ended = first is not None or any(runs.values())
            in_order = [errors[side] for side in SIDES if side in errors]
            raise ScriptFailedError(in_order, note_on_changed_files(leftovers.named()) if another_ended else "")
    for filled in filter(None, cache.values()):
        shutil.rmtree(filled, ignore_errors=True)
    reference = first or runs[LUMIBOT][0]
    left = leftovers.named()
    comparison = compare_runs(reference, runs[DUCKDB][0])
    result = Result(
        script=script.path,
        reference=reference,
        lumibot=runs[LUMIBOT],
        duckdb=runs[DUCKDB],
        comparison=comparison,
        differing_runs=[run for side in SIDES for run in _differing_runs(side, runs[side])],
        notes=[*notes_on_comparison(comparison), *notes_on_runs(first, runs, left)],
    )
    if any(run.caused_by_script for run in result.differing_runs):
        result.notes.append(note_on_varying_results(left))
    elif result.compared and not comparison.identical and script.stored_as_of is None:
        result.notes.append(_whose_difference(script, folder, step, reference, runs[DUCKDB][0], left))
    return result


class _Steps:
    """Runs a script `count` times, each as a step with its progress."""

    def __init__(self, script: Script, step: Step, count: int) -> None:
        self._script = script
        self._step = step
        self._left = count
        self._seconds: list[float] = []
        self._backtests: int | None = None

    def run(self, what: str, side: str, folder: Path, cache: Path | None) -> Run:
        """Run the script on a side. Raises `RunError` if it fails."""
        self._left -= 1
        usual = fmean(self._seconds) if self._seconds else None
        started = perf_counter()
        with self._step(what) as show:
            if show is not None:
                show(Outlook(progress_file(folder), self._backtests, usual, self._left))
            run = run_side(self._script, side, folder, cache)
        self._seconds.append(perf_counter() - started)
        self._backtests = len(run.outcome.backtests)
        return run


def _whose_difference(script: Script, folder: Path, step: Step, reference: Run, ours: Run, left: str) -> str:
    """Run Lumibot's side with an empty cache that is filled from the store, to explain a difference."""
    stored = replace(script, stored_as_of=clock.utc_now())
    with step(f"the results differ; on {NAMES[LUMIBOT]} with an empty cache, filled from the store"):
        try:
            fresh = run_side(stored, LUMIBOT, folder / "lumibot-fresh", folder / "cache-fresh")
        except RunError as error:
            tried = "To find the cause, the script was run on Lumibot with an empty cache, filled from the store, but"
            return " ".join([f"{tried} {error}.", *error.notes])
    return explain_difference(reference, fresh, ours, left)


def _differing_runs(side: str, runs: list[Run]) -> list[DifferingRun]:
    found = []
    for number, run in enumerate(runs[1:], start=2):
        comparison = compare_runs(runs[0], run)
        if not comparison.identical:
            found.append(DifferingRun(side, number, comparison.differences[0], comparison.caused_by_script))
    return found
