"""Exports series, or the result of a query, to files.

Each series is pinned, so it is consistent in itself while others write. Bars are read in pieces of bounded size.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TypeAlias

import duckdb
import numpy as np
import pyarrow as pa

from lumibot_duckdb.storage import readonly_sql
from lumibot_duckdb.storage.api import (
    AssetKey,
    AssetLike,
    IngestInfo,
    KnownActions,
    OnRows,
    SeriesKey,
    SeriesPin,
    TimeRange,
)
from lumibot_duckdb.storage.bars.batches import in_batches
from lumibot_duckdb.storage.bars.columns import in_time_order, pinned_parts, pinned_rows, stored_rows
from lumibot_duckdb.storage.bars.coverage import Covered, common
from lumibot_duckdb.storage.bars.coverage_records import stored_coverage
from lumibot_duckdb.storage.bars.ingests import IngestRow, ingest_infos
from lumibot_duckdb.storage.bars.open_store import OpenStore
from lumibot_duckdb.storage.bars.row_inserts import rows_of
from lumibot_duckdb.storage.bars.series_lookup import listing_order
from lumibot_duckdb.storage.connection.cursor import StoreCursor
from lumibot_duckdb.storage.connection.interruption import interruptibly
from lumibot_duckdb.storage.errors import InvalidExportError, SeriesNotFoundError, StoreDamagedError, VersionGoneError
from lumibot_duckdb.storage.identity import asset_query
from lumibot_duckdb.storage.reference.corporate_actions import KINDS, actions_of
from lumibot_duckdb.storage.reference.labels import stored_labels
from lumibot_duckdb.storage.sql_conditions import is_one_of
from lumibot_duckdb.storage.sql_files import sql_file
from lumibot_duckdb.storage.sql_times import epoch_sql, starts_between
from lumibot_duckdb.storage.times import SECONDS_PER_DAY, Int64Array
from lumibot_duckdb.storage.upkeep.export.columns import bars_per_write, file_table, schema_of
from lumibot_duckdb.storage.upkeep.export.file_formats import (
    MARK,
    ROWS_OF_PIECE,
    checked_format,
    digest_of,
    table_writer,
)
from lumibot_duckdb.storage.upkeep.export.folder import check_target, new_folder
from lumibot_duckdb.storage.upkeep.export.manifest import (
    NAME,
    ExportedFile,
    ExportedSeries,
    ExportedWrite,
    ManifestWriter,
    key_fields,
    layout_fields,
)
from lumibot_duckdb.storage.upkeep.export.paths import path_of

_ATTEMPTS = 3
_EXPORTED = "lumibot_duckdb_exported"
_EXPORTED_COLUMNS = pa.schema([("series_id", pa.int32()), ("version_id", pa.int32()), ("last_ingest", pa.int32())])
_Exported: TypeAlias = tuple[SeriesKey, ExportedFile]
# Measured on minute bars of stocks with five columns; the time counts as one.
_BYTES_OF_VALUE = {"parquet": 1.4, "csv": 10.0, "arrow": 2.5}
_BYTES_OF_FILE = {"parquet": 4_000, "csv": 100, "arrow": 2_000}


@dataclass(frozen=True, slots=True)
class FileReport:
    """A file of an export: its path in the folder, its rows and its size. `key` is None for the result of a query."""

    path: str
    key: SeriesKey | None
    rows: int
    bytes: int


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What an export wrote, or would write. Then the sizes are estimates."""

    folder: str
    format: str
    files: tuple[FileReport, ...]

    @property
    def rows(self) -> int:
        """The number of bars, or of rows of the result."""
        return sum(file.rows for file in self.files)

    @property
    def bytes(self) -> int:
        """The size of all files."""
        return sum(file.bytes for file in self.files)


def chosen_series(store: OpenStore, series: Iterable[AssetLike | SeriesKey] | None) -> list[SeriesKey]:
    """Return the keys of series, each once; those of all series for None. Raises `SeriesNotFoundError`."""
    store.refresh()
    if series is None:
        keys = sorted((record.key for record in store.catalog.everything(None, None)), key=listing_order)
        if not keys:
            raise SeriesNotFoundError("the store has no series to export")
        return keys
    if isinstance(series, str):
        raise InvalidExportError(f"series is the text {series!r}; pass a list, such as [{series!r}]")
    return list(dict.fromkeys(key for each in series for key in _keys_of(store, each)))


def _keys_of(store: OpenStore, chosen: AssetLike | SeriesKey) -> list[SeriesKey]:
    if isinstance(chosen, SeriesKey):
        found = store.catalog.find(chosen)
        records = [] if found is None else [found]
        label = chosen.label()
    else:
        query = asset_query(chosen)
        records = store.catalog.matching(query, None, None, None)
        label = query.key.label()
    if not records:
        raise SeriesNotFoundError(f"the store has no bars of {label}")
    return sorted((record.key for record in records), key=listing_order)


