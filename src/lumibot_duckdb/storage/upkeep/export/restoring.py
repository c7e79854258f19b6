"""Restores exported series: into a store without them exactly, else by the rules of any other write."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from lumibot_duckdb.storage.api import AssetKey, KnownActions, OnRows, SeriesKey, TimeRange, WriteResult
from lumibot_duckdb.storage.bars.batches import in_batches
from lumibot_duckdb.storage.bars.coverage import Covered, closed_part
from lumibot_duckdb.storage.bars.input_checks import InputBars
from lumibot_duckdb.storage.bars.new_series import NewSeries, NewWrite, store_new_series
from lumibot_duckdb.storage.bars.open_store import OpenStore
from lumibot_duckdb.storage.bars.write_request import BarsWrite, metadata_text
from lumibot_duckdb.storage.connection.cursor import StoreCursor
from lumibot_duckdb.storage.errors import InvalidExportError, StorageError
from lumibot_duckdb.storage.identity import AssetQuery
from lumibot_duckdb.storage.reference.corporate_actions import known_actions, remember_actions
from lumibot_duckdb.storage.reference.labels import newer_labels, set_labels
from lumibot_duckdb.storage.times import Int64Array, epoch_seconds, utc_now
from lumibot_duckdb.storage.upkeep.export.columns import bars_of, schema_of
from lumibot_duckdb.storage.upkeep.export.file_formats import checked_format, digest_of, is_marked, tables_of
from lumibot_duckdb.storage.upkeep.export.manifest import (
    NAME,
    ExportedFile,
    ExportedSeries,
    ExportedWrite,
    manifest_in,
)
from lumibot_duckdb.storage.upkeep.export.paths import NAME_OF_EXPORT

_LEVELS = 5
"""How many folders above a file its manifest is at most."""
_NOWHERE = TimeRange(0, 0)


def find_exported(path: Path) -> ExportedFile | None:
    """Return what the export that a file belongs to says of it; None if it is no exported file.

    Raises `InvalidExportError` for a file that was exported but lacks its manifest, or has a damaged one.
    """
    path = path.absolute()
    for folder in path.parents[:_LEVELS]:
        manifest = manifest_in(folder)
        found = None if manifest is None else manifest.described(path.relative_to(folder).as_posix())
        if found is not None:
            return found
    if NAME_OF_EXPORT.fullmatch(path.name) or is_marked(path):
        raise InvalidExportError(
            f"{path.name} was exported by lumibot-duckdb, but no {NAME} in the folders above describes it: import it "
            "inside the whole folder of its export"
        )
    return None


def files_of(folder: Path) -> list[Path]:
    """Return the files of the export in a folder, also those that are missing. Raises `InvalidExportError`."""
    manifest = manifest_in(folder)
    if manifest is None:
        raise InvalidExportError(f"{folder} has no {NAME}, so it is not a complete export")
    return [folder / name for name in manifest.files]


def restore_folder(store: OpenStore, folder: Path, on_rows: OnRows | None = None) -> tuple[WriteResult, ...]:
    """Restore the series in a folder; see `restore_files`."""
    return restore_files(store, [file for file in files_of(folder) if _found(file).series is not None], on_rows)


def restore_files(store: OpenStore, files: Sequence[Path], on_rows: OnRows | None = None) -> tuple[WriteResult, ...]:
    """Restore the series of files. Raises `InvalidExportError`.

    Short series that the store lacks are stored together in one transaction: none of them if a file is not as exported.
    """
    exported = []
    for file in files:
        found = _found(file)
        if found.series is None:
            raise InvalidExportError(f"{file.name} is the result of a query, not a series")
        exported.append((file, found, found.series))
    results: list[WriteResult] = []
    progress = _Progress(sum(series.bars for *_, series in exported), on_rows)
    for batch in in_batches(exported, lambda each: each[2].bars):
        for file, found, _ in batch:
            check_unchanged(file, found)
        results += _restored(store, [_Restoration(store, file, series, progress) for file, _, series in batch])
    return tuple(results)


def _found(file: Path) -> ExportedFile:
    found = find_exported(file)
    if found is None:
        raise InvalidExportError(f"{file} is not a file of an export")
    return found


def _restored(store: OpenStore, batch: Sequence[_Restoration]) -> list[WriteResult]:
    """Store the series of some files: those that the store lacks together, the others one by one."""
    lacking: dict[SeriesKey, _Restoration] = {}
    store.refresh()
    for each in batch:
        if store.catalog.find(each.key) is None:
            lacking.setdefault(each.key, each)
    if lacking:
        with store.write() as cursor:  # another process may have stored some meanwhile
            lacking = {key: each for key, each in lacking.items() if store.catalog.find(key) is None}
            actions = _Actions(store, cursor)
            for each in lacking.values():
                actions.check(each.series)
            _keep_labels(cursor, lacking.values())
            stored = store_new_series(cursor, [each.as_new() for each in lacking.values()], *store.next_ingest())
        results = {result.key: result for result in stored}
    return [results[each.key] if lacking.get(each.key) is each else each.add() for each in batch]


def _keep_labels(cursor: StoreCursor, restorations: Iterable[_Restoration]) -> None:
    """Store the labels of the assets, but for those that were set later here."""
    labels = {each.key.asset: each.series.labels for each in restorations if each.series.labels}
    if labels:
        set_labels(cursor, newer_labels(cursor, labels))


def check_unchanged(path: Path, found: ExportedFile) -> None:
    """Raise `InvalidExportError` unless a file is what was exported, to the byte."""
    try:
        size = path.stat().st_size
        same = size == found.bytes and digest_of(path) == found.sha256
    except OSError as error:
        raise InvalidExportError(f"{path} cannot be read: {error.strerror}") from error
    if not same:
        what = "is cut off" if size < found.bytes else "was changed"
        raise InvalidExportError(f"{path.name} {what} since it was exported; export again, or copy it again")


class _Progress:
    """Reports how many of the bars of all files are stored."""

    def __init__(self, total: int, on_rows: OnRows | None) -> None:
        self._done, self._total, self._on_rows = 0, total, on_rows

    def add(self, bars: int) -> None:
        """Count further bars."""
        self._done += bars
        if self._on_rows is not None:
            self._on_rows(self._done, self._total)


class _Actions:
    """The splits and dividends that a store knows, in one transaction, compared with those of exported series."""

    def __init__(self, store: OpenStore, cursor: StoreCursor) -> None:
        self._store = store
        self._cursor = cursor
        self._known: dict[tuple[str, str, str], KnownActions | None] = {}

    def check(self, series: ExportedSeries) -> None:
        """Keep the splits and dividends that are known; refuse prices that are adjusted for others than those here.

        The source is queried for actions only once in a while, and prices are restated when these change. So they are
        not recorded if there are other adjusted prices, which may be adjusted for others.
        """
        key = series.key
        stock = AssetKey(key.asset.symbol)
        for kind, found in series.actions.items():
            which = (stock.symbol, key.source, kind)
            if which not in self._known:
                self._known[which] = known_actions(self._cursor, stock, key.source, kind)
                if self._known[which] is None and not self._has_adjusted(stock, key.source):
                    remember_actions(self._cursor, stock, found.actions, key.source, kind, found.checked_at)
                    self._known[which] = found
            known = self._known[which]
            if known is not None and known.actions != found.actions and key.adjustment:
                raise InvalidExportError(
                    f"the store knows other {kind}s of {stock.symbol} (as of {known.checked_at:%Y-%m-%d}) than the "
                    f"export (as of {found.checked_at:%Y-%m-%d}), so their prices are adjusted differently; import it "
                    "into another store"
                )

    def _has_adjusted(self, stock: AssetKey, source: str) -> bool:
        here = self._store.catalog.matching(AssetQuery(stock, typed=False, lenient=True), None, source, None)
        return any(record.key.adjustment for record in here)


class _Restoration:
    """Restores one file."""

    def __init__(self, store: OpenStore, path: Path, series: ExportedSeries, progress: _Progress) -> None:
        self._store = store
        self._path = path
        self.series = series
        self.key = series.key
        self._progress = progress
        self._nothing = bars_of(schema_of(series.layout, "arrow").empty_table(), series.layout)

    def as_new(self) -> NewSeries:
        """Return the series as it was, for a store that lacks it."""
        writes = [self._write(write) for write in self._writes()]
        return NewSeries(self.key, self._nothing.layout, writes, self._counted(), self._coverage())

    def add(self) -> WriteResult:
        """Store the bars, coverage and metadata in a series that the store has, as writes like any other."""
        key, store = self.key, self._store
        total = WriteResult(key, None)
        with store.write() as cursor:
            _Actions(store, cursor).check(self.series)
            _keep_labels(cursor, [self])
        for bars, numbers in self._counted():
            for asked_at, metadata, of_write in self._by_metadata(numbers):
                write = BarsWrite(key, bars.rows(of_write), _NOWHERE, False, metadata, None, asked_at)
                with store.write() as cursor:
                    total = _sum(total, store.write_to(cursor, key).bars(write))
        with store.write() as cursor:
            store.write_to(cursor, key).covering(self._coverage())
        last = next((write for write in reversed(self.series.writes) if write.kind == "coverage"), None)
        if last is not None and last.metadata:
            write = BarsWrite(key, self._nothing, _NOWHERE, False, last.metadata, None, last.asked_at)
            with store.write() as cursor:
                total = _sum(total, store.write_to(cursor, key).bars(write))
        return total

    def _counted(self) -> Iterator[tuple[InputBars, Int64Array]]:
        """Yield the bars, and report how many are stored."""
        for bars, numbers in _pieces(self._path, self.series):
            yield bars, numbers
            self._progress.add(len(bars))

    def _by_metadata(
        self, numbers: Int64Array
    ) -> Iterator[tuple[datetime, Mapping[str, Any] | None, np.ndarray[Any, np.dtype[np.bool_]]]]:
        """Yield which bars writes with the same metadata stored, and when the last of these was requested.

        Bars that arrive one by one have a write each, and storing them so again would take hours.
        """
        alike: dict[str | None, list[int]] = {}
        for number in np.unique(numbers).tolist():
            metadata = metadata_text(self.series.key, self.series.writes[number].metadata)
            alike.setdefault(metadata, []).append(number)
        for members in alike.values():
            writes = [self.series.writes[number] for number in members]
            yield max(write.asked_at for write in writes), writes[0].metadata, np.isin(numbers, members)

    def _writes(self) -> Sequence[ExportedWrite]:
        """Return the writes; a series that was only restated or covered has at least one here."""
        return self.series.writes or [ExportedWrite(utc_now(), "coverage", None)]

    def _write(self, write: ExportedWrite) -> NewWrite:
        return NewWrite(write.kind, metadata_text(self.key, write.metadata), write.asked_at)

    def _coverage(self) -> list[Covered]:
        """Return the covered ranges, without what no store can cover."""
        key, now = self.series.key, epoch_seconds(utc_now())
        closed = ((closed_part(piece, key.timeframe, now), until) for piece, until in self.series.coverage)
        return [(piece, until) for piece, until in closed if piece is not None]


def bars_in(path: Path, found: ExportedFile) -> Iterator[InputBars]:
    """Yield the bars of an exported series. Raises `InvalidExportError` if they are not what its manifest describes."""
    if found.series is not None:
        for bars, _ in _pieces(path, found.series):
            yield bars


def _pieces(path: Path, series: ExportedSeries) -> Iterator[tuple[InputBars, Int64Array]]:
    """Yield the bars of a file, and the number of the write that stored each."""
    total, done = series.bars, 0
    last: int | None = None
    writes = np.array([write for write, _ in series.runs], np.int64)
    ends = np.cumsum([count for _, count in series.runs], dtype=np.int64)
    try:
        for table in _tables(path, series):
            bars = bars_of(table, series.layout)
            if not len(bars):
                continue
            if last is not None and int(bars.times[0]) <= last:
                raise ValueError("its bars are not in the order of their times")
            if done + len(bars) > total:
                raise ValueError("it has more bars than its manifest states")
            yield bars, writes[np.searchsorted(ends, np.arange(done, done + len(bars)), side="right")]
            done, last = done + len(bars), int(bars.times[-1])
        if done < total:
            raise ValueError("it has fewer bars than its manifest states")
    except StorageError:
        raise
    except (pa.ArrowException, ValueError, OSError) as error:
        reason = str(error).partition("\n")[0]
        raise InvalidExportError(f"{path.name} does not fit its manifest: {reason}; export again") from error


def _tables(path: Path, series: ExportedSeries) -> Iterator[pa.Table]:
    file_format = checked_format(path.suffix[1:])
    return tables_of(path, schema_of(series.layout, file_format), file_format)


def _sum(one: WriteResult, other: WriteResult) -> WriteResult:
    return WriteResult(
        one.key,
        other.ingest_id or one.ingest_id,
        added=one.added + other.added,
        changed=one.changed + other.changed,
        unchanged=one.unchanged + other.unchanged,
        new_version=one.new_version or other.new_version,
        version_id=other.version_id or one.version_id,
    )
