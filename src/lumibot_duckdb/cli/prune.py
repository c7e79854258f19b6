"""`lumibot-duckdb prune`: removes old bars, and keeps the store below a size."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from glob import escape
from typing import TYPE_CHECKING, Any

from lumibot_duckdb.cli.completers import completed_by, nothing
from lumibot_duckdb.cli.confirmation import add_yes, confirm
from lumibot_duckdb.cli.errors import CommandError
from lumibot_duckdb.cli.layout import count, new_york, printable, size
from lumibot_duckdb.cli.selection import add_selection, selected_series, selects
from lumibot_duckdb.cli.series_json import key_as_json
from lumibot_duckdb.cli.store import existing_store
from lumibot_duckdb.progress import Progress

if TYPE_CHECKING:
    from lumibot_duckdb.duckdb_storage import DuckDBDataStorage
    from lumibot_duckdb.storage.upkeep.prune_plan import PrunedSeries, PruneReport

_DESCRIPTION = """\
Remove old bars and their coverage, so that a backtest that needs them downloads them again. This cannot be undone.

--older-than removes the bars that are older, of all series or of those that the other options choose. --max-size
deletes whole series until the store fits, those first that were not read or written for the longest time. Without any
of them, the settings prune.rules and prune.max-size apply (see `config`).

What would be removed is listed first, and nothing is removed before you agree. Versions of series that were superseded
longer ago than the setting versions.keep go, too, and the store is compacted at the end, which needs as much free disk
space as the store takes. Bars that a snapshot needs stay, as do splits, option chains and labels. A running backtest
that needs removed bars ends with an error. Bars that you imported yourself cannot be downloaded again: see `export` and
`backup`.
"""
_EXAMPLES = """\
examples:
  lumibot-duckdb prune --older-than 365d --timeframe minute --dry-run
  lumibot-duckdb prune --older-than 2y "BRK*" --source polygon
  lumibot-duckdb prune --max-size 20GB --yes
  lumibot-duckdb prune

