"""Restores exported series: into a store without them exactly, else by the rules of any other write."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from lumibot_duckdb.storage.api import AssetKey, OnRows, TimeRange, WriteResult
from lumibot_duckdb.storage.bars.coverage import Covered, closed_part
from lumibot_duckdb.storage.bars.input_checks import InputBars
from lumibot_duckdb.storage.bars.open_store import OpenStore
from lumibot_duckdb.storage.bars.restored_series import RestoredSeries, RestoredWrite
from lumibot_duckdb.storage.bars.write_request import BarsWrite, metadata_text
from lumibot_duckdb.storage.connection.cursor import StoreCursor
from lumibot_duckdb.storage.errors import InvalidExportError, StorageError
from lumibot_duckdb.storage.identity import AssetQuery
from lumibot_duckdb.storage.reference.corporate_actions import known_actions, remember_actions
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


def restore_all(store: OpenStore, path: Path, on_rows: OnRows | None = None) -> tuple[WriteResult, ...]:
    """Restore the series of a folder, or of one file. Raises `InvalidExportError`."""
    results = []
    for file in files_of(path) if path.is_dir() else [path]:
        found = find_exported(file)
        if found is None:
            raise InvalidExportError(f"{file} is not a file of an export")
        if found.series is not None or file == path:
            results.append(restore(store, file, found, on_rows))
    return tuple(results)


def restore(store: OpenStore, path: Path, found: ExportedFile, on_rows: OnRows | None = None) -> WriteResult:
    """Restore an exported series. Raises `InvalidExportError`, and stores nothing, if the file is not as exported."""
    check_unchanged(path, found)
    if found.series is None:
        raise InvalidExportError(f"{path.name} is the result of a query, not a series")
    return _Restoration(store, path, found.series, on_rows).run()


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


class _Restoration:
    """Restores one file."""

    def __init__(self, store: OpenStore, path: Path, series: ExportedSeries, on_rows: OnRows | None) -> None:
        self._store = store
        self._path = path
        self._series = series
        self._on_rows = on_rows
        self._nothing = bars_of(schema_of(series.layout, "arrow").empty_table(), series.layout)

    def run(self) -> WriteResult:
        key = self._series.key
        if not (self._store.refresh() and self._store.catalog.find(key) is not None):
            with self._store.write() as cursor:
                if self._store.catalog.find(key) is None:
                    self._check_actions(cursor)
                    first_id, now = self._store.next_ingest()
                    writes = [self._write(write) for write in self._writes()]
                    restored = RestoredSeries(cursor, key, self._nothing.layout, writes, first_id, now)
                    restored.add(self._counted())
                    return restored.finish(self._coverage())
        return self._add()

    def _add(self) -> WriteResult:
        """Store the bars, coverage and metadata in a series that the store has, as writes like any other."""
        key, store = self._series.key, self._store
        total = WriteResult(key, None)
        with store.write() as cursor:
            self._check_actions(cursor)
        for bars, numbers in self._counted():
            for asked_at, metadata, of_write in self._by_metadata(numbers):
                write = BarsWrite(key, bars.rows(of_write), _NOWHERE, False, metadata, None, asked_at)
                with store.write() as cursor:
                    total = _sum(total, store.write_to(cursor, key).bars(write))
        with store.write() as cursor:
            store.write_to(cursor, key).covering(self._coverage())
        last = next((write for write in reversed(self._series.writes) if write.kind == "coverage"), None)
        if last is not None and last.metadata:
            write = BarsWrite(key, self._nothing, _NOWHERE, False, last.metadata, None, last.asked_at)
            with store.write() as cursor:
                total = _sum(total, store.write_to(cursor, key).bars(write))
        return total

    def _check_actions(self, cursor: StoreCursor) -> None:
        """Keep the splits and dividends that are known; refuse prices that are adjusted for others than those here.

        The source is queried for actions only once in a while, and prices are restated when these change. So they are
        not recorded if there are other adjusted prices, which may be adjusted for others.
        """
        key = self._series.key
        stock = AssetKey(key.asset.symbol)
        here = self._store.catalog.matching(AssetQuery(stock, typed=False, lenient=True), None, key.source, None)
        for kind, found in self._series.actions.items():
            known = known_actions(cursor, stock, key.source, kind)
            if known is None and not any(record.key.adjustment for record in here):
                remember_actions(cursor, stock, found.actions, key.source, kind, found.checked_at)
            elif known is not None and known.actions != found.actions and key.adjustment:
                raise InvalidExportError(
                    f"the store knows other {kind}s of {stock.symbol} (as of {known.checked_at:%Y-%m-%d}) than the "
                    f"export (as of {found.checked_at:%Y-%m-%d}), so their prices are adjusted differently; import it "
                    "into another store"
                )

    def _counted(self) -> Iterator[tuple[InputBars, Int64Array]]:
        """Yield the bars, and report how many are stored."""
        done = 0
        for bars, numbers in _pieces(self._path, self._series):
            yield bars, numbers
            done += len(bars)
            if self._on_rows is not None:
                self._on_rows(done, self._series.bars)

    def _by_metadata(
        self, numbers: Int64Array
    ) -> Iterator[tuple[datetime, Mapping[str, Any] | None, np.ndarray[Any, np.dtype[np.bool_]]]]:
        """Yield which bars writes with the same metadata stored, and when the last of these was requested.

        Bars that arrive one by one have a write each, and storing them so again would take hours.
        """
        alike: dict[str | None, list[int]] = {}
        for number in np.unique(numbers).tolist():
            metadata = metadata_text(self._series.key, self._series.writes[number].metadata)
            alike.setdefault(metadata, []).append(number)
        for members in alike.values():
            writes = [self._series.writes[number] for number in members]
            yield max(write.asked_at for write in writes), writes[0].metadata, np.isin(numbers, members)

    def _writes(self) -> Sequence[ExportedWrite]:
        """Return the writes; a series that was only restated or covered has at least one here."""
        return self._series.writes or [ExportedWrite(utc_now(), "coverage", None)]

    def _write(self, write: ExportedWrite) -> RestoredWrite:
        return RestoredWrite(write.asked_at, write.kind, metadata_text(self._series.key, write.metadata))

    def _coverage(self) -> list[Covered]:
        """Return the covered ranges, without what no store can cover."""
        key, now = self._series.key, epoch_seconds(utc_now())
        closed = ((closed_part(piece, key.timeframe, now), until) for piece, until in self._series.coverage)
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
