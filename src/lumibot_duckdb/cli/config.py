"""`lumibot-duckdb config`: shows and changes the settings of the store."""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import nullcontext
from typing import TYPE_CHECKING

from lumibot_duckdb.cli.completers import TIMEFRAMES, completed_by, nothing, setting_keys
from lumibot_duckdb.cli.errors import CommandError
from lumibot_duckdb.cli.interrupts import one_change
from lumibot_duckdb.cli.layout import count, printable, table
from lumibot_duckdb.cli.store import existing_store, open_store
from lumibot_duckdb.cli.suggestions import did_you_mean

if TYPE_CHECKING:
    from lumibot_duckdb.duckdb_storage import DuckDBDataStorage

_DESCRIPTION = """\
Show and change the settings of the store. They are in the store itself, so all programs that use it follow them.

settings:
  prune.rules        which bars `prune` removes: an age in days, weeks or years (365d, 52w, 1y), then symbol=, source=,
                     timeframe= or adjustment= to choose series; symbols may be patterns (SPY,BRK*), quoted if they
                     have spaces (symbol="SPY * option"). Separate rules by ";": the first that matches a series
                     applies. "forever" instead of an age keeps its bars, also from prune.max-size. Default: none
  prune.max-size     the size above which `prune` deletes whole series, those first that were not read or written for
                     the longest time: 500MB, 20GB, 1.5TB. Default: none
  prune.automatic    on: prune once a day, at the end of a program that has written to the store. Default: off
  compact.automatic  on: at the end of a program that has written to the store, and at most once a day, compact a store
                     that is fragmented and has at least 20 MB. Default: off
  compact.threshold  a store is fragmented if its size, or the time of a read of 20 days, is more than so many times
                     that of a compacted store, as `compact --dry-run` estimates them. Default: 1.5
  versions.keep      how long `compact` and `prune` keep versions of a series that were superseded. Default: 1d
"""
_EXAMPLES = """\
examples:
  lumibot-duckdb config
  lumibot-duckdb config set prune.rules "forever symbol=SPY,QQQ; 365d timeframe=minute; 10y"
  lumibot-duckdb config get prune.rules
  lumibot-duckdb config unset prune.rules

exit codes: 0 success; 2 wrong usage, such as an unknown setting; 3 the store cannot be used.
"""
_VALUES = {"list": 0, "get": 1, "set": 2, "unset": 1}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.description, parser.epilog = _DESCRIPTION, _EXAMPLES
    add = parser.add_argument
    add("action", nargs="?", choices=tuple(_VALUES), default="list", help="what to do (default: list)")
    completed_by(add("key", nargs="?", metavar="KEY", help="the setting"), setting_keys)
    completed_by(add("value", nargs="?", metavar="VALUE", help="its new value"), nothing)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from lumibot_duckdb.storage.errors import SettingError

    given = sum(each is not None for each in (arguments.key, arguments.value))
    if given != _VALUES[arguments.action]:
        needs = ("no KEY", "a KEY", "a KEY and a VALUE")[_VALUES[arguments.action]]
        raise CommandError(f"config {arguments.action} takes {needs} (see lumibot-duckdb config --help)")
    changes = arguments.action in ("set", "unset")
    storage = existing_store(arguments.store) if changes else open_store(arguments.store)
    try:
        with one_change() if changes else nullcontext():
            if arguments.action == "set":
                storage.settings.set(arguments.key, arguments.value)
            elif arguments.action == "unset":
                storage.settings.unset(arguments.key)
        shown = _values(storage, arguments.key)
        if arguments.action == "set" and arguments.key.startswith("prune."):
            _warn_of_unknown(storage)
            _warn_of_pruning(storage)
    except SettingError as error:
        raise CommandError(str(error)) from None
    finally:
        storage.close()
    print(_text(shown, arguments))
    return 0


def _warn_of_unknown(storage: DuckDBDataStorage) -> None:
    """Say which rules name a source or a timeframe that is neither known nor in the store."""
    from lumibot_duckdb.importing.series import DEFAULT_SOURCE
    from lumibot_duckdb.sources.registry import SOURCES

    keys = [info.key for info in storage.list_series()]
    sources = {*SOURCES, DEFAULT_SOURCE, *(key.source for key in keys)}
    timeframes = {*TIMEFRAMES, *(key.timeframe for key in keys)}
    for rule in storage.settings.get("prune.rules"):
        for name, value, known in (("source", rule.source, sources), ("timeframe", rule.timeframe, timeframes)):
            if value is not None and value not in known:
                hint = did_you_mean(value, sorted(known))
                print(f"The rule '{rule}' applies to no series: the store has no {name} {value}{hint}", file=sys.stderr)


def _warn_of_pruning(storage: DuckDBDataStorage) -> None:
    """Say what automatic pruning will remove."""
    if not storage.settings.get("prune.automatic"):
        return
    pruned = storage.prune(dry_run=True).pruned
    if pruned:
        bars = count(sum(each.bars for each in pruned), "bar")
        series = count(len(pruned), "series", "series")
        print(
            f"The next program that writes to the store will remove {bars} of {series} "
            "(lumibot-duckdb prune --dry-run lists them).",
            file=sys.stderr,
        )


def _values(storage: DuckDBDataStorage, key: str | None) -> dict[str, tuple[str, bool]]:
    """Return a setting, or all: their values as text, and whether they are set."""
    from lumibot_duckdb.storage.upkeep.settings import SETTINGS

    are_set = storage.settings.set_values()
    values = {each: storage.settings.get(each) for each in (SETTINGS if key is None else (key,))}
    return {each: (SETTINGS[each].text(value), each in are_set) for each, value in values.items()}


def _text(shown: dict[str, tuple[str, bool]], arguments: argparse.Namespace) -> str:
    if arguments.json:
        return json.dumps({key: {"value": value, "set": is_set} for key, (value, is_set) in shown.items()}, indent=2)
    if arguments.action == "list":
        rows = [[key, value or "none", "" if is_set else "default"] for key, (value, is_set) in shown.items()]
        return table(["setting", "value", ""], rows, [False] * 3)
    ((key, (value, _)),) = shown.items()
    return printable(value or "none") if arguments.action == "get" else f"{key} = {printable(value or 'none')}"
