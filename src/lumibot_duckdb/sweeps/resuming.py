"""Whether a sweep that is resumed is the one that was begun."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from lumibot_duckdb.results.records import SweepRecord
from lumibot_duckdb.sweeps.errors import SweepError

MAY_CHANGE = frozenset({"jobs", "timeout", "memory", "engine"})
"""The settings that a resumed sweep may change: they do not decide which results its trials have.

In addition, a random search or one of Optuna may have more trials than before. Those of a walk-forward sweep may not:
its tests have used what the searches had found.
"""

_SHOWN = 60
_MOST = 4


class ChangedSweepError(SweepError):
    """A sweep of this name was begun with another space, script or settings. The message says what differs."""


def check_unchanged(begun: SweepRecord, now: SweepRecord) -> None:
    """Raise `ChangedSweepError` if a sweep is not the one that was begun."""
    changes = list(_changes(begun, now))
    if not changes:
        return
    more = f"; and {len(changes) - _MOST} more" if len(changes) > _MOST else ""
    raise ChangedSweepError(
        f"the sweep {now.name} was begun differently: {'; '.join(changes[:_MOST])}{more}. Repeat the command that "
        "began it, or choose another name"
    )


def _changes(begun: SweepRecord, now: SweepRecord) -> Iterator[str]:
    for name in ("strategy", "script", "store"):
        yield from _change(name, getattr(begun, name), getattr(now, name))
    for then, today, place in ((begun.space, now.space, "space"), (begun.settings, now.settings, "")):
        for name in dict.fromkeys([*then, *today]):
            if place or not _may_change(name, begun, now):
                yield from _change(f"{place} {name}".strip(), then.get(name), today.get(name))


def _may_change(name: str, begun: SweepRecord, now: SweepRecord) -> bool:
    if name != "trials":
        return name in MAY_CHANGE
    then, today = begun.settings.get("trials"), now.settings.get("trials")
    return then is not None and today is not None and then <= today and now.settings.get("walk_forward") is None


def _change(name: str, begun: Any, now: Any) -> Iterator[str]:
    if plain(begun) == plain(now):
        return
    if name == "digest":
        yield "the script has been changed since"
    elif isinstance(begun, Mapping) and isinstance(now, Mapping):
        for key in dict.fromkeys([*begun, *now]):
            yield from _change(f"{name} {key}", begun.get(key), now.get(key))
    else:
        yield f"{name} was {_shown(begun)} and is now {_shown(now)}"


def plain(value: Any) -> Any:
    """Return a value as JSON would return it: lists for tuples, texts as names."""
    return json.loads(json.dumps(value, default=str))


def _shown(value: Any) -> str:
    text = "not set" if value is None else value if isinstance(value, str) else json.dumps(value, default=str)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"
