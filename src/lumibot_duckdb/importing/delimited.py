"""Delimited text files: reads their fields as strings."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv

from lumibot_duckdb.importing.arrays import IntArray
from lumibot_duckdb.importing.table_file import Piece, TableFile
from lumibot_duckdb.importing.text_form import NOTHING, TextChoice, find_form
from lumibot_duckdb.importing.text_stream import LONGEST_LINE, MAX_EXPANSION, TextFile, TextStream

_BLOCK_BYTES = LONGEST_LINE
_FOOTER = re.compile(r'"?Downloaded from ', re.IGNORECASE)
_LINES_SHOWN = 5


class DelimitedTable(TableFile):
    """A file of text fields. Every column has strings, unchanged."""

    def __init__(
        self,
        path: Path,
        choice: TextChoice | None = None,
        wanted: Collection[str] = (),
        symbol: str | None = None,
        max_expansion: int = MAX_EXPANSION,
    ) -> None:
        """`wanted` are the columns that the user named, by which the header line is recognised.

        Raises `FileRefusedError` if the file has no header line or is not text.
        """
        self._text = TextFile(path, max_expansion)
        form = find_form(self._text.first_text(), choice or TextChoice(), wanted, symbol)
        self.columns, self.delimiter, self.symbol = form.names, form.delimiter, form.symbol
        self.scale, self.is_lean = form.scale, form.is_lean
        self._body, self._first_line = form.body, form.line

    def pieces(self, columns: Sequence[str] | None = None) -> Iterator[Piece]:
        """Yield the rows, of some columns or of all."""
        names = list(columns or self.columns)
        place = {name: str(index) for index, name in enumerate(self.columns)}
        malformed: list[tuple[int, str]] = []

        def set_aside(row: pyarrow.csv.InvalidRow) -> str:
            malformed.append((row.number, row.text))
            return "skip"

        with self._text.open() as stream:
            stream.read(self._body)
            next_row = 1
            used, progress = self._body, 0.0
            for batch in self._reader(stream, [place[name] for name in names], set_aside):
                numbers, before = _number(batch.num_rows, next_row, malformed)
                next_row += batch.num_rows + len(before)
                used += _BLOCK_BYTES
                table = pa.Table.from_batches([batch]).rename_columns(names)
                progress = max(progress, stream.progress(used))
                yield Piece(table, numbers, progress, _worth_keeping(before))
                del malformed[: len(before)]
            if malformed:
                nothing = pa.table({name: pa.array([], pa.string()) for name in names})
                yield Piece(nothing, np.empty(0, np.int64), 1.0, _worth_keeping(malformed))

    def place_of(self, row: int) -> str:
        """Return where a row is: its number, and the line, which differs by header lines and empty lines."""
        with self._text.open() as stream:
            stream.read(self._body)
            line, seen, rest = self._first_line, 0, b""
            while chunk := stream.read(_BLOCK_BYTES):
                *lines, rest = (rest + chunk).splitlines(keepends=True)
                for text in lines:
                    seen += bool(text.strip(b"\r\n"))
                    if seen == row:
                        return f"row {row} (line {line})"
                    line += 1
        return f"row {row} (line {line})"

    def notes(self) -> list[str]:
        """Return what was noticed while the file was read."""
        lines = sorted(self._text.unclosed)
        if not lines:
            return []
        shown = ", ".join(map(str, lines[:_LINES_SHOWN])) + (", ..." if len(lines) > _LINES_SHOWN else "")
        where = f"line {shown}" if len(lines) == 1 else f"lines {shown}"
        return [f"a quote is not closed in {where}: read as if it were not there"]

    def _reader(
        self, stream: TextStream, columns: list[str], set_aside: Callable[[pyarrow.csv.InvalidRow], str]
    ) -> Iterator[pa.RecordBatch]:
        read = pyarrow.csv.ReadOptions(
            use_threads=False,  # with threads, malformed rows come without their numbers
            block_size=_BLOCK_BYTES,
            column_names=[str(i) for i in range(len(self.columns))],
        )
        parse = pyarrow.csv.ParseOptions(delimiter=self.delimiter, invalid_row_handler=set_aside)
        convert = pyarrow.csv.ConvertOptions(
            column_types=dict.fromkeys(columns, pa.string()),
            include_columns=columns,
            strings_can_be_null=False,
        )
        try:
            yield from pyarrow.csv.open_csv(pa.PythonFile(stream, mode="r"), read, parse, convert)
        except pa.ArrowInvalid as error:
            if str(error) != "Empty CSV file":
                raise


def _number(rows: int, first: int, malformed: Sequence[tuple[int, str]]) -> tuple[IntArray, list[tuple[int, str]]]:
    """Return the numbers of consecutive rows without the malformed ones, and those of the malformed ones."""
    skipped = 0
    while skipped < len(malformed) and malformed[skipped][0] < first + rows + skipped:
        skipped += 1
    numbers = np.arange(first, first + rows + skipped)
    numbers = np.delete(numbers, [number - first for number, _ in malformed[:skipped]])
    return numbers, list(malformed[:skipped])


def _worth_keeping(malformed: Sequence[tuple[int, str]]) -> tuple[tuple[int, str], ...]:
    """Return the malformed rows that are neither empty nor a vendor's line at the end of the file."""
    return tuple((row, text) for row, text in malformed if text.strip(NOTHING) and not _FOOTER.match(text))
