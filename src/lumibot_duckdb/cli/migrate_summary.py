"""What `lumibot-duckdb migrate` prints: the plan, the outcome of each file, and the next steps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lumibot_duckdb.cli.layout import count, printable, size, table
from lumibot_duckdb.migration.plan import LeftAlone, Plan
from lumibot_duckdb.migration.run import Ending, Outcome

FILES_NAMED = 20
_HERE = (Ending.MIGRATED, Ending.ALREADY_HERE)
_NOT_WELL = (Ending.UNREADABLE, Ending.CONFLICT, Ending.UNVERIFIED, Ending.FAILED, Ending.WAITING)
_ALIKE = 3
"""Up to this many files with the same reason are listed one by one; of a larger group, only the first is named."""

_TITLES = {
    Ending.FAILED: "Failed because of an error in lumibot-duckdb (please report it):",
    Ending.UNVERIFIED: "Not verified, because the store returns something else:",
    Ending.CONFLICT: "In conflict with the store, which is unchanged:",
    Ending.UNREADABLE: "Cannot be read:",
    Ending.WAITING: "Not migrated yet:",
    Ending.LEFT_ALONE: "Not migrated:",
}

_NEXT_STEPS = """\
Next, run a script on these bars, or compare the results with Lumibot's first:
  lumibot-duckdb run my_strategy.py
  lumibot-duckdb compare --from-cache my_strategy.py
