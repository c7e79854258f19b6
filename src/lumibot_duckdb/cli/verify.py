"""`lumibot-duckdb verify`: checks the store and its bars, and repairs what is damaged."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lumibot_duckdb.cli.completers import completed_by, nothing
from lumibot_duckdb.cli.confirmation import add_yes, confirm
from lumibot_duckdb.cli.errors import CommandError
from lumibot_duckdb.cli.interrupts import one_change
from lumibot_duckdb.cli.layout import count, new_york, printable
from lumibot_duckdb.cli.numbers import whole_number
from lumibot_duckdb.cli.selection import add_selection, selected_series, selects
from lumibot_duckdb.cli.series_json import key_as_json
from lumibot_duckdb.cli.store import no_store, open_store
from lumibot_duckdb.progress import Progress

if TYPE_CHECKING:
    from lumibot_duckdb.duckdb_storage import DuckDBDataStorage
    from lumibot_duckdb.storage.api import SeriesInfo
    from lumibot_duckdb.storage.upkeep.findings import Finding, FoundBar, VerificationReport
    from lumibot_duckdb.storage.upkeep.repair import Repair, RepairReport

_DESCRIPTION = """\
Check the store, and the bars of all series or of some. Nothing is changed without --repair.

An error means that the store is damaged: a block cannot be read, a bar is there twice, bars are not those that were
stored (their checksums differ), or records contradict each other. The whole store is checked for errors.

A warning means that bars are probably wrong, and a note that they are unusual. These checks are those of the chosen
series: impossible prices, bad ticks, splits that are not recorded or not applied, stale prices, and gaps while the
market was open.

--repair keeps every bar that is not damaged. Where bars are not those that were stored, the next backtest requests them
again. A repair of bars begins a new version of the series, and --undo returns to the one before, until `compact`
removes it. A repair of coverage can be undone, too. Other repairs cannot: what is computed from bars is computed again,
and damaged rows that are superseded or belong to no series are deleted. `backup` first if you want to keep these.
"""
_EXAMPLES = """\
examples:
  lumibot-duckdb verify
  lumibot-duckdb verify AAPL MSFT --source polygon
  lumibot-duckdb verify --repair --dry-run
  lumibot-duckdb verify AAPL --repair --drop-bad-bars
  lumibot-duckdb verify --undo 117

