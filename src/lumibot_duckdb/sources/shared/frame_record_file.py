"""Writes the rows of a record of frames to the file that Lumibot and pandas would write, without making a frame.

Lumibot makes a dictionary of each row, a frame of them, and its text: 55 MB for 50,000 rows, at the end of a backtest,
which is when most backtests take the most memory. The rows of a record are texts already.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple

_GAP, _INTEGER, _FLOAT, _TEXT = range(4)
"""The kinds of values in a column: pandas turns integers beside gaps or floats, but not beside texts, into floats."""
_NULL = "null"
_ROWS_AT_ONCE = 1_024


class RowText(NamedTuple):
    """A row of the record as texts."""

    context: Mapping[str, str]
    """The columns that many rows have in common, such as the asset; the same object in all of them."""
    about: tuple[str, ...]
    """The values of the columns that differ, which need no quotes in a CSV file."""
    names: tuple[str, ...]
    values: Sequence[str]
    """The values of the columns `names` in JSON: numbers, null, or infinite ones in quotes."""


def write_rows(path: Path, rows: Callable[[], Iterable[RowText]], about: tuple[str, ...]) -> dict[str, Any]:
    """Write at least one row to a file; return what Lumibot's manifest says of it.

    `rows` returns the rows each time it is called, and `about` are the names of the columns of `RowText.about`.
    """
    kinds = _kinds_by_column(rows())
    context = next(iter(rows())).context
    header = _in_csv((*context, *about, *kinds))
    lines = chain((header,), _lines(rows(), kinds))
    digest, count = sha256(), -1
    with path.open("wb") as file:
        while some := list(islice(lines, _ROWS_AT_ONCE)):
            text = "".join(f"{line}{os.linesep}" for line in some).encode()
            file.write(text)
            digest.update(text)
            count += len(some)
    return {"rows": count, "bytes": path.stat().st_size, "sha256": digest.hexdigest()}


def _kinds_by_column(rows: Iterable[RowText]) -> dict[str, set[int]]:
    """Return the kinds of values by column, in the order in which the columns first occur."""
    kinds: dict[str, set[int]] = {}
    columns: set[tuple[str, ...]] = set()
    for row in rows:
        if row.names not in columns:
            columns.add(row.names)
            kinds = {name: kinds.get(name, set()) for name in (*kinds, *row.names)}
        for name, value in zip(row.names, row.values, strict=True):
            kinds[name].add(_kind(value))
    for name, found in kinds.items():
        if any(name not in names for names in columns):
            found.add(_GAP)
    return kinds


def _lines(rows: Iterable[RowText], kinds: Mapping[str, set[int]]) -> Iterator[str]:
    """Yield a line for each row."""
    columns = [
        (name, bool(_INTEGER in found and found & {_GAP, _FLOAT} and _TEXT not in found))
        for name, found in kinds.items()
    ]
    beginnings: dict[int, str] = {}
    for row in rows:
        beginning = beginnings.get(id(row.context))
        if beginning is None:
            beginning = beginnings[id(row.context)] = _in_csv(row.context.values())
        values = dict(zip(row.names, row.values, strict=True))
        cells = [_cell(values.get(name, _NULL), as_float) for name, as_float in columns]
        yield ",".join((beginning, *row.about, *cells))


def _kind(value: str) -> int:
    if value == _NULL:
        return _GAP
    if value[0] == '"':
        return _TEXT
    return _INTEGER if value.lstrip("-").isdigit() else _FLOAT


def _cell(value: str, as_float: bool) -> str:
    if value == _NULL:
        return ""
    if value[0] == '"':
        return value[1:-1]
    return repr(float(value)) if as_float else value


def _in_csv(values: Iterable[str]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(values)
    return line.getvalue()
