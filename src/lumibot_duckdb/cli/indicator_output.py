"""Prints and writes rows of indicators while they are computed."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from lumibot_duckdb.cli import query_output
from lumibot_duckdb.cli.errors import CommandError
from lumibot_duckdb.cli.layout import new_york, table, terminal_width

TABLE_ROWS = 1_000
_ROWS_AT_A_TIME = 10_000

OnAsset = Callable[[int], object]
"""Called with 1 for each asset that is done."""


def print_rows(reader: pa.RecordBatchReader, file_format: str, on_asset: OnAsset) -> None:
    """Print all rows, of a table the first ones."""
    if file_format != "table":
        _write_text(reader, file_format, sys.stdout, on_asset)
        return
    shown: list[tuple[Any, ...]] = []
    rows = 0
    for batch in _counted(reader, on_asset):
        rows += batch.num_rows
        shown += _rows(batch.slice(0, TABLE_ROWS - len(shown)))
        if rows > TABLE_ROWS:
            break
    width = terminal_width()
    names = reader.schema.names
    print(table(names, [_cells(row) for row in shown], [False, False, *([True] * (len(names) - 2))], width))
    print("\nTimes are New York time.")
    if rows > TABLE_ROWS:
        print(
            f"The first {TABLE_ROWS:,} rows. --from and --to choose others; --format csv prints all.", file=sys.stderr
        )


def write_file(reader: pa.RecordBatchReader, file_format: str, file: Path, on_asset: OnAsset) -> int:
    """Write all rows to a file, which has its name when it is complete; return their number. Raises `CommandError`."""
    with completed(file) as unfinished:
        return _written(reader, file_format, unfinished, on_asset)


@contextmanager
def completed(file: Path) -> Iterator[Path]:
    """Yield the path of a file to write, which replaces `file` at the end of the block. Raises `CommandError`."""
    unfinished = file.with_name(f"{file.name}.{os.getpid()}.part")
    try:
        try:
            yield unfinished
            unfinished.replace(file)
        except BaseException:
            with suppress(OSError):
                unfinished.unlink(missing_ok=True)
            raise
    except OSError as error:
        if not isinstance(error.strerror, str):
            raise
        raise CommandError(f"cannot write to {file}: {error.strerror}") from error


def _written(reader: pa.RecordBatchReader, file_format: str, file: Path, on_asset: OnAsset) -> int:
    if file_format != "parquet":
        with file.open("x", encoding="utf-8", newline="") as text:
            return _write_text(reader, file_format, text, on_asset)
    from pyarrow import parquet

    rows = 0
    with parquet.ParquetWriter(file, reader.schema) as writer:
        for batch in _counted(reader, on_asset):
            writer.write_batch(batch)
            rows += batch.num_rows
    return rows


def _write_text(reader: pa.RecordBatchReader, file_format: str, text: IO[str], on_asset: OnAsset) -> int:
    written = 0

    def rows() -> Iterator[tuple[Any, ...]]:
        nonlocal written
        for batch in _counted(reader, on_asset):
            for begin in range(0, batch.num_rows, _ROWS_AT_A_TIME):
                yield from _rows(batch.slice(begin, _ROWS_AT_A_TIME))
            written += batch.num_rows

    write = query_output.write_csv if file_format == "csv" else query_output.write_json
    write(reader.schema.names, rows(), text)
    return written


def _counted(reader: pa.RecordBatchReader, on_asset: OnAsset) -> Iterator[pa.RecordBatch]:
    last = None
    for batch in reader:
        asset = batch.column(0)[0]
        if last not in (None, asset):
            on_asset(1)
        last = asset
        yield batch


def _rows(batch: pa.RecordBatch) -> Iterator[tuple[Any, ...]]:
    return zip(*(column.to_pylist() for column in batch.columns), strict=True)


def _cells(row: tuple[Any, ...]) -> list[str]:
    symbol, time, *numbers = row
    return [symbol, new_york(int(time.timestamp())), *("" if n is None else f"{n:.8g}" for n in numbers)]
