"""The form of a text file: its delimiter, its header line and where the rows start."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import islice

from lumibot_duckdb.importing.columns import score_columns
from lumibot_duckdb.importing.errors import FileRefusedError
from lumibot_duckdb.importing.headerless import (
    LEAN_NAMES,
    LEAN_SCALE,
    has_whole_prices,
    is_data,
    is_lean_hours_or_days,
    is_lean_minutes,
    suggested_header,
)
from lumibot_duckdb.importing.side_by_side import columns_of_symbol

NOTHING = " \t\x1a\x00"
"""Characters of lines that count as empty."""

_SAMPLE_LINES = 100
_HEADER_LINES = 40
_HEADER_SCORE = 3
_DELIMITERS = (",", ";", "\t", "|")
_BOM = b"\xef\xbb\xbf"
_LINE = re.compile(r"([^\r\n]*)(\r\n|\n|\r|$)")
_INDEX_NAMES = ("Date", "Datetime", "")
_JSON = re.compile(r"\ufeff?\s*(\{\s*[\"}]|\[\s*[\[{])")
_NUMBER = re.compile(r"[+-]?[\d.,]+(e[+-]?\d+)?")
_ROW_NAME = re.compile(r"\d{1,18}")


@dataclass(frozen=True, slots=True)
class TextChoice:
    """The user's options for text files.

    `header` names the columns of a file without a header line, or replaces its header line.
    """

    header: tuple[str, ...] | None = None
    delimiter: str | None = None


@dataclass(frozen=True, slots=True)
class TextForm:
    """The form of a file. `body` is the position of the first row, in bytes of the text in UTF-8; `line` its line.

    `is_lean`: the times are LEAN's milliseconds since midnight. Prices are to be divided by `scale`.
    """

    names: tuple[str, ...]
    delimiter: str
    body: int
    line: int
    symbol: str | None = None
    is_lean: bool = False
    scale: int = 1


def find_form(text: str, choice: TextChoice, wanted: Collection[str], symbol: str | None) -> TextForm:
    """Return the form of a file that starts with `text`.

    `wanted` are columns that the user named, by which the header line is recognised, and `symbol` the one to take if
    the file has several side by side. Raises `FileRefusedError` if there is no header line.
    """
    lines = [match.groups() for match in islice(_LINE.finditer(text), _SAMPLE_LINES) if match.group()]
    if not any(_is_filled(line) for line, _ in lines):
        raise FileRefusedError("the file is empty")
    if _JSON.match(text):
        raise FileRefusedError("it is JSON: convert it to CSV or Parquet, with a row for each bar")
    delimiters = (choice.delimiter,) if choice.delimiter else _DELIMITERS
    if choice.header is not None:
        return _form_of_named(lines, choice.header, delimiters)
    score, negative_index, delimiter = max(
        (_score(split_fields(line, delimiter), wanted), -index, delimiter)
        for index, (line, _) in enumerate(lines[:_HEADER_LINES])
        for delimiter in delimiters
    )
    index = -negative_index
    if score < _HEADER_SCORE:
        index = next(i for i, (line, _) in enumerate(lines) if _is_filled(line))
        delimiter = max(delimiters, key=lambda mark: len(split_fields(lines[index][0], mark)))
        if is_data(split_fields(lines[index][0], delimiter)):
            return _form_of_data(lines, index, delimiter)
    return _form_with_header(lines, index, delimiter, symbol)


def split_fields(line: str, delimiter: str) -> list[str]:
    """Return the fields of a line, without blanks around them."""
    return [field.strip() for field in raw_fields(line.lstrip("\ufeff"), delimiter)]


def raw_fields(line: str, delimiter: str) -> list[str]:
    """Return the fields of a line unchanged."""
    try:
        return next(csv.reader([line], delimiter=delimiter), [])
    except csv.Error:  # a field that is too long for this module
        return line.split(delimiter)


def _form_with_header(lines: Sequence[tuple[str, ...]], index: int, delimiter: str, wanted: str | None) -> TextForm:
    rows = [split_fields(line, delimiter) for line, _ in lines]
    names, symbol, body = rows[index], None, index + 1
    if found := _side_by_side(rows, index):
        fields, symbols, body = found
        date = rows[body - 1][0] if body > index + 1 and rows[body - 1][0] in _INDEX_NAMES else ""
        chosen = columns_of_symbol([(date, ""), *zip(fields[1:], symbols[1:], strict=True)], wanted)
        symbol, names = chosen.symbol, list(chosen.names)
    else:
        names = _completed(names, [row for row in rows[index + 1 :] if any(row)], index + 1)
    return TextForm(_distinct(names), delimiter, _length(lines[:body]), body + 1, symbol)


def _side_by_side(rows: Sequence[list[str]], index: int) -> tuple[list[str], list[str], int] | None:
    """Return fields, symbols and the first row's index if the header has several lines, as yfinance's files have."""
    at = {offset: rows[index + offset] for offset in (-1, 0, 1, 2) if 0 <= index + offset < len(rows)}
    names = at[0]
    if names[0] in ("", "Price") and _are_symbols(at.get(1, []), len(names)):
        return names, at[1], index + (3 if _is_index_name(at.get(2, [])) else 2)
    if names[0] in ("", "Price") and _are_symbols(at.get(-1, []), len(names)) and _is_index_name(at.get(1, [])):
        return names, at[-1], index + 2
    return None


def _are_symbols(row: Sequence[str], width: int) -> bool:
    named = len(row) == width > 1 and row[0] in ("", "Ticker") and all(row[1:])
    return named and not any(map(_NUMBER.fullmatch, row[1:]))


def _is_index_name(row: Sequence[str]) -> bool:
    return len(row) > 1 and row[0] in _INDEX_NAMES and not any(row[1:])


def _completed(names: list[str], rows: Sequence[list[str]], line: int) -> list[str]:
    """Return the names of all columns, also if rows have one more than the header line."""
    widths = Counter(len(row) for row in rows)
    width = max(widths, key=lambda width: (widths[width], width == len(names)), default=len(names))
    if width == len(names):
        return names
    longer = [row for row in rows if len(row) == width]
    if width == len(names) + 1:
        # Rows end in a delimiter that the header lacks; or they start with row names, as R writes them.
        if all(not row[-1] for row in longer):
            return [*names, ""]
        if all(_ROW_NAME.fullmatch(row[0]) and int(row[0]) - int(longer[0][0]) == i for i, row in enumerate(longer)):
            return ["", *names]
    raise FileRefusedError(
        f"its header in line {line} has {len(names)} names, but most rows have {width} fields "
        f"({','.join(longer[0])[:80]}): name all {width} columns with --header, and leave the names of unneeded ones "
        "empty"
    )


def _form_of_named(lines: Sequence[tuple[str, ...]], names: Sequence[str], delimiters: Sequence[str]) -> TextForm:
    """Return the form of a file whose columns the user named. Lines before the first row are passed over."""
    first = next(index for index, (line, _) in enumerate(lines) if _is_filled(line))
    for delimiter in delimiters:
        rows = [split_fields(line, delimiter) for line, _ in lines]
        body = next((i for i, row in enumerate(rows) if any(row) and is_data(row)), first)
        widths = Counter(len(row) for row in rows[body:] if any(row))
        if widths[len(names)] == max(widths.values()):
            position = _length(lines[:body]) or (len(_BOM) if lines[0][0].startswith("\ufeff") else 0)
            return TextForm(_distinct(names), delimiter, position, body + 1, None, *_lean_form(rows[body:]))
    delimiter = max(delimiters, key=lambda mark: len(split_fields(lines[first][0], mark)))
    width = len(split_fields(lines[first][0], delimiter))
    raise FileRefusedError(
        f"--header names {len(names)} columns, but line {first + 1} has {width}: {lines[first][0][:80]}"
    )


def _form_of_data(lines: Sequence[tuple[str, ...]], index: int, delimiter: str) -> TextForm:
    """Return the form of a file that starts with a row, if it is LEAN's; raise `FileRefusedError` if not."""
    rows = [split_fields(line, delimiter) for line, _ in lines[index:] if _is_filled(line)]
    is_lean, scale = _lean_form(rows)
    if (is_lean or is_lean_hours_or_days(rows)) and len(rows[0]) == len(LEAN_NAMES):
        return TextForm(LEAN_NAMES, delimiter, _length(lines[:index]), index + 1, None, is_lean, scale)
    raise FileRefusedError(
        f"it has no header line (it starts with {lines[index][0].strip()[:80]}): name its {len(rows[0])} columns, "
        f"e.g. --header {suggested_header(rows[0])}"
    )


def _lean_form(rows: Sequence[list[str]]) -> tuple[bool, int]:
    filled = [row for row in rows if any(row)]
    has_milliseconds = is_lean_minutes(filled)
    is_lean = has_milliseconds or is_lean_hours_or_days(filled)
    return has_milliseconds, LEAN_SCALE if is_lean and has_whole_prices(filled) else 1


def _score(names: Sequence[str], wanted: Collection[str]) -> int:
    return score_columns(names) + len({name.lower() for name in names} & {name.lower() for name in wanted})


def _is_filled(line: str) -> bool:
    return bool(line.strip(NOTHING + "\ufeff"))


def _distinct(names: Sequence[str]) -> tuple[str, ...]:
    """Return the names, empty ones as "", " ", ...; raise if two columns have the same name."""
    twice = sorted(name for name, count in Counter(names).items() if name and count > 1)
    if twice:
        raise FileRefusedError(f"several columns are called {', '.join(twice)}: give all columns names with --header")
    empty = iter(range(len(names)))
    return tuple(name or " " * next(empty) for name in names)


def _length(lines: Sequence[tuple[str, ...]]) -> int:
    return sum(len((line + end).encode()) for line, end in lines)
