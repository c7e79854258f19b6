"""Delimited text files: detects the encoding, delimiter and header of a file, and reads its fields as strings."""

from __future__ import annotations

import codecs
import csv
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv

from lumibot_duckdb.importing.arrays import IntArray
from lumibot_duckdb.importing.columns import score_columns
from lumibot_duckdb.importing.errors import FileRefusedError
from lumibot_duckdb.importing.table_file import Piece, TableFile

_BLOCK_BYTES = 8 << 20
_SAMPLE_BYTES = 256 << 10
_SAMPLE_LINES = 100
_HEADER_LINES = 40
_HEADER_SCORE = 3
_DELIMITERS = (",", ";", "\t", "|")
_COMPRESSIONS = {b"\x1f\x8b": "gzip", b"BZh": "bz2", b"\x28\xb5\x2f\xfd": "zstd"}
_BOM = b"\xef\xbb\xbf"
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_LINE = re.compile(r"([^\r\n]*)(\r\n|\n|\r|$)")
_DATA = re.compile(r"[+-]?[\d.,:/\- T]+Z?")
_NOTHING = " \t\x1a\x00"


@dataclass(frozen=True, slots=True)
class TextChoice:
    """The user's options for text files: `header` names the columns of a file without a header line."""

    header: tuple[str, ...] | None = None
    delimiter: str | None = None


@dataclass(frozen=True, slots=True)
class _Form:
    """The format of a file. `body` is the position of the first row, in bytes of the text in UTF-8."""

    names: tuple[str, ...]
    delimiter: str
    body: int
    symbol: str | None = None


