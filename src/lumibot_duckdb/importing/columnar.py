"""Parquet, Feather and Arrow files, read in pieces of bounded size."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.ipc
import pyarrow.parquet

from lumibot_duckdb.importing.columns import score_columns
from lumibot_duckdb.importing.errors import FileRefusedError
from lumibot_duckdb.importing.side_by_side import columns_of_symbol, pair_of_name
from lumibot_duckdb.importing.table_file import Piece, TableFile

_ROWS = 262_144
_BYTES_OF_A_VALUE = 8
_ALWAYS_ALLOWED_BYTES = 1 << 30
_COLUMNS_OF_BARS = 6


class ParquetTable(TableFile):
    """A Parquet file. Its row groups are read one after the other."""

    def __init__(self, path: Path, symbol: str | None, max_expansion: int) -> None:
        """`symbol` is the one to take if the file has several side by side."""
        self._file = pyarrow.parquet.ParquetFile(path)
        rows, width = self._file.metadata.num_rows, self._file.metadata.num_columns
        allowed = max(path.stat().st_size * max_expansion, _ALWAYS_ALLOWED_BYTES)
        if rows * min(width, _COLUMNS_OF_BARS) * _BYTES_OF_A_VALUE > allowed:
            raise FileRefusedError(
                f"its {rows:,} rows unpack to more than {max_expansion} times its size: if it is not damaged, allow "
                "more with --max-expansion"
            )
        self._names, self.symbol = _named(self._file.schema_arrow.names, symbol)
        self.columns = tuple(self._names)

    def pieces(self, columns: Sequence[str] | None = None) -> Iterator[Piece]:
        """Yield the rows, of some columns or of all."""
        names = list(columns or self.columns)
        batches = self._file.iter_batches(_ROWS, columns=[self._names[name] for name in names])
        return _numbered(
            (batch.select([self._names[name] for name in names]).rename_columns(names) for batch in batches),
            self._file.metadata.num_rows,
        )


class ArrowTable(TableFile):
    """A Feather or Arrow file: the Arrow IPC format with or without a footer, or Feather's first version."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._feather_1 = path.open("rb").read(4) == b"FEA1"
        self.columns = _checked(next(self._tables(None)).column_names)
        self._rows = sum(table.num_rows for table in self._tables(list(self.columns[:1])))

    def pieces(self, columns: Sequence[str] | None = None) -> Iterator[Piece]:
        """Yield the rows, of some columns or of all."""
        tables = self._tables(None if columns is None else list(columns))
        return _numbered((batch for table in tables for batch in table.to_batches(_ROWS)), self._rows)

    def _tables(self, columns: list[str] | None) -> Iterator[pa.Table]:
        if self._feather_1:
            yield pyarrow.feather.read_table(self._path, columns=columns)
            return
        with pa.memory_map(str(self._path)) as source:
            try:
                reader = pa.ipc.open_file(source)
                batches = (reader.get_batch(i) for i in range(reader.num_record_batches))
            except pa.ArrowInvalid:
                source.seek(0)
                reader = pa.ipc.open_stream(source)
                batches = iter(reader)
            yield _selected(reader.schema.empty_table(), columns)
            for batch in batches:
                yield _selected(pa.Table.from_batches([batch]), columns)


def _selected(table: pa.Table, columns: list[str] | None) -> pa.Table:
    return table if columns is None else table.select(columns)


def _named(names: Sequence[str], wanted: str | None) -> tuple[Mapping[str, str], str | None]:
    """Return the names to use for a file's columns and its symbol, if the columns are pairs of a field and a symbol."""
    pairs = [pair_of_name(name) for name in names]
    if not any(pairs):
        return dict(zip(_checked(names), names, strict=True)), None
    both = [pair or (name, "") for pair, name in zip(pairs, names, strict=True)]
    # yfinance puts the field first unless it groups by ticker.
    if score_columns([second for _, second in both]) > score_columns([first for first, _ in both]):
        both = [(second, first) if second else (first, second) for first, second in both]
    chosen = columns_of_symbol(both, wanted)
    return dict(zip(_checked(chosen.names), names, strict=True)), chosen.symbol


def _checked(names: Sequence[str]) -> tuple[str, ...]:
    twice = sorted({name for name in names if list(names).count(name) > 1})
    if twice:
        raise FileRefusedError(f"several columns are called {', '.join(twice)}")
    return tuple(names)


def _numbered(batches: Iterator[pa.RecordBatch], rows: int) -> Iterator[Piece]:
    done = 0
    for batch in batches:
        numbers = np.arange(done + 1, done + batch.num_rows + 1)
        done += batch.num_rows
        yield Piece(pa.Table.from_batches([batch]), numbers, progress=done / max(rows, 1))