class SeriesExporter:
    """Exports series of a store, all bars or those `within` a range."""

    def __init__(self, store: OpenStore, file_format: str, within: TimeRange | None = None) -> None:
        self._store = store
        self._format = checked_format(file_format)
        self._within = within

    def plan(self, folder: Path, series: Sequence[SeriesKey], *, replace: bool) -> ExportReport:
        """Return what `export` would write."""
        check_target(folder, replace=replace)
        pins = [pin for pin in map(self._pinned, self._in_range(series)) if pin is not None]
        return ExportReport(str(folder), self._format, tuple(map(self._estimate, pins)))

    def export(
        self, folder: Path, series: Sequence[SeriesKey], *, replace: bool, on_rows: OnRows | None = None
    ) -> ExportReport:
        """Write series into a folder; those that are deleted meanwhile are left out."""
        pins = [pin for pin in map(self._pinned, self._in_range(series)) if pin is not None]
        sizes = {pin.key: self._store.state(pin).rows for pin in pins}
        progress = _Progress(sum(sizes.values()), on_rows)
        written = []
        with new_folder(folder, replace=replace) as unfinished, _manifest(unfinished, self._format) as manifest:
            for batch in in_batches(sizes, sizes.__getitem__):
                for key, found in self._export(unfinished, batch, progress):
                    manifest.add(found)
                    written.append(FileReport(found.path, key, found.rows, found.bytes))
                progress.end(sum(sizes[key] for key in batch))
        return ExportReport(str(folder), self._format, tuple(written))

    def _in_range(self, series: Sequence[SeriesKey]) -> Sequence[SeriesKey]:
        """Return the series that have bars or coverage in the range. Raises `SeriesNotFoundError` if none has."""
        if self._within is None:
            return series
        found = [key for key in series if self._has_any(key)]
        if not found:
            raise SeriesNotFoundError("none of these series has bars or coverage in this range")
        return found

    def _has_any(self, key: SeriesKey) -> bool:
        pin = self._pinned(key)
        if pin is None:
            return False
        with self._store.read_pinned(pin) as cursor:
            return any(self._coverage(cursor, [pin]).values()) or any(rows for _, rows in self._pieces(cursor, [pin]))

    def _export(self, folder: Path, keys: Sequence[SeriesKey], progress: _Progress) -> list[_Exported]:
        """Write series, without those that are deleted."""
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return self._write(folder, keys, progress)
            except VersionGoneError:  # a long one was superseded, and its bars removed, while it was read in pieces
                for key in keys:
                    (folder / path_of(key, self._format)).unlink(missing_ok=True)
                if attempt == _ATTEMPTS:
                    raise
        return []

    def _write(self, folder: Path, keys: Sequence[SeriesKey], progress: _Progress) -> list[_Exported]:
        with self._store.read() as cursor:  # nobody writes meanwhile: of many series, one always has just been changed
            pins = [pin for pin in map(self._pinned, keys) if pin is not None]
            if not pins:
                return []
            coverage = self._coverage(cursor, pins)
            actions = _actions(cursor, [pin.key for pin in pins])
            labels = stored_labels(cursor, {pin.key.asset for pin in pins})
            writes = self._writes(cursor, pins)
            pieces = self._pieces(cursor, pins)
            together = self._read(pins, None) if len(pins) > 1 else {}
        written = []
        for pin in pins:
            in_pieces = (self._read([pin], piece)[pin.version_id] for piece, _ in pieces)
            tables = iter([together.pop(pin.version_id)]) if together else in_pieces
            layout, (ids, of_series) = self._store.state(pin).layout, writes[pin.version_id]
            place = path_of(pin.key, self._format)
            path = folder / place
            path.parent.mkdir(parents=True, exist_ok=True)
            about = json.dumps({**key_fields(pin.key), **layout_fields(layout)})
            schema = schema_of(layout, self._format).with_metadata({MARK: about})
            runs: list[tuple[int, int]] = []
            with table_writer(path, schema, self._format) as writer:
                for stored in tables:
                    if stored.num_rows:
                        writer.write_table(file_table(stored, layout, schema, pin.key.label()))
                        _extend(runs, bars_per_write(_places(ids, stored, pin)))
                    progress.add(stored.num_rows)
            covered = tuple(coverage.get(pin.series_id, ()))
            known = (actions[pin.key], labels.get(pin.key.asset, {}))
            exported = ExportedSeries(pin.key, layout, covered, of_series, tuple(runs), *known)
            file = ExportedFile(place, path.stat().st_size, digest_of(path), exported.bars, exported)
            written.append((pin.key, file))
        return written

    def _estimate(self, pin: SeriesPin) -> FileReport:
        with self._store.read_pinned(pin) as cursor:
            rows = sum(count for _, count in self._pieces(cursor, [pin]))
        values = rows * (1 + len(self._store.state(pin).layout.columns))
        size = _BYTES_OF_FILE[self._format] + round(values * _BYTES_OF_VALUE[self._format])
        return FileReport(path_of(pin.key, self._format), pin.key, rows, size)

    def _pinned(self, key: SeriesKey) -> SeriesPin | None:
        """Pin the current version of a series; None if it is deleted."""
        store = self._store
        record = store.catalog.find(key) if store.refresh() else None
        head = None if record is None else store.catalog.head(record.series_id)
        if record is None or head is None:
            return None
        return SeriesPin(key, record.series_id, head.version_id, head.ingest_id, head.ingested_at)

    def _coverage(self, cursor: StoreCursor, pins: Sequence[SeriesPin]) -> dict[int, list[Covered]]:
        """Return what was covered when the series were pinned, by series, expired ranges included."""
        up_to = {pin.series_id: pin.ingest_id for pin in pins}
        known = stored_coverage(cursor, None, up_to, up_to=up_to)
        if self._within is None:
            return known
        within = [self._within]
        return {
            series_id: [(part, until) for piece, until in covered for part in common([piece], within)]
            for series_id, covered in known.items()
        }

    def _writes(
        self, cursor: StoreCursor, pins: Sequence[SeriesPin]
    ) -> dict[int, tuple[Int64Array, tuple[ExportedWrite, ...]]]:
        """Return the writes that stored the bars, and their ids, by version."""
        cursor.register(_EXPORTED, rows_of(_EXPORTED_COLUMNS, [(p.series_id, p.version_id, p.ingest_id) for p in pins]))
        within = "true" if self._within is None else _inside(self._within)
        rows = cursor.rows(sql_file("export_writes.sql").replace("{within}", within))
        cursor.unregister(_EXPORTED)
        found: dict[int, list[IngestRow]] = {pin.version_id: [] for pin in pins}
        for version_id, *row in rows:
            found[version_id].append(tuple(row))
        return {version_id: _exported_writes(ingest_infos(of_version)) for version_id, of_version in found.items()}

    def _pieces(self, cursor: StoreCursor, pins: Sequence[SeriesPin]) -> list[tuple[TimeRange | None, int]]:
        """Return ranges with not too many bars each, and their numbers of bars. None is all."""
        rows = sum(self._store.state(pin).rows for pin in pins)
        if len(pins) > 1 or (self._within is None and rows <= ROWS_OF_PIECE):
            return [(None, rows)]
        (pin,) = pins
        days = cursor.rows(
            f"SELECT {epoch_sql('ts::DATE')}, count(*) FROM {{db}}.bar WHERE {self._rows(pin)} "
            "GROUP BY ts::DATE ORDER BY ts::DATE"
        )
        pieces: list[tuple[TimeRange | None, int]] = []
        start, counted = None, 0
        for day, count in days:
            if start is not None and counted + count > ROWS_OF_PIECE:
                pieces.append((TimeRange(start, day), counted))
                start, counted = None, 0
            start, counted = day if start is None else start, counted + count
        if start is not None:
            pieces.append((TimeRange(start, days[-1][0] + SECONDS_PER_DAY), counted))
        return pieces

    def _read(self, pins: Sequence[SeriesPin], piece: TimeRange | None) -> dict[int, pa.Table]:
        """Return the bars of a piece, by version."""
        columns = [column for pin in pins for column in self._store.state(pin).layout.columns]
        conditions = [is_one_of("version_id", [pin.version_id for pin in pins])]
        conditions += [_inside(within) for within in (self._within, piece) if within is not None]
        with self._store.read_pinned(pins[0]) as cursor:
            table = stored_rows(cursor, columns, " AND ".join(conditions), ("version_id", "ingest_id"))
            found = dict(pinned_parts(table, {pin.version_id: pin.ingest_id for pin in pins}))
            for pin in pins:
                if not found[pin.version_id].num_rows:
                    self._store.refuse_if_gone(cursor, pin)
        self._store.counters.count_read(table.num_rows, table.nbytes)
        return {version_id: in_time_order(rows)[0] for version_id, rows in found.items()}

    def _rows(self, pin: SeriesPin) -> str:
        """Return the SQL condition for the bars to export."""
        return pinned_rows(pin) if self._within is None else f"{pinned_rows(pin)} AND {_inside(self._within)}"