`lumibot-duckdb status` shows which bars are in the store."""


def is_complete(plan: Plan, outcomes: Sequence[Outcome]) -> bool:
    """Return whether everything that can be migrated is, or would be, in the store."""
    unknown = any(each.unknown for each in plan.left_alone)
    return not unknown and not any(outcome.ending in _NOT_WELL or outcome.damaged for outcome in outcomes)


def forecast(plan: Plan, outcomes: Sequence[Outcome], every: bool) -> str:
    """Return the report of a dry run."""
    parts = [_forecast_table(plan, outcomes), *_lists(plan, outcomes, every)]
    new, rows, here, others = _foreseen(outcomes)
    parts.append(
        f"{new:,} of {count(plan.files, 'file')} ({size(plan.bytes)}) would be migrated"
        + (f", {others:,} not" if others else "")
        + f": {count(rows, 'row')}."
        + (f" {here:,} in the store already." if here else "")
        + " Nothing was written."
    )
    return "\n\n".join(part for part in parts if part)


def summary(plan: Plan, outcomes: Sequence[Outcome], every: bool) -> str:
    """Return the report of a run."""
    parts = [_table(plan, outcomes), *_lists(plan, outcomes, every), _totals(outcomes)]
    if any(outcome.ending in _HERE for outcome in outcomes):
        parts.append(_NEXT_STEPS)
    return "\n\n".join(part for part in parts if part)


def nothing_found(plan: Plan, every: bool) -> str:
    """Return the report on a folder without a file to migrate."""
    parts = [_left_alone(plan.left_alone, every), f"There is nothing to migrate in {plan.folder}."]
    return "\n\n".join(part for part in parts if part)


def _foreseen(outcomes: Sequence[Outcome]) -> tuple[int, int, int, int]:
    """Return the number of files to migrate, their new rows, the files already stored, and the files that are not."""
    new = [outcome for outcome in outcomes if outcome.ending is Ending.MIGRATED]
    here = sum(outcome.ending is Ending.ALREADY_HERE for outcome in outcomes)
    return len(new), sum(outcome.new for outcome in new), here, len(outcomes) - len(new) - here


def _forecast_table(plan: Plan, outcomes: Sequence[Outcome]) -> str:
    rows = []
    for kind in plan.kinds:
        own = [outcome for outcome in outcomes if outcome.kind == kind.reader.name]
        _, *numbers = _foreseen(own)
        rows.append((kind.reader.name, f"{len(kind.files):,}", size(kind.bytes), *(f"{each:,}" for each in numbers)))
    header = ("kind", "files", "size", "rows", "files already here", "files not")
    return table(header, rows, right=[False, *[True] * 5])


def _table(plan: Plan, outcomes: Sequence[Outcome]) -> str:
    rows = []
    for kind in plan.kinds:
        own = [outcome for outcome in outcomes if outcome.kind == kind.reader.name]
        here = [outcome for outcome in own if outcome.ending in _HERE]
        total, new = (sum(getattr(outcome, name) for outcome in here) for name in ("rows", "new"))
        numbers = (len(own), total, new, total - new, len(own) - len(here))
        rows.append((kind.reader.name, *(f"{number:,}" for number in numbers)))
    header = ("kind", "files", "rows", "new", "already there", "files not in")
    return table(header, rows, right=[False, *[True] * 5])


def _lists(plan: Plan, outcomes: Sequence[Outcome], every: bool) -> Iterator[str]:
    for ending, title in _TITLES.items():
        found = [(_name(each, plan), each.reason) for each in outcomes if each.ending is ending]
        alike = not every and ending in (Ending.WAITING, Ending.LEFT_ALONE)
        yield _listed(title, _reasons(found, together=alike), every)
    left_out = [(_name(each, plan), what) for each in outcomes for what in each.left_out]
    yield _listed("Migrated, except for this:", _reasons(left_out, together=not every), every)
    kept = [(_name(each, plan), each.kept) for each in outcomes if each.kept]
    yield _listed("Not deleted:", _reasons(kept, together=not every), every)
    yield _left_alone(plan.left_alone, every)


def _reasons(found: Sequence[tuple[str, str]], *, together: bool) -> list[str]:
    """Return one line for each file with its reason, or for many files with the same reason."""
    files: dict[str, list[str]] = {}
    for name, reason in found:
        files.setdefault(reason, []).append(name)
    lines = []
    for reason, names in files.items():
        if not together or len(names) <= _ALIKE:
            lines += [f"{name}: {reason}" for name in names]
        else:
            lines.append(f"{names[0]} and {count(len(names) - 1, 'other')} (--all lists them): {reason}")
    return lines


def _listed(title: str, lines: Sequence[str], every: bool) -> str:
    if not lines:
        return ""
    shown = lines if every else lines[:FILES_NAMED]
    more = [f"  and {len(lines) - len(shown):,} more (--all lists them)"] if len(shown) < len(lines) else []
    return "\n".join([title, *(f"  {printable(line)}" for line in shown), *more])


def _left_alone(found: Sequence[LeftAlone], every: bool) -> str:
    lines = []
    for each in found:
        named = ", ".join(each.examples) + (", ..." if each.files > len(each.examples) else "")
        examples = f" ({named})" if each.examples else ""
        what = f" ({count(each.files, 'file')}, {size(each.bytes)})" if each.files else ""
        lines.append(f"{each.where}{what}: {each.reason}{examples}")
    return _listed("Left alone:", lines, every)


def _totals(outcomes: Sequence[Outcome]) -> str:
    def number(ending: Ending) -> int:
        return sum(outcome.ending is ending for outcome in outcomes)

    here = [outcome for outcome in outcomes if outcome.ending in _HERE]
    rows, new = sum(outcome.rows for outcome in here), sum(outcome.new for outcome in here)
    text = f"{count(number(Ending.MIGRATED), 'file')} migrated"
    if already := number(Ending.ALREADY_HERE):
        text += f", {already:,} already here"
    if others := len(outcomes) - len(here):
        text += f", {others:,} not"
    text += f": {count(rows, 'row')} = {new:,} new + {rows - new:,} already there."
    if number(Ending.MIGRATED):
        text += " Each was compared with what the store returns."
    if deleted := sum(len(outcome.deleted) for outcome in outcomes):
        text += f"\n{count(deleted, 'old file')} deleted."
    return text


def _name(outcome: Outcome, plan: Plan) -> str:
    return outcome.file.relative_to(plan.folder).as_posix()