exit codes: 0 no errors, or all repaired; 1 errors, nothing to check, or the answer was no; 2 wrong usage; 3 the store
cannot be used.
"""
_NOUNS = {"error": "error", "warning": "warning", "info": "note"}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.description, parser.epilog = _DESCRIPTION, _EXAMPLES
    add_selection(parser, "check")
    add = parser.add_argument
    add("--repair", action="store_true", help="repair errors of the whole store, after a question")
    add(
        "--drop-bad-bars",
        action="store_true",
        help="with --repair: also drop impossible bars of the chosen series, which the next backtest requests again",
    )
    completed_by(add("--undo", type=whole_number, metavar="ID", help="undo the repair with this id"), nothing)
    add_yes(parser)
    add("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    _refuse_contradictions(arguments)
    storage = open_store(arguments.store)
    try:
        if arguments.undo is not None:
            return _undo(storage, arguments)
        series = _series(storage, arguments)
        if arguments.repair:
            return _repair(storage, series, arguments)
        with Progress("Verifying") as progress:
            report = storage.verify(series, progress.update)
        print(json.dumps(_report_as_json(report), indent=2) if arguments.json else _report(report))
        return 0 if report.sound else 1
    finally:
        storage.close()


def _refuse_contradictions(arguments: argparse.Namespace) -> None:
    for option in ("drop_bad_bars", "dry_run", "yes"):
        if getattr(arguments, option) and not arguments.repair and not (option == "yes" and arguments.undo):
            raise CommandError(f"--{option.replace('_', '-')} is an option of --repair: add --repair")
    if arguments.undo is not None and arguments.repair:
        raise CommandError("--undo and --repair exclude each other")
    if arguments.undo is not None and selects(arguments):
        raise CommandError("the ID of --undo says which repair is meant: leave out SYMBOL and the options for series")


def _series(storage: DuckDBDataStorage, arguments: argparse.Namespace) -> list[SeriesInfo] | None:
    """Return the series to check; None if a damaged store cannot list them."""
    import duckdb

    from lumibot_duckdb.storage.errors import StoreBusyError, StoreDamagedError

    try:
        if selects(arguments) or not storage.path.exists():
            return selected_series(storage, arguments)
        return storage.list_series()
    except StoreBusyError:
        raise
    except (StoreDamagedError, duckdb.Error):
        return None


def _undo(storage: DuckDBDataStorage, arguments: argparse.Namespace) -> int:
    from lumibot_duckdb.storage.errors import RepairError, StoreNotFoundError, VersionGoneError

    try:
        with one_change():
            key = storage.undo_repair(arguments.undo)
    except StoreNotFoundError as error:
        raise no_store(storage.path) from error
    except (RepairError, VersionGoneError) as error:
        raise CommandError(str(error), exit_code=1) from None
    if arguments.json:
        print(json.dumps({"undone": arguments.undo, "series": key_as_json(key)}, indent=2))
    else:
        print(f"{printable(key.label())} has the bars and the coverage from before repair {arguments.undo} again.")
    return 0


def _repair(storage: DuckDBDataStorage, series: list[SeriesInfo] | None, arguments: argparse.Namespace) -> int:
    bad_bars_of = (series or []) if arguments.drop_bad_bars else []
    with Progress("Verifying") as progress:
        planned = storage.repair(bad_bars_of, progress.update, dry_run=True)
    report = replace(planned, dry_run=arguments.dry_run)
    if planned.repairs and not arguments.dry_run:
        if not arguments.json:
            print("\n".join(map(_repair_line, planned.repairs)))
        confirm(f"Make {count(len(planned.repairs), 'repair')}?", arguments)
        with Progress("Repairing") as progress:
            report = storage.repair(bad_bars_of, progress.update)
    if arguments.json:
        print(json.dumps(_repairs_as_json(report), indent=2))
    else:
        print(_repairs(report, planned))
    return 0 if report.left.sound or (arguments.dry_run and report.repairs) else 1


def _report(report: VerificationReport) -> str:
    return "\n".join([*map(_finding, report.findings), _summary(report)])


def _summary(report: VerificationReport) -> str:
    found = ", ".join(count(number, _NOUNS[severity]) for severity, number in report.counts().items())
    rest = " Nothing else was checked, since not everything can be read." if report.unreadable else ""
    return f"{count(report.series, 'series', 'series')} with {count(report.rows, 'bar')} in the store: {found}.{rest}"


def _finding(finding: Finding) -> str:
    where = "" if finding.series is None else f" {printable(finding.series.label())}:"
    total = f" ({finding.count:,})" if finding.count > 1 else ""
    lines = [f"{_NOUNS[finding.severity]}: {finding.check}:{where} {printable(finding.what)}{total}"]
    lines += [f"    {_bar(bar)}" for bar in finding.bars]
    if finding.count > len(finding.bars) > 0:
        lines.append(f"    and more: {finding.count:,} in all")
    if finding.repair:
        lines.append(f"  repair: {finding.repair}")
    return "\n".join([*lines, ""])


def _bar(bar: FoundBar) -> str:
    text = new_york(bar.start)
    if bar.end is not None:
        text += f" to {new_york(bar.end)}"
    return f"{text}: {bar.note}" if bar.note else text


def _repairs(report: RepairReport, planned: RepairReport) -> str:
    """Return what was done, or would be. What was planned is printed already, before the question."""
    if not report.repairs:
        return _report(report.left) if not report.left.sound else "Nothing is damaged."
    number = count(len(report.repairs), "repair")
    if report.dry_run:
        return "\n".join([*map(_repair_line, report.repairs), f"{number} would be made."])
    undo = [f"{printable(r.series.label())}: --undo {r.repair_id}" for r in report.repairs if r.series and r.repair_id]
    known = set(map(_repair_line, planned.repairs))
    unplanned = [repair for repair in report.repairs if _repair_line(repair) not in known]
    lines = [*map(_repair_line, unplanned), f"{number} made."]
    if any(repair.forgotten for repair in unplanned):
        lines.append("  Bars that you imported are not requested again: import them again.")
    lines += [f"  to undo the repair of {line}" for line in undo]
    return "\n".join(lines if report.left.sound else [*lines, "", _report(report.left)])


def _repair_line(repair: Repair) -> str:
    where = "" if repair.series is None else f"{printable(repair.series.label())}: "
    lines = [f"{where}{printable(repair.what)}"]
    lines += [f"    {new_york(piece.start)} to {new_york(piece.end)} is requested again" for piece in repair.forgotten]
    return "\n".join(lines)


def _report_as_json(report: VerificationReport) -> dict[str, Any]:
    return {
        "series": report.series,
        "bars": report.rows,
        "sound": report.sound,
        "findings": [
            {
                "severity": finding.severity,
                "check": finding.check,
                "series": None if finding.series is None else key_as_json(finding.series),
                "what": finding.what,
                "count": finding.count,
                "bars": [{"start": bar.start, "end": bar.end, "note": bar.note} for bar in finding.bars],
                "repair": finding.repair,
            }
            for finding in report.findings
        ],
    }


def _repairs_as_json(report: RepairReport) -> dict[str, Any]:
    return {
        "dry_run": report.dry_run,
        "repairs": [
            {
                "what": repair.what,
                "series": None if repair.series is None else key_as_json(repair.series),
                "repair_id": repair.repair_id,
                "bars_removed": repair.removed,
                "forgotten": [[piece.start, piece.end] for piece in repair.forgotten],
            }
            for repair in report.repairs
        ],
        "left": _report_as_json(report.left),
    }
