"""`lumibot-duckdb label`: sets, removes and lists the labels of stored assets."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lumibot_duckdb.cli.completers import completed_by, label_names, labels_and_symbols
from lumibot_duckdb.cli.confirmation import add_yes, confirm
from lumibot_duckdb.cli.errors import CommandError
from lumibot_duckdb.cli.label_file import label_table
from lumibot_duckdb.cli.layout import count, printable, table, terminal_width
from lumibot_duckdb.cli.store import existing_store

if TYPE_CHECKING:
    from lumibot_duckdb.duckdb_storage import DuckDBDataStorage
    from lumibot_duckdb.storage.api import AssetKey, LabelChange, LabelReport
    from lumibot_duckdb.storage.partial_work import PartialWork

_SHOWN = 20

_DESCRIPTION = """\
Label stored assets with their sector, the indexes that have them, or anything else, to choose and group them by.

Words with "=" are labels, the others are assets. Without labels, those of the assets are listed, or of all assets.
A label may have several values: write it several times. Other values of the same name are replaced, and --add keeps
them; other names stay. Before values are replaced or removed, you are asked.

A file (CSV in UTF-8) has a column symbol and a column for each label, or the columns symbol, name and value with a row
for each value. Empty cells are left out.

`sql "FROM by_label('sector')"` computes the returns of each sector, and the view asset_labels has all labels.
"""
_EXAMPLES = """\
examples:
  lumibot-duckdb label AAPL MSFT sector=Technology
  lumibot-duckdb label XOM index="S&P 500" index="Dow Jones"
  lumibot-duckdb label XOM --add index=Russell
  lumibot-duckdb label --file sectors.csv --dry-run
  lumibot-duckdb label --list --name sector
  lumibot-duckdb label AAPL --remove sector

