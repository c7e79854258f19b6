"""Writes and reads tables as Parquet, CSV and Arrow files, in pieces of bounded size."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.csv
import pyarrow.ipc
import pyarrow.parquet

from lumibot_duckdb.storage.errors import InvalidExportError

FORMATS = ("parquet", "csv", "arrow")
ROWS_OF_PIECE = 2 * 122_880
"""Rows that are held in memory at a time, and the size of a row group."""
MARK = b"lumibot_duckdb"
"""The key of what a Parquet or Arrow file says about itself."""

_CSV_BLOCK = 8 * 2**20
_LARGEST_GROUP = 2**30


class TableWriter(Protocol):
    """Takes the rows of a file."""

    def write_table(self, table: pa.Table) -> None:
        """Write rows."""


def checked_format(name: str) -> str:
    """Return the name of a format; raise `InvalidExportError` if there is none of that name."""
    if name not in FORMATS:
        raise InvalidExportError(f"{name!r} is not a format for exports; pass one of {', '.join(FORMATS)}")
    return name


@contextmanager
def table_writer(path: Path, schema: pa.Schema, file_format: str) -> Iterator[TableWriter]:
    """Give what writes a new file. The file is on the disk when the block ends."""
    with path.open("xb") as file:
        try:
            with _writer(file, schema, file_format) as writer:
                yield writer
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError) as error:
            raise InvalidExportError(
                f"{path.name} cannot be written as {file_format}: {str(error).partition(chr(10))[0]}; convert the "
                "column in the query, or choose another format"
            ) from error
        file.flush()
        os.fsync(file.fileno())


def _writer(file: Any, schema: pa.Schema, file_format: str) -> AbstractContextManager[TableWriter]:
    made: AbstractContextManager[TableWriter]
    if file_format == "csv":
        made = pa.csv.CSVWriter(file, schema)
    elif file_format == "arrow":
        made = pa.ipc.new_file(file, schema, options=pa.ipc.IpcWriteOptions(compression="zstd"))
    else:
        # Times and counts are small as differences: a minute takes nothing. Prices repeat.
        whole = [field.name for field in schema if _is_whole(field.type)]
        made = pa.parquet.ParquetWriter(
            file,
            schema,
            compression="zstd",
            use_dictionary=[name for name in schema.names if name not in whole],
            column_encoding=dict.fromkeys(whole, "DELTA_BINARY_PACKED"),
        )
    return made


def _is_whole(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_timestamp(kind))


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(2**20):
            digest.update(part)
    return digest.hexdigest()


def is_marked(path: Path) -> bool:
    """Return whether a Parquet or Arrow file says that it is an exported series."""
    with path.open("rb") as file:
        start = file.read(8)
    try:
        if start.startswith(b"PAR1"):
            metadata = pa.parquet.read_schema(path).metadata
        elif start.startswith(b"ARROW1"):
            with pa.memory_map(str(path)) as source:
                metadata = pa.ipc.open_file(source).schema.metadata
        else:
            return False
    except pa.ArrowException:
        return False
    return MARK in (metadata or {})


def tables_of(path: Path, schema: pa.Schema, file_format: str) -> Iterator[pa.Table]:
    """Yield the rows of a file in pieces. Raises `pa.ArrowException`, or ValueError if its columns are others."""
    with _batches(path, schema, file_format) as (found, batches):
        if not found.equals(schema, check_metadata=False):
            raise ValueError("its columns are not those of the manifest")
        for batch in batches:
            batch.validate(full=True)
            yield pa.Table.from_batches([batch], found).cast(schema)


@contextmanager
def _batches(path: Path, schema: pa.Schema, file_format: str) -> Iterator[tuple[pa.Schema, Iterator[pa.RecordBatch]]]:
    if file_format == "parquet":
        with pa.parquet.ParquetFile(path) as file:
            groups = (file.metadata.row_group(number) for number in range(file.metadata.num_row_groups))
            if any(max(group.num_rows, group.total_byte_size) > _LARGEST_GROUP for group in groups):
                raise ValueError("one of its row groups is too large")
            yield file.schema_arrow, file.iter_batches(ROWS_OF_PIECE)
    elif file_format == "arrow":
        with pa.memory_map(str(path)) as source:
            reader = pa.ipc.open_file(source)
            yield reader.schema, (reader.get_batch(number) for number in range(reader.num_record_batches))
    else:
        with pa.csv.open_csv(
            path,
            read_options=pa.csv.ReadOptions(block_size=min(_CSV_BLOCK, path.stat().st_size + 1)),
            parse_options=pa.csv.ParseOptions(newlines_in_values=True),
            convert_options=pa.csv.ConvertOptions(
                column_types=schema,
                null_values=[""],
                true_values=["true"],
                false_values=["false"],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        ) as reader:
            yield reader.schema, iter(reader)