exit codes: 0 success, also if there is nothing to remove; 1 there is no store or no such series, the store is still
larger than --max-size, or the answer was no; 2 wrong usage; 3 the store cannot be used.
"""
_LISTED = 50


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.description, parser.epilog = _DESCRIPTION, _EXAMPLES
    add = parser.add_argument
    add_selection(parser, "prune")
    completed_by(
        add("--older-than", type=_age, metavar="AGE", help="remove bars that are older: 365d, 52w or 1y"), nothing
    )
    completed_by(
        add("--max-size", type=_size, metavar="SIZE", help="delete series until the store is smaller: 20GB"), nothing
    )
    add_yes(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=_run)


def _age(text: str) -> Any:
    from lumibot_duckdb.storage.upkeep.prune_rule import parse_age

    return _parsed(parse_age, text)


def _size(text: str) -> Any:
    from lumibot_duckdb.storage.upkeep.settings import parse_size

    return _parsed(parse_size, text)


def _parsed(parse: Any, text: str) -> Any:
    try:
        return parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _run(arguments: argparse.Namespace) -> int:
    storage = existing_store(arguments.store)
    try:
        _check(storage, arguments)
        report = _prune(storage, arguments, dry_run=True)
        if not arguments.json:
            _print_listing(report)
        if not arguments.dry_run and _is_needed(report):
            confirm(_question(report), arguments)
            with Progress("Pruning") as progress:

                def on_step(text: str, done: int, total: int) -> None:
                    progress.text, progress.done, progress.total = printable(text), done, total

                report = _prune(storage, arguments, dry_run=False, on_step=on_step)
    finally:
        storage.close()
    print(_as_json(report, arguments) if arguments.json else _summary(report, dry_run=arguments.dry_run))
    return 0 if report.fits else 1


def _check(storage: DuckDBDataStorage, arguments: argparse.Namespace) -> None:
    """Raise `CommandError` unless the options, or the settings without any, state what to prune."""
    if arguments.older_than is None and arguments.max_size is None:
        if selects(arguments):
            raise CommandError("add --older-than 365d or --max-size 20GB: what is to be removed of these series?")
        if not storage.settings.get("prune.rules") and storage.settings.get("prune.max-size") is None:
            raise CommandError(
                "nothing says what to prune: add --older-than 365d or --max-size 20GB, or store rules, as in "
                'lumibot-duckdb config set prune.rules "365d timeframe=minute"'
            )
    if selects(arguments):
        selected_series(storage, arguments)
        arguments.symbols = [each for name in arguments.symbols for each in _names(storage, name)]


def _names(storage: DuckDBDataStorage, name: str) -> list[str]:
    """Return a SYMBOL as a rule of `prune` has to name it: other commands understand further spellings."""
    from lumibot_duckdb.cli.series import named_series
    from lumibot_duckdb.storage.upkeep.prune_rule import PruneRule

    everything = [info.key for info in storage.list_series()]
    meant = {info.key for info in named_series(storage, [name])}
    for pattern in (name, " * ".join(name.rsplit(" ", 1))):  # "SPY option" means "SPY * option"
        rule = PruneRule(None, (pattern,))
        if set(filter(rule.matches, everything)) == meant:
            return [pattern]
    return [escape(label) for label in dict.fromkeys(key.asset.label() for key in meant)]


def _prune(storage: DuckDBDataStorage, arguments: argparse.Namespace, **more: Any) -> PruneReport:
    return storage.prune(
        arguments.older_than,
        arguments.symbols,
        arguments.source,
        arguments.timeframe,
        adjustment=arguments.adjustment,
        max_size=arguments.max_size,
        **more,
    )


def _is_needed(report: PruneReport) -> bool:
    return bool(report.pruned or report.versions_removed) or not report.fits


def _print_listing(report: PruneReport) -> None:
    lines = [_line(each) for each in (*report.pruned, *report.kept)]
    print("".join(f"{line}\n" for line in lines[:_LISTED]), end="")
    if len(lines) > _LISTED:
        print(f"and {len(lines) - _LISTED:,} more series (--json lists all)")


def _line(each: PrunedSeries) -> str:
    label = printable(each.key.label())
    bars = f"{each.bars:,} of {count(each.bars + each.bars_left, 'bar')}"
    if each.snapshot is not None:
        return f"{label}: {bars} stay, because the snapshot {printable(each.snapshot)} needs them"
    if each.before is None:
        return f"{label}: the whole series, {count(each.bars, 'bar')}, last used {each.last_used:%Y-%m-%d}"
    return f"{label}: {bars}"


def _amount(pruned: Sequence[PrunedSeries]) -> str:
    return f"{count(sum(each.bars for each in pruned), 'bar')} of {count(len(pruned), 'series', 'series')}"


def _question(report: PruneReport) -> str:
    if report.pruned:
        return f"Remove {_amount(report.pruned)}?"
    versions = report.versions_removed
    return f"Remove {count(versions, 'superseded version')}?" if versions else "Compact the store?"


def _summary(report: PruneReport, *, dry_run: bool) -> str:
    if not _is_needed(report):
        return "There is nothing to prune."
    removed = []
    if report.pruned:
        removed.append(_amount(report.pruned))
    if report.versions_removed:
        removed.append(count(report.versions_removed, "superseded version"))
    lines = [f"{' and '.join(removed)} {'would be ' if dry_run else ''}removed."] if removed else []
    now = f"would take about {size(report.bytes_after)}" if dry_run else f"takes {size(report.bytes_after)} now"
    lines.append(f"The store {'takes' if dry_run else 'took'} {size(report.bytes_before)} and {now}.")
    if not report.fits and report.max_size is not None:
        for_size = any(each.before is None for each in report.pruned)
        outcome = "the others stay" if for_size else "none is deleted for it"
        lines.append(
            f"That is more than {size(report.max_size)}, but deleting every series that may be deleted would not be "
            f"enough, so {outcome}. Snapshots, rules and everything that is not bars take the rest."
        )
    return "\n".join(lines)


def _as_json(report: PruneReport, arguments: argparse.Namespace) -> str:
    return json.dumps(
        {
            "dry_run": arguments.dry_run,
            "pruned": [_series_as_json(each) for each in report.pruned],
            "kept": [{**_series_as_json(each), "snapshot": each.snapshot} for each in report.kept],
            "versions_removed": report.versions_removed,
            "bytes_before": report.bytes_before,
            "bytes_after": report.bytes_after,
            "max_size": report.max_size,
            "fits": report.fits,
        },
        indent=2,
    )


def _series_as_json(each: PrunedSeries) -> dict[str, Any]:
    return {
        **key_as_json(each.key),
        "bars": each.bars,
        "bars_left": each.bars_left,
        "before": new_york(each.before) or None,
        "last_used": each.last_used.isoformat(timespec="seconds"),
    }
