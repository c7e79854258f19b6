"""Opens a file of bars as a table. The content decides the format, not the name."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import pyarrow as pa

from lumibot_duckdb.importing import zip_archive
from lumibot_duckdb.importing.columnar import ArrowTable, ParquetTable
from lumibot_duckdb.importing.delimited import DelimitedTable
from lumibot_duckdb.importing.errors import FileRefusedError
from lumibot_duckdb.importing.table_file import TableFile
from lumibot_duckdb.importing.text_form import TextChoice
from lumibot_duckdb.importing.text_stream import MAX_EXPANSION


def open_table(
    path: Path,
    choice: TextChoice | None = None,
    wanted: Collection[str] = (),
    symbol: str | None = None,
    max_expansion: int = MAX_EXPANSION,
) -> TableFile:
    """Return a file as a table.

    `wanted` are columns that the user named, `symbol` the one to take if the file has several side by side, and
    `max_expansion` is how many times larger than the file its unpacked content may be. Raises `FileRefusedError` with
    the reason if it cannot be read.
    """
    _check_name(path)
    try:
        with path.open("rb") as file:
            start = file.read(8)
        if start.startswith(b"PAR1"):
            return ParquetTable(path, symbol, max_expansion)
        if start.startswith((b"ARROW1", b"FEA1", b"\xff\xff\xff\xff")):
            return ArrowTable(path)
        if start.startswith(zip_archive.MAGIC) and zip_archive.member_of(path) is None:
            raise FileRefusedError(
                "it is a zip archive or an Excel file, and does not hold a single text file: unpack it, or save it as "
                "CSV"
            )
        return DelimitedTable(path, choice, wanted, symbol, max_expansion)
    except (OSError, pa.ArrowException) as error:
        raise FileRefusedError(f"it cannot be read: {first_line(error)}") from error


def _check_name(path: Path) -> None:
    """Refuse a name that Arrow and the store's record of files cannot handle."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise FileRefusedError("its path is not UTF-8 text: rename it") from None


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message."""
    lines = str(getattr(error, "strerror", None) or error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