def export_query(
    store: OpenStore, folder: Path, query: str, file_format: str, *, replace: bool, on_rows: OnRows | None = None
) -> ExportReport:
    """Write the result of one read-only statement into a folder. Writers wait until it is written."""
    place = f"query.{checked_format(file_format)}"
    store.require()
    readonly_sql.refuse_all_but_reading(query)
    with new_folder(folder, replace=replace) as unfinished:
        path, rows = unfinished / place, 0
        with store.counters.timing(), store.connection.query() as duck:
            reader = _result(duck, query)
            names = reader.schema.names
            twice = next((name for name in names if names.count(name) > 1), None)
            if twice is not None:
                raise InvalidExportError(f"several columns of the result are called {twice}; rename them with AS")
            with table_writer(path, reader.schema, file_format) as writer:
                while (batch := _next_rows(duck, reader)) is not None:
                    writer.write_table(pa.Table.from_batches([batch]))
                    rows += batch.num_rows
                    if on_rows is not None:
                        on_rows(rows, 0)
        size = path.stat().st_size
        with _manifest(unfinished, file_format) as manifest:
            manifest.add(ExportedFile(place, size, digest_of(path), rows, None))
    return ExportReport(str(folder), file_format, (FileReport(place, None, rows, size),))


@contextmanager
def _manifest(folder: Path, file_format: str) -> Iterator[ManifestWriter]:
    """Give the manifest of a folder, which is on the disk when the block ends."""
    with (folder / NAME).open("xb") as file:
        manifest = ManifestWriter(file, file_format)
        yield manifest
        manifest.end()
        file.flush()
        os.fsync(file.fileno())


