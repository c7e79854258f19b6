"""The settings of a store: what they are called, what they may be, and the table that has those that are set."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from lumibot_duckdb.storage.bars.open_store import OpenStore
from lumibot_duckdb.storage.connection.cursor import StoreCursor
from lumibot_duckdb.storage.errors import SettingError
from lumibot_duckdb.storage.location import ensure_folder
from lumibot_duckdb.storage.stored_values import reading
from lumibot_duckdb.storage.upkeep.fragmentation import DEFAULT_THRESHOLD
from lumibot_duckdb.storage.upkeep.prune_rule import PruneRule, age_text, parse_age, unreachable_rule

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(B|KB|MB|GB|TB)")
_UNITS = ("B", "KB", "MB", "GB", "TB")


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting: its key, what it is for, its value unless it is set, and how its values are written as text.

    `parse` raises ValueError for a text that is no value, `text` anything for a value of another type, and `check`
    ValueError for a value that makes no sense.
    """

    key: str
    meaning: str
    default: Any
    parse: Callable[[str], Any]
    text: Callable[[Any], str]
    check: Callable[[Any], None] = lambda _: None


def parse_size(text: str) -> int:
    """Return a number of bytes. Raises ValueError.

    >>> parse_size("1.5GB")
    1500000000
    """
    found = _SIZE.fullmatch(text.strip().upper())
    number = float(found[1]) * 1000 ** _UNITS.index(found[2]) if found else 0
    if not 1 <= number < 2**62:
        raise ValueError(f"{text!r} is not a size: write 500MB, 20GB or 1.5TB")
    return int(number)


def size_text(size: int) -> str:
    """Return a number of bytes as `parse_size` reads it."""
    power = max(power for power in range(len(_UNITS)) if size % 1000**power == 0)
    return f"{size // 1000**power}{_UNITS[power]}"


def _parse_switch(text: str) -> bool:
    if text not in ("on", "off"):
        raise ValueError(f"{text!r} is neither on nor off")
    return text == "on"


def _switch_text(value: bool) -> str:
    return {True: "on", False: "off"}[value]


def _parse_factor(text: str) -> float:
    try:
        factor = float(text)
    except ValueError:
        factor = 0.0
    if not 1.1 <= factor <= 1000:
        raise ValueError(f"{text!r} is not a number from 1.1 to 1000")
    return factor


def _parse_rules(text: str) -> tuple[PruneRule, ...]:
    return () if text.strip() == "none" else tuple(PruneRule.parse(part) for part in text.split(";") if part.strip())


def _refuse_unreachable(rules: tuple[PruneRule, ...]) -> None:
    found = unreachable_rule(rules)
    if found is not None:
        raise ValueError(
            f"the rule '{found[0]}' never applies, because '{found[1]}' before it is about the same series, and the "
            "first rule that matches a series applies: exchange the two, or leave one out"
        )


def _rules_text(rules: tuple[PruneRule, ...]) -> str:
    return "; ".join(map(str, rules))


def _optional(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    return lambda text: None if text == "none" else parse(text)


def _optional_text(text: Callable[[Any], str]) -> Callable[[Any], str]:
    return lambda value: "none" if value is None else text(value)


SETTINGS: Mapping[str, Setting] = {
    setting.key: setting
    for setting in (
        Setting(
            "prune.rules",
            "which bars `prune` removes: an age, then symbol=, source=, timeframe= or adjustment=; several rules are "
            "separated by ';', and the first that matches a series applies ('forever' keeps its bars)",
            (),
            _parse_rules,
            _rules_text,
            _refuse_unreachable,
        ),
        Setting(
            "prune.max-size",
            "the size above which `prune` deletes whole series, least recently used ones first: 20GB, or none",
            None,
            _optional(parse_size),
            _optional_text(size_text),
        ),
        Setting(
            "prune.automatic",
            "on: prune once a day, at the end of a program that has written to the store",
            False,
            _parse_switch,
            _switch_text,
        ),
        Setting(
            "compact.automatic",
            "on: compact a fragmented store once a day, at the end of a program that has written to it",
            False,
            _parse_switch,
            _switch_text,
        ),
        Setting(
            "compact.threshold",
            "how many times as large as after a compaction a store is, or how many times as long reads take, when it "
            "counts as fragmented",
            DEFAULT_THRESHOLD,
            _parse_factor,
            "{:g}".format,
        ),
        Setting(
            "versions.keep",
            "how long `compact` and `prune` keep versions of a series that were superseded",
            timedelta(days=1),
            parse_age,
            age_text,
        ),
    )
}


class StoreSettings:
    """The settings of a store, by key. See `SETTINGS` for what there is.

    Example:
        >>> from lumibot_duckdb import DuckDBDataStorage
        >>> settings = DuckDBDataStorage().settings
        >>> settings.set("prune.rules", "forever symbol=SPY; 365d timeframe=minute")
        >>> [str(rule) for rule in settings.get("prune.rules")]
        ['forever symbol=SPY', '365d timeframe=minute']
        >>> settings.unset("prune.rules")
        >>> settings.get("prune.rules")
        ()
    """

    def __init__(self, store: OpenStore) -> None:
        self._store = store

    def get(self, key: str) -> Any:
        """Return the value of a setting, its default unless it is set. Raises `SettingError` for an unknown key."""
        return self.set_values().get(_known(key).key, SETTINGS[key].default)

    def set(self, key: str, value: Any) -> None:
        """Set a setting to a value of its type, or to one that a text states.

        Raises `SettingError` for an unknown key or an unusable value. Creates the store if there is none.
        """
        setting = _known(key)
        try:
            parsed = setting.parse(value if isinstance(value, str) else setting.text(value))
            setting.check(parsed)
            text = setting.text(parsed)
        except (ValueError, TypeError, AttributeError, KeyError) as error:
            raise SettingError(f"{key} cannot be {value!r}: {error}") from None
        ensure_folder(self._store.path)
        with self._store.transaction() as cursor:  # not a write after which a program prunes
            cursor.execute("DELETE FROM {db}.setting WHERE key = ?", [key])
            cursor.execute("INSERT INTO {db}.setting VALUES (?, ?)", [key, json.dumps(text)])

    def unset(self, key: str) -> None:
        """Return a setting to its default. Raises `SettingError` for an unknown key."""
        if _known(key).key in self.set_values():
            with self._store.transaction() as cursor:
                cursor.execute("DELETE FROM {db}.setting WHERE key = ?", [key])

    def set_values(self) -> dict[str, Any]:
        """Return the settings that are set."""
        return self._store.current("settings", _stored) if self._store.refresh() else {}


def _stored(cursor: StoreCursor) -> dict[str, Any]:
    found = {}
    for key, value in cursor.rows("SELECT key, value FROM {db}.setting"):
        if key in SETTINGS:  # others are those of a newer release
            with reading(f"the setting {key}"):
                found[key] = SETTINGS[key].parse(json.loads(value))
    return found


def _known(key: str) -> Setting:
    if key not in SETTINGS:
        from difflib import get_close_matches

        similar = get_close_matches(key, SETTINGS, n=1)
        hint = f"did you mean {similar[0]}?" if similar else f"there are {', '.join(SETTINGS)}"
        raise SettingError(f"there is no setting {key!r}; {hint}")
    return SETTINGS[key]
