"""Reads the numbers of a file: typed columns unchanged, text as the exact double of Python's `float`."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lumibot_duckdb.importing.arrays import BoolArray, FloatArray, is_text
from lumibot_duckdb.importing.errors import FileRefusedError
from lumibot_duckdb.importing.vocabulary import QUOTE_CURRENCIES
from lumibot_duckdb.storage.identity import FIAT

_MISSING = frozenset(("", "nan", "na", "n/a", "#n/a", "null", "none", "nil", "-", "--", ".", "?", "<na>"))
_MISSING_TEXTS = pa.array(["", "NaN", "nan", "NA", "null", "NULL", "None", "-"])
_MULTIPLIERS = {"": 1, "k": 1_000, "m": 1_000_000, "b": 1_000_000_000, "t": 1_000_000_000_000}
_NUMBER = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)([kmbt]?)", re.IGNORECASE)
# Groups of three digits, or India's: three, and two before them. A number has one kind of mark.
_GROUPED = r"[+-]?(?:\d{{1,3}}(?:{mark}\d{{3}})+|\d{{1,2}}(?:{mark}\d{{2}})+{mark}\d{{3}})(?![\d{mark}])"
# An apostrophe, a blank, or a blank of typesetters (no-break, thin) never is a decimal mark.
_MARKS = ("'", "\u2019", " ", "\u00a0", "\u2009", "\u202f")
_PATTERNS = {mark: re.compile(_GROUPED.format(mark=re.escape(mark))) for mark in (",", ".", *_MARKS)}
_ONE_GROUP = re.compile(r"[+-]?\d{1,3},\d{3}")
_NO_PRICE = float(2**63 - 1)
_CURRENCIES = "|".join(sorted(FIAT.union(QUOTE_CURRENCIES), key=len, reverse=True))
_CURRENCY_WORD = re.compile(rf"^(?:{_CURRENCIES}|Rs\.?)(?=[ \u00a0\d+-])|(?<=[ \u00a0\d.])(?:{_CURRENCIES})$")


@dataclass(frozen=True, slots=True)
class Numbers:
    """A column's numbers: NaN if missing, `unreadable` if the text is not a number, and whether all are whole.

    `whole` describes how they are written: 100 is whole, 100.0 is not.
    """

    values: FloatArray
    unreadable: BoolArray
    whole: bool


def read_numbers(column: pa.ChunkedArray, decimal: str = ".", scale: int = 1) -> Numbers:
    """Return the numbers of a column of any numeric type, or of text with `decimal` ("." or ",") as its mark.

    They are divided by `scale`, which fixed-point prices need. The largest 64-bit integer then stands for none.
    """
    numbers = _read(column, decimal)
    if scale == 1:
        return numbers
    missing = numbers.values >= _NO_PRICE
    return Numbers(np.where(missing, np.nan, numbers.values / scale), numbers.unreadable, whole=False)


def _read(column: pa.ChunkedArray, decimal: str) -> Numbers:
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if is_text(column):
        return _read_text(column, decimal)
    if pa.types.is_null(column.type):
        return Numbers(np.full(len(column), np.nan), np.zeros(len(column), bool), whole=True)
    if pa.types.is_integer(column.type):
        return Numbers(_to_floats(column.cast(pa.float64(), safe=False)), np.zeros(len(column), bool), whole=True)
    if pa.types.is_floating(column.type) or pa.types.is_decimal(column.type):
        return Numbers(_to_floats(column.cast(pa.float64(), safe=False)), np.zeros(len(column), bool), whole=False)
    raise FileRefusedError(f"prices and volumes must be numbers, not {column.type}")


def decimal_mark(prices: Iterable[str], delimiter: str) -> str | None:
    """Return the decimal mark of prices in text, None if it is ambiguous.

    If all commas are as in "1,234", the delimiter of fields decides: the comma is the decimal mark with ";", and
    separates thousands with ",".
    """
    with_comma = [text for text in map(_undecorated, prices) if "," in text]
    if not with_comma:
        return "."
    if any("." in text for text in with_comma):
        return "," if all(text.rfind(",") > text.rfind(".") for text in with_comma) else "."
    if any(text.count(",") > 1 for text in with_comma):
        return "."
    if any(_ONE_GROUP.fullmatch(text) is None for text in with_comma):
        return ","
    return {";": ",", ",": "."}.get(delimiter)


def _read_text(column: pa.ChunkedArray, decimal: str) -> Numbers:
    if len(column) == 0:
        return Numbers(np.empty(0), np.empty(0, bool), whole=True)
    text = pc.utf8_trim_whitespace(column.fill_null(""))
    values = _cast_all(text, decimal)
    if values is None:
        return _read_each(text, decimal)
    whole = not pc.any(pc.match_substring_regex(text, r"[^0-9+-]")).as_py()
    return Numbers(values, np.zeros(len(column), bool), whole)


def _cast_all(text: pa.ChunkedArray, decimal: str) -> FloatArray | None:
    """Return all as doubles in one go (Arrow rounds as Python does), None if any needs a closer look."""
    filled = pc.if_else(pc.is_in(text, _MISSING_TEXTS), None, text)
    if decimal == ",":
        if pc.any(pc.match_substring(filled, ".")).as_py():
            return None
        filled = pc.replace_substring(filled, ",", ".")
    try:
        return _to_floats(filled.cast(pa.float64()))
    except pa.ArrowInvalid:
        return None


def _read_each(text: pa.ChunkedArray, decimal: str) -> Numbers:
    encoded = pa.concat_arrays(text.chunks).dictionary_encode()
    distinct = [_read_one(value, decimal) for value in encoded.dictionary.to_pylist()]
    values, unreadable, whole = (np.array(part) for part in zip(*distinct, strict=True))
    indices = encoded.indices.to_numpy()
    return Numbers(values[indices], unreadable[indices], bool(whole.all()))


def _read_one(text: str | None, decimal: str) -> tuple[float, bool, bool]:
    """Return the number (NaN for none), whether the text is unreadable, and whether it is written as a whole one."""
    bare = _undecorated(text or "")
    if bare.lower() in _MISSING:
        return float("nan"), False, True
    for mark in (*_MARKS, "." if decimal == "," else ","):
        if found := _PATTERNS[mark].match(bare):
            bare = found[0].replace(mark, "") + bare[found.end() :]
            break
    bare = bare if decimal == "." else bare.replace(".", "?").replace(",", ".")
    match = _NUMBER.fullmatch(bare)
    if match is None:
        infinite = bare.lower().lstrip("+-") in ("inf", "infinity")
        return (float(bare), False, False) if infinite else (float("nan"), True, True)
    digits, suffix = match.groups()
    if not suffix:
        return float(digits), False, digits.lstrip("+-").isdigit()
    try:
        number = Decimal(digits) * _MULTIPLIERS[suffix.lower()]
    except InvalidOperation:
        return float("nan"), True, True
    return float(number), False, number == number.to_integral_value()


def _undecorated(text: str) -> str:
    """Return the text of a number without currencies and without the apostrophe that spreadsheets put before text."""
    bare = _CURRENCY_WORD.sub("", text.strip().lstrip("'"))
    return "".join(mark for mark in bare if unicodedata.category(mark) != "Sc").strip(" '\u00a0\u202f")


def _to_floats(column: pa.ChunkedArray) -> FloatArray:
    filled: Sequence[Any] = column.fill_null(np.nan).to_numpy()
    return np.asarray(filled, dtype=np.float64)
