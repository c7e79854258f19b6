"""The interface of readable files: named columns, and rows in pieces."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa

from lumibot_duckdb.importing.arrays import IntArray, as_text

_SAMPLE_ROWS = 1_000


@dataclass(frozen=True, slots=True)
class Piece:
    """Some rows of a file.

    `numbers` are the rows' numbers in the file, counted from 1. `malformed` are the rows that have too few or too many
    fields unchanged, by number. `progress` is how much of the file is read, from 0 to 1.
    """

    table: pa.Table
    numbers: IntArray
    progress: float
    malformed: Sequence[tuple[int, str]] = ()


class TableFile(ABC):
    """A file of rows and named columns."""

    columns: tuple[str, ...]
    """The names of the columns, each one once."""
    symbol: str | None = None
    """The symbol, if the format has it outside the rows."""
    delimiter: str = ""
    """The delimiter of the fields, if they are text."""

    scale: int = 1
    """What prices are to be divided by, as far as the format itself shows it."""
    is_lean: bool = False
    """Whether the times are LEAN's: milliseconds since midnight."""

    @abstractmethod
    def pieces(self, columns: Sequence[str] | None = None) -> Iterator[Piece]:
        """Yield the rows, of some columns or of all; every call starts from the first row."""

    def place_of(self, row: int) -> str:
        """Return where a row is, for messages."""
        return f"row {row}"

    def notes(self) -> list[str]:
        """Return what was noticed while the file was read."""
        return []

    def sample(self) -> dict[str, list[str]]:
        """Return the first values of each column as text, "" for none."""
        first = next(self.pieces(), None)
        if first is None:
            return {name: [] for name in self.columns}
        return {name: _texts(first.table.column(name).slice(0, _SAMPLE_ROWS)) for name in first.table.column_names}


class WithConstants(TableFile):
    """A table with further columns, each of which has one text in all rows: the Hive partitions of its path."""

    def __init__(self, table: TableFile, constants: Mapping[str, str]) -> None:
        self._table = table
        self._constants = {name: text for name, text in constants.items() if name not in table.columns}
        self.columns = (*table.columns, *self._constants)
        self.symbol, self.delimiter = table.symbol, table.delimiter
        self.scale, self.is_lean = table.scale, table.is_lean

    def pieces(self, columns: Sequence[str] | None = None) -> Iterator[Piece]:
        """Yield the rows, of some columns or of all."""
        names = list(self.columns if columns is None else columns)
        # At least one column of the file, to know how many rows it has.
        own = [name for name in names if name not in self._constants] or [self._table.columns[0]]
        for piece in self._table.pieces(own):
            table = piece.table
            for name in names:
                if name in self._constants:
                    table = table.append_column(name, pa.repeat(pa.scalar(self._constants[name]), table.num_rows))
            yield replace(piece, table=table.select(names))

    def place_of(self, row: int) -> str:
        """Return where a row is, for messages."""
        return self._table.place_of(row)

    def notes(self) -> list[str]:
        """Return what was noticed while the file was read."""
        return self._table.notes()


def _texts(column: pa.ChunkedArray) -> list[str]:
    try:
        texts: list[str] = as_text(column).to_pylist()
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid):
        return [""] * len(column)
    return texts
