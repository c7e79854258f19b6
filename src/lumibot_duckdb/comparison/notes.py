"""What a person should know of a comparison: where a difference comes from, and what the numbers have in them.

`left` names the files that runs left to the next ones, as `Leftovers.named` does; "" if there are none.
"""

from __future__ import annotations

from lumibot_duckdb.comparison.differences import Comparison, Run, compare_runs
from lumibot_duckdb.comparison.outcome import DUCKDB, LUMIBOT, SIDES
from lumibot_duckdb.comparison.runner import notes_on_the_store


def said_of_a_difference(reference: Run, fresh: Run, ours: Run, left: str = "") -> str:
    """Say where a difference comes from, given what Lumibot does on an empty cache that is filled from the store."""
    is_ours = compare_runs(fresh, ours).identical
    if is_ours and not left:
        return OF_CACHES
    itself = compare_runs(reference, fresh)
    if is_ours:
        return f"{said_of_files(left)} Otherwise: {OF_CACHES}" if itself.by_the_script else OF_CACHES
    if itself.by_the_script:
        return f"{run_to_run(left)} Two runs on Lumibot's storage: {_in_short(itself)}"
    also = "Lumibot differs from lumibot-duckdb also when its cache is empty and is filled from the store"
    if itself.identical:
        return f"{also}, and gives the same as before then."
    return (
        f"{also}, but from its own first run as well: {_in_short(itself)} Its cache may have other bars than the "
        "store, or the script may differ from run to run; --repeat 2 shows which."
    )


OF_CACHES = (
    "Lumibot gives exactly what lumibot-duckdb gives when its cache is empty and is filled from the store. So either "
    "its own cache has other bars than the store, or Lumibot reads its cache otherwise than it reads a download. "
    "docs/parity.md lists where it does; --from-cache compares without that."
)


def run_to_run(left: str) -> str:
    """Say that a script does otherwise each time, and what may be why."""
    said = (
        "The script differs from run to run on the same storage, so this says nothing about storages.",
        said_of_files(left),
        "Let it draw the same at random each time (a seed), and leave the time out of names; --repeat 2 shows whether "
        "it repeats itself.",
    )
    return " ".join(filter(None, said))


def said_of_files(left: str) -> str:
    """Say what it means that runs left files to the next ones; "" if they left none."""
    if not left:
        return ""
    return (
        f"The script left, changed or deleted files, and its next runs found them so: {left}. If it goes by them, that "
        "is why: let it begin without them each time."
    )


def _in_short(comparison: Comparison) -> str:
    first = comparison.differences[0]
    where = ", ".join(filter(None, [first.when, first.subject, first.place]))
    return f"{where} was {first.left} and became {first.right}."


def notes_on_comparison(comparison: Comparison) -> list[str]:
    """Return what a person should know of what was compared."""
    notes = []
    if comparison.idle:
        notes.append(
            f"{', '.join(comparison.idle)} asked for no bars, prices or quotes, and no order was filled: of that, only "
            "portfolio values were there to compare."
        )
    if comparison.reordered:
        times = "one time" if comparison.reordered == 1 else f"{comparison.reordered:,} times"
        notes.append(
            f"At {times} of a backtest the strategy asked for the same in another order, as threads do. The answers "
            "were compared question by question."
        )
    if comparison.failures and not comparison.identical:
        failures = "; ".join(f"{name}: {failure}" for name, failure in comparison.failures)
        notes.append(f"Stopped by an error on Lumibot's storage: {failures}")
    return notes


def notes_on_runs(first: Run | None, runs: dict[str, list[Run]], left: str) -> list[str]:
    """Return what a person should know of the runs; `first` is the one that filled Lumibot's cache, if any."""
    notes = []
    if first is not None and not (own := compare_runs(first, runs[LUMIBOT][0])).identical:
        notes.append(
            f"{run_to_run(left)} Two runs on Lumibot's storage: {_in_short(own)}"
            if own.by_the_script
            else "Lumibot does not give on its filled cache what it gave on the empty one, which is what was compared: "
            f"{_in_short(own)} If the script may differ from run to run, --repeat 2 shows it."
        )
    notes += notes_on_the_store(
        runs[DUCKDB][0].outcome.not_stored or (first.outcome.not_stored if first is not None else [])
    )
    if first is not None:
        notes.append(
            "On disk, Lumibot's side has what this script asked for, since its cache began empty; the store has all of "
            "yours."
        )
    asked = {side: sum(runs[side][-1].outcome.costs.requests.values()) for side in SIDES}
    if first is None and any(asked.values()):
        notes.append(
            f"The times include requests: Lumibot's storage made {asked[LUMIBOT]:,}, lumibot-duckdb {asked[DUCKDB]:,}. "
            "Compare again for times on what is stored by now."
        )
    return notes
