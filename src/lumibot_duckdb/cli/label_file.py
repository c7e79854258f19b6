"""Reads the file of `lumibot-duckdb label --file`: CSV with a header line."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from lumibot_duckdb.cli.errors import CommandError
from lumibot_duckdb.cli.layout import printable

if TYPE_CHECKING:
    import pandas as pd

_DELIMITERS = ",;\t"
"""Spreadsheets write semicolons where the comma is the decimal point."""


def label_table(file: Path) -> pd.DataFrame:
    """Return the cells of a file as texts: NA is a symbol, and 0123 a code. Raises `CommandError`."""
    import pandas as pd

    name = printable(str(file))
    try:
        with _opened(file) as text:
            delimiter = _delimiter(text)
            reader = csv.reader(text, delimiter=delimiter, skipinitialspace=True)
            lines = ((reader.line_num, row) for row in reader if any(cell.strip() for cell in row))
            _, header = next(lines, (0, []))
            names = _without_empty_end(header)
            if not names:
                raise CommandError(f"{name} cannot be read as CSV: it is empty")
            rows = list(_rows(lines, names, name, delimiter))
    except FileNotFoundError:
        from lumibot_duckdb.cli.suggestions import similar_file

        raise CommandError(f"there is no file {name}{similar_file(file)}") from None
    except UnicodeDecodeError:
        raise CommandError(f"{name} is not in UTF-8: save it as UTF-8, in a spreadsheet as CSV UTF-8") from None
    except (OSError, EOFError, csv.Error) as error:
        raise CommandError(f"{name} cannot be read as CSV: {error}") from None
    table: pd.DataFrame = pd.DataFrame(rows, columns=names, dtype=object)
    return table


def _opened(file: Path) -> TextIO:
    if file.suffix.lower() == ".gz":
        return gzip.open(file, "rt", encoding="utf-8-sig", newline="")
    return file.open(encoding="utf-8-sig", newline="")


def _delimiter(text: TextIO) -> str:
    """Return what separates the names of the first line."""
    header = text.readline()
    text.seek(0)
    return next((each for each in _DELIMITERS if each in header), ",")


def _rows(
    lines: Iterator[tuple[int, list[str]]], names: Sequence[str], file: str, delimiter: str
) -> Iterator[list[str]]:
    """Yield a cell for each name. Empty cells may be missing or too many at the end of a line, but no others."""
    for number, row in lines:
        cells = _without_empty_end(row)
        if len(cells) > len(names):
            raise CommandError(
                f"{file}, line {number}: {len(cells)} values, but the header has {len(names)} columns: "
                f"{', '.join(map(printable, names))}. Write a value that has a {delimiter!r} in double quotes"
            )
        yield [*cells, *[""] * (len(names) - len(cells))]


def _without_empty_end(cells: Sequence[str]) -> list[str]:
    last = max((place for place, cell in enumerate(cells) if cell.strip()), default=-1)
    return list(cells[: last + 1])