class _Progress:
    """Reports how many bars are done. A series counts with the bars that it had at first."""

    def __init__(self, total: int, on_rows: OnRows | None) -> None:
        self._total = total
        self._on_rows = on_rows
        self._before = self._here = 0

    def add(self, rows: int) -> None:
        """Count bars of the current series, or of those that are exported together."""
        self._here += rows
        self._report(self._before + self._here)

    def end(self, rows: int) -> None:
        """Count whole series."""
        self._before, self._here = self._before + rows, 0
        self._report(self._before)

    def _report(self, done: int) -> None:
        if self._on_rows is not None:
            self._on_rows(min(done, self._total), self._total)


def _actions(cursor: StoreCursor, keys: Sequence[SeriesKey]) -> dict[SeriesKey, dict[str, KnownActions]]:
    """Return what is known of the splits and dividends of stocks, or of those under options."""
    stocks = {key: AssetKey(key.asset.symbol) for key in keys}
    found: dict[SeriesKey, dict[str, KnownActions]] = {key: {} for key in keys}
    for source, kind in product({key.source for key in keys}, KINDS):
        known = actions_of(cursor, {stocks[key] for key in keys if key.source == source}, source, kind)
        for key in keys:
            if key.source == source and stocks[key] in known:
                found[key][kind] = known[stocks[key]]
    return found


def _exported_writes(found: Sequence[IngestInfo]) -> tuple[Int64Array, tuple[ExportedWrite, ...]]:
    writes = tuple(
        ExportedWrite(each.ingested_at, "coverage" if each.kind == "coverage" else "bars", dict(each.metadata))
        for each in found
    )
    return np.array([each.ingest_id for each in found], np.int64), writes


def _places(ids: Int64Array, stored: pa.Table, pin: SeriesPin) -> Int64Array:
    """Return for each bar which of some writes stored it."""
    found = stored["ingest_id"].to_numpy().astype(np.int64)
    places: Int64Array = np.searchsorted(ids, found).astype(np.int64)
    if not len(ids) or not (ids[np.minimum(places, len(ids) - 1)] == found).all():
        raise StoreDamagedError(f"bars of {pin.key.label()} belong to a write that does not exist; run `verify`")
    return places


def _extend(runs: list[tuple[int, int]], further: list[tuple[int, int]]) -> None:
    """Append runs, and join the first of them with the last one if they are of the same write."""
    if runs and further and runs[-1][0] == further[0][0]:
        runs[-1] = (runs[-1][0], runs[-1][1] + further[0][1])
        further = further[1:]
    runs += further


def _inside(piece: TimeRange) -> str:
    return starts_between(piece.start, piece.end)


def _result(duck: duckdb.DuckDBPyConnection, query: str) -> pa.RecordBatchReader:
    with readonly_sql.refusals():
        return interruptibly(duck, lambda: duck.sql(query).to_arrow_reader(ROWS_OF_PIECE))


def _next_rows(duck: duckdb.DuckDBPyConnection, reader: pa.RecordBatchReader) -> pa.RecordBatch | None:
    """Return the next rows of a result; raise `duckdb.Error` if the query fails."""
    try:
        return interruptibly(duck, lambda: next(reader, None))
    except (pa.ArrowException, OSError) as error:
        raise duckdb.Error(str(error)) from error
