"""Files of an export of the store, which are restored as their manifest describes them."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

from lumibot_duckdb.importing.report import FileReport, FirstBar, Preview
from lumibot_duckdb.importing.steps import OnStep, Step
from lumibot_duckdb.storage.api import DataStorageInterface
from lumibot_duckdb.storage.bars.batches import in_batches
from lumibot_duckdb.storage.errors import InvalidExportError
from lumibot_duckdb.storage.upkeep.export.manifest import NAME, ExportedFile
from lumibot_duckdb.storage.upkeep.export.restoring import bars_in, check_unchanged, find_exported

_BARS_OF_PREVIEW = 5


def exported_series(path: Path) -> ExportedFile | None:
    """Return what a file is in an export; None for other files, and for results of queries, which are like any other.

    Raises `InvalidExportError` for an exported file without a manifest.
    """
    found = find_exported(path)
    return None if found is None or found.series is None else found


def together(files: Iterable[Path]) -> Iterator[list[Path]]:
    """Yield files one by one, but those of short exported series together: they are stored in one transaction."""
    return in_batches(files, _rows_of)


def _rows_of(file: Path) -> int:
    """Return how many bars an exported series has; more than any for another file, or one that will be refused."""
    try:
        found = exported_series(file)
    except (InvalidExportError, OSError):
        return sys.maxsize
    return sys.maxsize if found is None else found.rows


def restore_exported(paths: Sequence[Path], storage: DataStorageInterface, on_step: OnStep) -> list[FileReport]:
    """Restore exported series, short ones together. Raises `InvalidExportError`."""
    on_step(Step.READING, 0.0)

    def on_rows(done: int, total: int) -> None:
        on_step(Step.STORING, done / max(total, 1))

    reports = []
    for path, result in zip(paths, storage.import_exported(paths, on_rows), strict=True):
        report = FileReport(path, timeframe=result.key.timeframe, symbols=(result.key.asset.label(),))
        report.added, report.changed, report.unchanged = result.added, result.changed, result.unchanged
        report.rows = result.added + result.changed + result.unchanged
        facts = storage.facts(storage.pin(result.key))
        report.first, report.last = facts.first, facts.last
        reports.append(report)
    return reports


def preview(path: Path, found: ExportedFile, report: FileReport) -> None:
    """Describe what would be restored. Raises `InvalidExportError`."""
    series = found.series
    assert series is not None
    check_unchanged(path, found)
    report.rows, report.timeframe, report.symbols = found.rows, series.key.timeframe, (series.key.asset.label(),)
    first_bars: list[FirstBar] = []
    names: list[str] = []
    for bars in bars_in(path, found):
        names = [column.layout.name for column in bars.columns if column.layout.physical == column.layout.name]
        report.first = int(bars.times[0]) if report.first is None else report.first
        report.last = int(bars.times[-1])
        columns = {column.layout.name: column.values for column in bars.columns if column.layout.name in names}
        for row in islice(range(len(bars)), _BARS_OF_PREVIEW - len(first_bars)):
            values = {name: column[row].as_py() for name, column in columns.items() if column is not None}
            numbers = {name: float("nan") if value is None else float(value) for name, value in values.items()}
            first_bars.append(FirstBar(series.key.asset.label(), int(bars.times[row]), numbers))
    report.preview = Preview(
        NAME,
        series.key.source + (f" ({series.key.adjustment})" if series.key.adjustment else ""),
        "datetime",
        "UTC",
        "as they are",
        {name: name for name in names},
        first_bars,
    )
