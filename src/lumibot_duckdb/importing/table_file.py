"""The interface of readable files: named columns, and rows in pieces."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

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

    @abstractmethod
    def pieces(self, columns: Sequence[str] | None = None) -> Iterator[Piece]:
        """Yield the rows, of some columns or of all; every call starts from the first row."""

    def sample(self) -> dict[str, list[str]]:
        """Return the first values of each column as text, "" for none."""
        first = next(self.pieces(), None)
        if first is None:
            return {name: [] for name in self.columns}
        return {name: _texts(first.table.column(name).slice(0, _SAMPLE_ROWS)) for name in first.table.column_names}


def _texts(column: pa.ChunkedArray) -> list[str]:
    try:
        texts: list[str] = as_text(column).to_pylist()
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid):
        return [""] * len(column)
    return texts