exit codes: 0 success; 1 the store has no such asset or label, or the answer was no; 2 wrong usage, or the file cannot
be read; 3 the store cannot be used.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.description, parser.epilog = _DESCRIPTION, _EXAMPLES
    add = parser.add_argument
    words = add("words", nargs="*", metavar="SYMBOL|NAME=VALUE", help="assets, as `status` lists them, and labels")
    completed_by(words, labels_and_symbols)
    add("--file", type=Path, metavar="FILE", help="set the labels in this CSV file")
    add("--skip-unknown", action="store_true", help="with --file: leave out assets that the store does not have")
    completed_by(
        add("--add", action="append", metavar="NAME=VALUE", help="add a value to those that a label has"),
        labels_and_symbols,
    )
    completed_by(
        add("--remove", action="append", metavar="NAME[=VALUE]", help="remove a label, or one of its values"),
        label_names,
    )
    add("--list", action="store_true", help="list labels (without labels to set or remove, this is what it does)")
    completed_by(add("--name", help="list only this label"), label_names)
    add_yes(parser)
    add("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from lumibot_duckdb.storage.errors import InvalidRecordError, LabelNotFoundError, SeriesNotFoundError

    storage = existing_store(arguments.store)
    try:
        assets = _Assets(storage)
        names, given = assets.split(arguments.words)
        _check(arguments, names, given)
        if given or arguments.add or arguments.remove or arguments.file is not None:
            _change(storage, assets, names, given, arguments)
        else:
            print(_listing(storage, assets.found(names), arguments))
    except (LabelNotFoundError, SeriesNotFoundError) as error:
        raise CommandError(str(error).replace("skip_unknown", "--skip-unknown"), exit_code=1) from None
    except InvalidRecordError as error:
        raise CommandError(str(error)) from None
    finally:
        storage.close()
    return 0


def _check(arguments: argparse.Namespace, names: Sequence[str], given: Sequence[tuple[str, str]]) -> None:
    """Raise `CommandError` for options that do not go together."""
    changes = [bool(given), bool(arguments.add), bool(arguments.remove), arguments.file is not None]
    if sum(changes) > 1:
        raise CommandError("set labels, --add or --remove some, or name a --file: one of these at a time")
    if any(changes) and (arguments.list or arguments.name is not None):
        raise CommandError("--list and --name show labels: leave out what sets or removes some")
    if arguments.file is not None and names:
        raise CommandError(f"--file has its own symbols: leave out {printable(names[0])}")
    if (given or arguments.add or arguments.remove) and not names:
        raise CommandError("name the assets to label, such as: lumibot-duckdb label AAPL sector=Technology")
    if arguments.skip_unknown and arguments.file is None:
        raise CommandError("--skip-unknown is for --file: leave out what is not in the store")


class _Assets:
    """The assets that names on the command line stand for: those with bars, and those that only have labels."""

    def __init__(self, storage: DuckDBDataStorage) -> None:
        from lumibot_duckdb.cli.assets import stored_assets
        from lumibot_duckdb.storage.identity import asset_of_published_name

        labelled = (asset_of_published_name(*row[:3]) for row in storage.labels().itertuples(index=False))
        self._known = list(dict.fromkeys((*stored_assets(storage.path), *labelled)))
        self._symbols = {asset.symbol for asset in self._known}

    def split(self, words: Iterable[str]) -> tuple[list[str], list[tuple[str, str]]]:
        """Return the names of assets and the labels among some words. A symbol may have "=", as Yahoo's futures do."""
        names, labels = [], []
        for word in words:
            name, equals, value = word.partition("=")
            if equals and word.strip().upper() not in self._symbols:
                labels.append((name, value))
            else:
                names.append(word)
        return names, labels

    def found(self, names: Iterable[str]) -> list[AssetKey]:
        """Return the assets that some names stand for: not the contracts on them, unless a name is of contracts."""
        from lumibot_duckdb.cli.assets import find_assets

        found: dict[AssetKey, None] = {}
        for name in names:
            meant = find_assets(name, self._known)
            found.update(dict.fromkeys([asset for asset in meant if asset.expiration is None] or meant))
        return list(found)


def _change(
    storage: DuckDBDataStorage,
    assets: _Assets,
    names: Sequence[str],
    given: Sequence[tuple[str, str]],
    arguments: argparse.Namespace,
) -> None:
    changed = assets.found(names)
    added = [_name_and_value(label) for label in arguments.add or ()]
    labels: Any = label_table(arguments.file) if arguments.file is not None else _of_all(changed, added or given)

    def report(*, dry_run: bool, work: PartialWork | None = None) -> LabelReport:
        if arguments.remove:
            return _removed(storage, changed, arguments.remove, work, dry_run=dry_run)
        return storage.label(labels, add=bool(added), skip_unknown=arguments.skip_unknown, dry_run=dry_run)

    planned = report(dry_run=True)
    lost = [change for change in planned.changes if set(change.before) - set(change.after)]
    if not arguments.json:
        _print_changes(planned.changes)
    if not arguments.dry_run:
        if lost:
            confirm(f"Replace or remove values of {count(len(lost), 'label')}?", arguments)
        with _says_what_changed() as work:
            planned = report(dry_run=False, work=work)
    print(json.dumps(_as_json(planned), indent=2) if arguments.json else _summary(planned))


@contextmanager
def _says_what_changed() -> Iterator[PartialWork]:
    """Add to the error of a store that others hold, and of Ctrl-C, what was changed: the table is printed before."""
    from lumibot_duckdb.storage.errors import StoreBusyError
    from lumibot_duckdb.storage.partial_work import partial_work

    with partial_work("no label was changed") as work:
        try:
            yield work
        except StoreBusyError as error:
            if work.outcome:
                raise
            raise StoreBusyError(f"{str(error).rstrip('. ')}. No label was changed") from error


def _name_and_value(label: str) -> tuple[str, str]:
    name, equals, value = label.partition("=")
    if not equals:
        raise CommandError(f'--add needs a name and a value, such as index="S&P 500", not {printable(label)}')
    return name, value


def _of_all(assets: Sequence[AssetKey], given: Sequence[tuple[str, str]]) -> dict[AssetKey, dict[str, list[str]]]:
    values: dict[str, list[str]] = {}
    for name, value in given:
        values.setdefault(name.casefold().strip(), []).append(value)
    return dict.fromkeys(assets, values)


def _removed(
    storage: DuckDBDataStorage,
    assets: Sequence[AssetKey],
    labels: Sequence[str],
    work: PartialWork | None,
    *,
    dry_run: bool,
) -> LabelReport:
    """Remove labels, given as NAME or NAME=VALUE. Raises `CommandError` for one that none of the assets has."""
    from lumibot_duckdb.storage.api import LabelReport

    changes: list[LabelChange] = []
    for place, label in enumerate(labels):
        name, equals, value = label.partition("=")
        report = storage.unlabel(assets, name, value if equals else None, dry_run=dry_run)
        if not report.changes and dry_run:
            storage.labelled(name, value if equals else None)  # suggests a similar one if no asset has it
            raise CommandError(f"none of these assets has the label {printable(label)}", exit_code=1)
        changes += report.changes
        if work is not None:
            work.outcome = (
                f"only {', '.join(map(printable, labels[: place + 1]))} was removed: repeat the command for the rest"
            )
    return LabelReport(tuple(changes), dry_run=dry_run)


def _print_changes(changes: Sequence[LabelChange]) -> None:
    if not changes:
        return
    rows = [
        [change.asset.label(), change.name, ", ".join(change.before), ", ".join(change.after)]
        for change in changes[:_SHOWN]
    ]
    width = terminal_width()
    print(table(["asset", "label", "before", "after"], rows, [False] * 4, width))
    if len(changes) > _SHOWN:
        print(f"... and {len(changes) - _SHOWN:,} more")


def _summary(report: LabelReport) -> str:
    would = "would be " if report.dry_run else ""
    lines = [f"{count(len(report.changes), 'label')} {would}changed, {report.unchanged:,} unchanged."]
    if report.skipped:
        shown = ", ".join(map(printable, report.skipped[:_SHOWN]))
        more = f" and {len(report.skipped) - _SHOWN:,} more" if len(report.skipped) > _SHOWN else ""
        lines.append(f"Skipped, because the store has no bars of them: {shown}{more}.")
    return "\n".join(lines)


def _listing(storage: DuckDBDataStorage, assets: Sequence[AssetKey], arguments: argparse.Namespace) -> str:
    from lumibot_duckdb.storage.identity import published_name

    found = storage.labels(arguments.name)
    if arguments.words:
        identities = {(published_name(asset), asset.asset_type, asset.exchange) for asset in assets}
        chosen = [row[:3] in identities for row in found.itertuples(index=False, name=None)]
        found = found[chosen]
    rows = list(found.itertuples(index=False, name=None))
    if arguments.json:
        return json.dumps({"labels": [dict(zip(found.columns, row, strict=True)) for row in rows]}, indent=2)
    if not rows:
        return "There are no labels."
    width = terminal_width()
    cells = [[f"{name} {kind}{f' on {exchange}' if exchange else ''}", *rest] for name, kind, exchange, *rest in rows]
    return f"{table(['asset', 'label', 'value'], cells, [False] * 3, width)}\n\n{count(len(rows), 'label')}."


def _as_json(report: LabelReport) -> dict[str, Any]:
    return {
        "dry_run": report.dry_run,
        "changes": [
            {
                "symbol": change.asset.symbol,
                "asset": change.asset.label(),
                "name": change.name,
                "before": list(change.before),
                "after": list(change.after),
            }
            for change in report.changes
        ],
        "unchanged": report.unchanged,
        "skipped": list(report.skipped),
    }
