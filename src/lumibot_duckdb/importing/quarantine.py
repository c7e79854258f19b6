"""Writes the rows that are not bars to a CSV file beside the store, each with the reason."""

from __future__ import annotations

import csv
import filecmp
import os
import tempfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from lumibot_duckdb import clock
from lumibot_duckdb.importing.arrays import as_text, is_text
from lumibot_duckdb.importing.staging import Staging
from lumibot_duckdb.importing.table_file import Piece, TableFile
from lumibot_duckdb.importing.text_form import raw_fields


def write_quarantine(file: TableFile, source: Path, staging: Staging, folder: Path) -> Path:
    """Write the refused rows of `source` to `<folder>/<name>-<today>.csv` and return the path.

    The columns are the row's number in the file, the reason, and the file's columns unchanged. A file of that
    name with other rows is left alone: the new one gets a number.
    """
    folder.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=folder, suffix=".tmp")
    written = Path(temporary)
    try:
        with os.fdopen(handle, "w", newline="", encoding="utf-8") as out:
            writer = csv.writer(out)
            writer.writerow(["row", "reason", *(name.strip() for name in file.columns)])
            for piece in file.pieces():
                writer.writerows(_refused_rows(piece, staging, file.delimiter))
        return _moved_into(written, folder, f"{source.name}-{clock.today().isoformat()}")
    finally:
        written.unlink(missing_ok=True)


def _refused_rows(piece: Piece, staging: Staging, delimiter: str) -> Iterator[list[str]]:
    malformed = {number: raw_fields(text, delimiter) for number, text in piece.malformed}
    numbers = [*piece.numbers[[0, -1]].tolist(), *malformed] if len(piece.numbers) else list(malformed)
    if not numbers:
        return
    reasons = staging.refused_among(min(numbers), max(numbers))
    kept = np.isin(piece.numbers, list(reasons))
    columns = [_texts(column) for column in piece.table.filter(pa.array(kept)).columns]
    rows = dict(zip(piece.numbers[kept].tolist(), zip(*columns, strict=True), strict=True))
    for number in sorted((*rows, *malformed)):
        yield [str(number), reasons[number].text, *(rows.get(number) or malformed[number])]


def _moved_into(written: Path, folder: Path, stem: str) -> Path:
    for number in count(1):
        path = folder / (f"{stem}.csv" if number == 1 else f"{stem}-{number}.csv")
        if not path.exists():
            return written.replace(path)
        if filecmp.cmp(written, path, shallow=False):
            return path
    raise AssertionError("unreachable")


def _texts(column: pa.ChunkedArray) -> list[Any]:
    try:
        return list((column if is_text(column) else as_text(column)).to_pylist())
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid):  # a nested column
        return [str(value) for value in column.to_pylist()]
