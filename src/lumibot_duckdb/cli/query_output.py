"""Query results as a table, CSV or JSON."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from typing import IO, Any, TypeAlias

from lumibot_duckdb.cli.layout import table

Row: TypeAlias = "tuple[Any, ...]"

_NUMBERS = ("DECIMAL", "DOUBLE", "FLOAT", "BIGINT", "INTEGER", "SMALLINT", "TINYINT", "HUGEINT", "BIGNUM")


def as_table(names: Sequence[str], types: Sequence[str], rows: Iterable[Row], width: int | None) -> str:
    """Return rows as a table of at most `width` characters a line. Numbers are aligned to the right."""
    right = [kind.removeprefix("U").partition("(")[0] in _NUMBERS for kind in types]
    return table(names, [["NULL" if value is None else _text(value) for value in row] for row in rows], right, width)


def write_csv(names: Sequence[str], rows: Iterable[Row], file: IO[str]) -> None:
    """Write rows as CSV with a header line. NULL is an empty field."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(["" if value is None else _text(value) for value in row] for row in rows)


def write_json(names: Sequence[str], rows: Iterable[Row], file: IO[str]) -> None:
    """Write rows as one JSON array of objects, an object to a line."""
    separator = "[\n"
    for row in rows:
        file.write(separator)
        file.write(json.dumps({name: _plain(value) for name, value in zip(names, row, strict=True)}, default=_text))
        separator = ",\n"
    file.write("[]\n" if separator == "[\n" else "\n]\n")


def _text(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat(" ")
    if isinstance(value, (dict, list, tuple)):
        return json.dumps(_plain(value), default=_text)
    return value.hex() if isinstance(value, bytes) else str(value)


def _plain(value: Any) -> Any:
    """Return what JSON can hold: ISO 8601 for dates and times, null for numbers that JSON lacks."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    if isinstance(value, dict):
        return {str(name): _plain(part) for name, part in value.items()}
    return [_plain(part) for part in value] if isinstance(value, (list, tuple)) else value
