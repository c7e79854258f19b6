"""Notes on a comparison: the likely cause of a difference, and what the numbers include.

`left` names the files that runs changed and the next runs found, from `ChangedFiles.named`; "" if there are none.
"""

from __future__ import annotations

from lumibot_duckdb.comparison.differences import Comparison, Run, compare_runs
from lumibot_duckdb.comparison.outcome import DUCKDB, LUMIBOT, SIDES
from lumibot_duckdb.comparison.runner import NAMES, notes_on_store

_LONG_WAIT = 1.0
"""Seconds that a run must have waited, and the ratio to its CPU time, before a note is written."""
_LONG_WAIT_RATIO = 0.5


def explain_difference(reference: Run, fresh: Run, ours: Run, left: str = "") -> str:
    """Return the likely cause of a difference. `fresh` is Lumibot's run with an empty cache, filled from the store."""
    is_ours = compare_runs(fresh, ours).identical
    if is_ours and not left:
        return CACHES_DIFFER
    itself = compare_runs(reference, fresh)
    if is_ours:
        return f"{note_on_changed_files(left)} Otherwise: {CACHES_DIFFER}" if itself.caused_by_script else CACHES_DIFFER
    if itself.caused_by_script:
        return f"{note_on_varying_results(left)} Two runs on Lumibot's storage: {_brief(itself)}"
    also = "Lumibot's results still differ from lumibot-duckdb's if its cache starts empty and is filled from the store"
    if itself.identical:
        return f"{also}, and equal those of its own first run."
    return (
        f"{also}, and from those of its own first run: {_brief(itself)} Either its cache has different bars than the "
        "store, or the script's results vary between runs; --repeat 2 shows which."
    )


CACHES_DIFFER = (
    "If Lumibot's cache starts empty and is filled from the store, its results are identical to lumibot-duckdb's. So "
    "either your cache has different bars than the store, or Lumibot reads bars from its cache differently than from a "
    "download. docs/parity.md lists such cases; --from-cache compares without them."
)


def note_on_varying_results(left: str) -> str:
    """Return a note that a script's results vary between runs, with likely causes."""
    sentences = (
        "The script's results vary between runs on the same storage, so this difference says nothing about the "
        "storages.",
        note_on_changed_files(left),
        "Set a random seed and keep the current time out of names; --repeat 2 shows whether the results are then the "
        "same.",
    )
    return " ".join(filter(None, sentences))


def note_on_changed_files(left: str) -> str:
    """Return a note on files that runs changed; "" if there are none."""
    if not left:
        return ""
    return (
        f"The script created, changed or deleted files that its next runs found: {left}. If the script uses them, they "
        "explain the difference: let each run start without them."
    )


def _brief(comparison: Comparison) -> str:
    first = comparison.differences[0]
    where = ", ".join(filter(None, [first.when, first.subject, first.place]))
    return f"{where} was {first.left} and became {first.right}."


def notes_on_comparison(comparison: Comparison) -> list[str]:
    """Return notes on what was compared."""
    notes = []
    if comparison.idle:
        notes.append(
            f"{', '.join(comparison.idle)} requested no bars, prices or quotes, and filled no order, so only portfolio "
            "values were compared."
        )
    if comparison.reordered:
        times = "one time" if comparison.reordered == 1 else f"{comparison.reordered:,} times"
        notes.append(
            f"At {times} of a backtest the strategy made the same requests in a different order, as threads do. The "
            "answers were matched by request."
        )
    if comparison.failures and not comparison.identical:
        failures = "; ".join(f"{name}: {failure}" for name, failure in comparison.failures)
        notes.append(f"Stopped by an error on Lumibot's storage: {failures}")
    return notes


def notes_on_runs(first: Run | None, runs: dict[str, list[Run]], left: str) -> list[str]:
    """Return notes on the runs. `first` is the run that filled Lumibot's cache, if there was one."""
    notes = []
    if first is not None and not (own := compare_runs(first, runs[LUMIBOT][0])).identical:
        notes.append(
            f"{note_on_varying_results(left)} Two runs on Lumibot's storage: {_brief(own)}"
            if own.caused_by_script
            else "Lumibot's results with its filled cache differ from those with the empty cache, which were compared: "
            f"{_brief(own)} --repeat 2 shows whether the script's results vary between runs."
        )
    notes += notes_on_store(
        runs[DUCKDB][0].outcome.not_stored or (first.outcome.not_stored if first is not None else [])
    )
    if first is not None:
        notes.append(
            "Sizes on disk: Lumibot's cache started empty and holds only what this script requested; the store holds "
            "all of your bars."
        )
    requests = {side: sum(runs[side][-1].outcome.costs.requests.values()) for side in SIDES}
    if first is None and any(requests.values()):
        notes.append(
            f"The times include downloads: Lumibot's storage made {requests[LUMIBOT]:,} requests, lumibot-duckdb "
            f"{requests[DUCKDB]:,}. Compare again to measure without them."
        )
    return [*notes, *_notes_on_waiting(runs)]


def _notes_on_waiting(runs: dict[str, list[Run]]) -> list[str]:
    """Return a note if any run took much longer than the CPU time that it used."""
    waited = []
    for side in SIDES:
        costs = [run.outcome.costs for run in runs[side]]
        longest = max(costs, key=lambda each: each.seconds - each.cpu_seconds)
        if longest.seconds - longest.cpu_seconds > max(_LONG_WAIT, longest.cpu_seconds * _LONG_WAIT_RATIO):
            waited.append(f"{NAMES[side]} took {longest.seconds:,.1f} s with {longest.cpu_seconds:,.1f} s of CPU")
    if not waited:
        return []
    return [
        f"{'; '.join(waited)}. The rest was waiting for downloads, the disk, or a CPU that other programs used. "
        "Compare the CPU times, or measure again on an idle machine."
    ]
