"""Files of an export of the store, which are restored as their manifest describes them."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

from lumibot_duckdb.importing.report import FileReport, FirstBar, Preview
from lumibot_duckdb.importing.steps import OnStep, Step
from lumibot_duckdb.storage.api import DataStorageInterface
from lumibot_duckdb.storage.upkeep.export.manifest import NAME, ExportedFile
from lumibot_duckdb.storage.upkeep.export.restoring import bars_in, check_unchanged, find_exported

_BARS_OF_PREVIEW = 5


def exported_series(path: Path) -> ExportedFile | None:
    """Return what a file is in an export; None for other files, and for results of queries, which are like any other.

    Raises `InvalidExportError` for an exported file without a manifest.
    """
    found = find_exported(path)
    return None if found is None or found.series is None else found


def restore_exported(
    path: Path, found: ExportedFile, storage: DataStorageInterface | None, report: FileReport, on_step: OnStep
) -> None:
    """Restore an exported series, or preview it without a `storage`. Raises `InvalidExportError`."""
    assert found.series is not None
    key = found.series.key
    report.rows, report.timeframe, report.symbols = found.rows, key.timeframe, (key.asset.label(),)
    on_step(Step.READING, 0.0)
    if storage is None:
        check_unchanged(path, found)
        _preview(path, found, report)
        return

    def on_rows(done: int, total: int) -> None:
        on_step(Step.STORING, done / max(total, 1))

    (result,) = storage.import_exported(path, on_rows)
    report.added, report.changed, report.unchanged = result.added, result.changed, result.unchanged
    facts = storage.facts(storage.pin(key))
    report.first, report.last = facts.first, facts.last


def _preview(path: Path, found: ExportedFile, report: FileReport) -> None:
    series = found.series
    assert series is not None
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