class DelimitedTable(TableFile):
    """A file of text fields. Every column has strings, unchanged."""

    def __init__(self, path: Path, choice: TextChoice | None = None, wanted: Collection[str] = ()) -> None:
        """`wanted` are the columns that the user named, by which the header line is recognised.

        Raises `FileRefusedError` if the file has no header line or is not text.
        """
        self._path = path
        self._size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(4)
        self._compression = next((name for magic, name in _COMPRESSIONS.items() if start.startswith(magic)), None)
        self._encoding = self._find_encoding()
        form = _find_form(self._first_text(), choice or TextChoice(), wanted)
        self.columns, self.delimiter, self.symbol = form.names, form.delimiter, form.symbol
        self._body = form.body

    def pieces(self, columns: Sequence[str] | None = None) -> Iterator[Piece]:
        """Yield the rows, of some columns or of all."""
        names = list(columns or self.columns)
        malformed: list[tuple[int, str]] = []

        def set_aside(row: pyarrow.csv.InvalidRow) -> str:
            malformed.append((row.number, row.text))
            return "skip"

        with pa.OSFile(str(self._path)) as raw:
            stream = self._text(raw)
            stream.read(self._body)
            next_row = 1
            for batch in self._reader(stream, [str(self.columns.index(name)) for name in names], set_aside):
                numbers, before = _number(batch.num_rows, next_row, malformed)
                next_row += batch.num_rows + len(before)
                table = pa.Table.from_batches([batch]).rename_columns(names)
                yield Piece(table, numbers, raw.tell() / self._size, _not_blank(before))
                del malformed[: len(before)]
            if malformed:
                nothing = pa.table({name: pa.array([], pa.string()) for name in names})
                yield Piece(nothing, np.empty(0, np.int64), 1.0, _not_blank(malformed))

    def _reader(
        self, stream: pa.NativeFile, columns: list[str], set_aside: Callable[[pyarrow.csv.InvalidRow], str]
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
            yield from pyarrow.csv.open_csv(stream, read, parse, convert)
        except pa.ArrowInvalid as error:
            if str(error) != "Empty CSV file":
                raise

    def _text(self, raw: pa.NativeFile) -> pa.NativeFile:
        """Return the file's text as a stream of UTF-8; bytes that are invalid in its encoding become "\ufffd"."""
        decoder = codecs.getincrementaldecoder(self._encoding)(errors="replace")
        return pa.TransformInputStream(self._bytes(raw), lambda data: decoder.decode(data).encode())

    def _bytes(self, raw: pa.NativeFile) -> pa.NativeFile:
        return pa.CompressedInputStream(raw, self._compression) if self._compression else raw

    def _find_encoding(self) -> str:
        with pa.OSFile(str(self._path)) as raw:
            sample = (pa.CompressedInputStream(raw, self._compression) if self._compression else raw).read(
                _SAMPLE_BYTES
            )
        if sample.startswith(_UTF_16):
            return "utf-16"
        if b"\x00" in sample.rstrip(b"\x00"):
            raise FileRefusedError("it is neither text nor Parquet, Feather or Arrow")
        try:
            sample.decode()
        except UnicodeDecodeError as error:
            # The sample may end within a character.
            return "utf-8" if error.start > len(sample) - 4 else "latin-1"
        return "utf-8"

    def _first_text(self) -> str:
        with pa.OSFile(str(self._path)) as raw:
            sample: bytes = self._text(raw).read(_SAMPLE_BYTES)
        return sample.decode(errors="ignore")


def _find_form(text: str, choice: TextChoice, wanted: Collection[str]) -> _Form:
    lines = [match.groups() for match in islice(_LINE.finditer(text), _SAMPLE_LINES) if match.group()]
    if not any(line.strip(_NOTHING + "\ufeff") for line, _ in lines):
        raise FileRefusedError("the file is empty")
    delimiters = (choice.delimiter,) if choice.delimiter else _DELIMITERS
    if choice.header is not None:
        return _form_without_header(lines, choice.header, delimiters)
    score, negative_index, delimiter = max(
        (_score(_fields(line, delimiter), wanted), -index, delimiter)
        for index, (line, _) in enumerate(lines[:_HEADER_LINES])
        for delimiter in delimiters
    )
    index = -negative_index
    if score < _HEADER_SCORE:
        index = next(i for i, (line, _) in enumerate(lines) if line.strip(_NOTHING + "\ufeff"))
        delimiter = max(delimiters, key=lambda mark: len(_fields(lines[index][0], mark)))
        _refuse_data_as_header(lines[index][0], delimiter)
    names = _fields(lines[index][0], delimiter)
    return _form_with_header(lines, index, names, delimiter)


def _form_with_header(lines: Sequence[tuple[str, ...]], index: int, names: list[str], delimiter: str) -> _Form:
    below = [_fields(line, delimiter) for line, _ in lines[index + 1 :]]
    symbol, body = None, index + 1
    if names[0] == "Price" and len(below) > 1 and below[0][0] == "Ticker" and below[1][0] in ("Date", "Datetime"):
        # yfinance writes three header lines: prices, tickers, and the name of the index.
        tickers = set(below[0][1:])
        if len(tickers) > 1:
            raise FileRefusedError(
                f"it has {len(tickers)} symbols side by side: write one row for each symbol and time"
            )
        symbol, names, body = tickers.pop(), [below[1][0], *names[1:]], index + 3
    widths = Counter(len(fields) for fields in below if any(fields))
    if widths and widths.most_common(1)[0][0] == len(names) + 1:
        # Rows end in a delimiter that the header lacks; or they start with row names, as R writes them.
        ends_empty = all(not fields[-1] for fields in below if len(fields) == len(names) + 1)
        names = [*names, ""] if ends_empty else ["", *names]
    return _Form(_distinct(names), delimiter, _length(lines[:body]), symbol)


def _form_without_header(lines: Sequence[tuple[str, ...]], names: Sequence[str], delimiters: Sequence[str]) -> _Form:
    first = next(line for line, _ in lines if line.strip(_NOTHING + "\ufeff"))
    for delimiter in delimiters:
        if len(_fields(first, delimiter)) == len(names):
            bom = len(_BOM) if lines[0][0].startswith("\ufeff") else 0
            return _Form(_distinct(names), delimiter, bom)
    raise FileRefusedError(f"--header names {len(names)} columns, but the first line has another number: {first[:80]}")


def _score(names: Sequence[str], wanted: Collection[str]) -> int:
    return score_columns(names) + len({name.lower() for name in names} & {name.lower() for name in wanted})


def _refuse_data_as_header(line: str, delimiter: str) -> None:
    fields = [field for field in _fields(line, delimiter) if field]
    if 2 * sum(_DATA.fullmatch(field) is not None for field in fields) >= len(fields):
        raise FileRefusedError(
            f"it has no header line (it starts with {line.strip()[:80]}): name the columns, "
            "e.g. --header time,open,high,low,close,volume"
        )


def _fields(line: str, delimiter: str) -> list[str]:
    return [field.strip() for field in next(csv.reader([line.lstrip("\ufeff")], delimiter=delimiter), [])]


def _distinct(names: Sequence[str]) -> tuple[str, ...]:
    """Return the names, empty ones as "", " ", ...; raise if two columns have the same name."""
    twice = sorted(name for name, count in Counter(names).items() if name and count > 1)
    if twice:
        raise FileRefusedError(f"several columns are called {', '.join(twice)}")
    empty = iter(range(len(names)))
    return tuple(name or " " * next(empty) for name in names)


def _length(lines: Sequence[tuple[str, ...]]) -> int:
    return sum(len((line + end).encode()) for line, end in lines)


def _number(rows: int, first: int, malformed: Sequence[tuple[int, str]]) -> tuple[IntArray, list[tuple[int, str]]]:
    """Return the numbers of consecutive rows without the malformed ones, and those of the malformed ones."""
    skipped = 0
    while skipped < len(malformed) and malformed[skipped][0] < first + rows + skipped:
        skipped += 1
    numbers = np.arange(first, first + rows + skipped)
    numbers = np.delete(numbers, [number - first for number, _ in malformed[:skipped]])
    return numbers, list(malformed[:skipped])


def _not_blank(malformed: Sequence[tuple[int, str]]) -> tuple[tuple[int, str], ...]:
    return tuple((number, text) for number, text in malformed if text.strip(_NOTHING))
