"""The summary of an import: what was imported, what was not and why. It stays short for many files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from lumibot_duckdb.cli.layout import count, new_york, printable, table
from lumibot_duckdb.importing.refusal import Refusal
from lumibot_duckdb.importing.report import FileReport

FILES_IN_TABLE = 20
_SYMBOLS_SHOWN = 3


def summary(reports: Sequence[FileReport]) -> str:
    """Return the summary of an import, as text of several lines."""
    imported = [report for report in reports if report.error is None]
    parts = []
    if imported and len(imported) <= FILES_IN_TABLE:
        parts.append(_table(imported))
    sections = {
        "Quarantined:": list(_quarantined(imported)),
        "Notes:": list(_notes(imported)),
        "Not imported:": [f"{report.path}: {report.error}" for report in reports if report.error is not None],
    }
    parts += [
        "\n".join([title, *(f"  {printable(line)}" for line in lines)]) for title, lines in sections.items() if lines
    ]
    return "\n\n".join([*parts, _totals(reports, imported)])


def _table(reports: Sequence[FileReport]) -> str:
    waiting = ("waiting",) if any(report.spooled for report in reports) else ()
    numbers = ("rows", "new", "changed", "unchanged", *waiting, "quarantined")
    header = ("file", "asset", "timeframe", *numbers, "first bar", "last bar")
    rows = [
        (
            printable(report.path.name),
            printable(symbols_of(report.symbols)),
            report.timeframe,
            *(f"{n:,}" for n in (report.rows, report.added, report.changed, report.unchanged)),
            *(f"{report.spooled:,}" for _ in waiting),
            f"{sum(report.refused.values()):,}",
            new_york(report.first),
            new_york(report.last),
        )
        for report in reports
    ]
    return table(header, rows, right=[False] * 3 + [True] * len(numbers) + [False] * 2)


def symbols_of(symbols: Sequence[str]) -> str:
    """Return the names of assets, or one of them and how many more there are."""
    if len(symbols) > _SYMBOLS_SHOWN:
        return f"{symbols[0]} and {len(symbols) - 1} more"
    return ", ".join(symbols)


def _quarantined(reports: Sequence[FileReport]) -> Iterator[str]:
    for report in reports:
        if report.refused:
            rows = count(sum(report.refused.values()), "row")
            yield f"{report.path}: {rows} ({reasons(report.refused)}), kept in {report.quarantine}"


def _notes(reports: Sequence[FileReport]) -> Iterator[str]:
    for report in reports:
        if report.repeated:
            yield f"{report.path}: {count(report.repeated, 'row')} repeated, each stored once"
    files_of: dict[str, list[FileReport]] = {}
    for report in reports:
        for note in report.notes:
            files_of.setdefault(note, []).append(report)
    for note, files in files_of.items():
        others = f" and {len(files) - 1} more" if len(files) > 1 else ""
        yield f"{files[0].path}{others}: {note}"
    left_out = Counter(column for report in reports for column in report.left_out)
    if left_out:
        columns = ", ".join(column for column, _ in left_out.most_common(12)) + (", ..." if len(left_out) > 12 else "")
        yield f"columns left out: {columns} (--columns name=COLUMN keeps one)"


def _totals(reports: Sequence[FileReport], imported: Sequence[FileReport]) -> str:
    if not imported:
        return "No file was imported."
    refused: Counter[Refusal] = sum((report.refused for report in imported), Counter())
    added, changed = sum(report.added for report in imported), sum(report.changed for report in imported)
    unchanged, spooled = sum(report.unchanged for report in imported), sum(report.spooled for report in imported)
    symbols = {symbol for report in imported for symbol in report.symbols}
    failed = len(reports) - len(imported)
    lines = [
        f"{count(len(imported), 'file')} imported"
        + (f", {failed:,} not" if failed else "")
        + f": {count(len(symbols), 'asset')}, {count(sum(report.rows for report in imported), 'row')} = "
        + f"{added:,} new + {changed:,} changed + {unchanged:,} unchanged"
        + (f" + {spooled:,} waiting" if spooled else "")
        + f" + {sum(report.repeated for report in imported):,} repeated + {sum(refused.values()):,} quarantined."
    ]
    if len(imported) > FILES_IN_TABLE and refused:
        lines.append(f"Quarantined in all: {reasons(refused)}.")
    if unchanged and not added + changed + spooled:
        lines.append("Nothing new: the store had every bar already.")
    firsts = [report.first for report in imported if report.first is not None]
    lasts = [report.last for report in imported if report.last is not None]
    if firsts:
        lines.append(f"Bars from {new_york(min(firsts))} to {new_york(max(lasts))}, New York time.")
    return "\n".join(lines)


def reasons(refused: Counter[Refusal]) -> str:
    """Return for what reasons rows were refused, and how many."""
    return ", ".join(f"{reason.text}: {number:,}" for reason, number in refused.most_common())
