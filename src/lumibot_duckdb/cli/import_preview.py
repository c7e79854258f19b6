"""What `import --dry-run` prints: how each file is understood, and its first bars."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lumibot_duckdb.cli.import_summary import FILES_IN_TABLE, reasons, symbols_of
from lumibot_duckdb.cli.layout import count, new_york, printable, table
from lumibot_duckdb.importing.report import FileReport, Preview


def preview(reports: Sequence[FileReport]) -> str:
    """Return what an import would store, as text of several lines."""
    parts = ["\n".join(map(printable, _of_file(report))) for report in reports[:FILES_IN_TABLE]]
    if len(reports) > FILES_IN_TABLE:
        parts.append(f"... and {count(len(reports) - FILES_IN_TABLE, 'more file')}")
    would = sum(report.error is None and report.preview is not None for report in reports)
    failed = sum(report.error is not None for report in reports)
    total = f"Nothing was stored. {count(would, 'file')} would be imported" + (f", {failed:,} not." if failed else ".")
    return "\n\n".join([*parts, total])


def _of_file(report: FileReport) -> Iterator[str]:
    yield str(report.path)
    if report.error is not None:
        yield f"  not imported: {report.error}"
    elif report.preview is not None:
        yield from _understood(report, report.preview)
    yield from (f"  note: {note}" for note in report.notes)


def _understood(report: FileReport, found: Preview) -> Iterator[str]:
    yield f"  asset:      {symbols_of(report.symbols)} (from {found.origin})"
    yield f"  timeframe:  {report.timeframe}"
    yield f"  source:     {found.source}"
    yield f"  times:      {found.times}, {found.zone}"
    yield f"  columns:    {', '.join(f'{name}={column}' for name, column in found.columns.items())}"
    yield f"  left out:   {', '.join(report.left_out) or 'nothing'}"
    yield f"  prices:     {found.scale}"
    refused = sum(report.refused.values())
    bars = report.rows - report.repeated - refused
    yield f"  rows:       {report.rows:,} = {bars:,} bars + {report.repeated:,} repeated + {refused:,} not bars" + (
        f" ({reasons(report.refused)})" if refused else ""
    )
    yield f"  span:       {new_york(report.first)} to {new_york(report.last)}, New York time"
    names = list(found.columns)
    rows = [
        [bar.asset, new_york(bar.time), *(f"{bar.values[name]:.15g}" for name in names)] for bar in found.first_bars
    ]
    header = ["asset", "time", *names]
    yield from (f"  {line}" for line in table(header, rows, right=[False, False, *[True] * len(names)]).splitlines())
