"""Values as text: equal only for equal values, and the same in every run.

What cannot be compared, such as a generator, a lock or a broker, is written as its type.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from functools import singledispatch
from pathlib import PurePath
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
from lumibot.brokers.broker import Broker
from lumibot.data_sources import DataSource
from lumibot.entities import Asset, Bars, Order, Quote
from lumibot.strategies.strategy import Strategy
from pandas.api.extensions import ExtensionArray

from lumibot_duckdb.comparison.value_parts import (
    array_values,
    arrow_values,
    asset_details,
    cell_contents,
    code_digest,
    object_state,
    polars_values,
)
from lumibot_duckdb.lumibot_contract.orders import order_fields, related_orders

_STARTED = datetime.now(timezone.utc)
TIME_OF_RUN = "the time of the run"
"""Stands for times of the computer's clock, which differ between runs."""
_LITERALS = ("", "None", "True", "False", "NaT", TIME_OF_RUN)
_SPECIAL = re.compile(r"""[][(){}<>,:'"\\\n]""")
"""Occurs in the texts of all values except for strings, `_LITERALS`, numbers and most assets."""
_STRUCTURED = re.compile(r"""[][(){}<>]|\d{4}-\d\d-\d\d """)
"""Occurs in the cells of all values except for strings, `_LITERALS` and numbers."""
_LIKE_QUOTED = ("'", '"')
"""A string that begins with one of these looks like a quoted string."""
_LIKE_ASSET = re.compile(r"[A-Z][\w.\- ]*")
_SYMBOL = re.compile(r"[A-Z][A-Z0-9.\-]*")
_WRITTEN_AS_THEY_ARE = {int, float, bool, type(None)}
_LONGEST_INTEGER = 2**4_000
"""Python refuses to write integers with more than 4,300 digits."""


def as_text(value: Any) -> str:
    """Return a text that is equal only for equal values.

    Assets are written as their names, and objects as their type and state, also of attributes that are not public.
    """
    return _Writer().text(value)


def argument_text(value: Any) -> str:
    """Return the text of an argument of a request: like `as_text`, but "SPY" is the same as `Asset("SPY")`."""
    is_symbol = isinstance(value, str) and _SYMBOL.fullmatch(value) and value not in _LITERALS
    return str.__str__(value) if is_symbol else as_text(value)


def plain_text(value: Any) -> str:
    """Do the same as `as_text`, but write numbers of NumPy like equal numbers of Python."""
    return _Writer(plain=True).text(value)


def cell(value: Any) -> str:
    """Return the text of a value in a table: unquoted, except for strings that look like another type."""
    if is_time_of_run(value):
        return TIME_OF_RUN
    if isinstance(value, str):
        text = str.__str__(value)
        is_ambiguous = _looks_like_literal(text) or _STRUCTURED.search(text) or text.startswith(_LIKE_QUOTED)
        return repr(text) if is_ambiguous else text
    if isinstance(value, datetime):
        return str(value)
    text = plain_text(value)
    return text if _looks_like_literal(text) or _STRUCTURED.search(text) else f"<{text}>"


def is_time_of_run(value: Any) -> bool:
    """Return whether a time, or its text, is one of this run's clock, which Lumibot uses where a quote has no time."""
    if isinstance(value, str):
        value = _time_in(value)
    return isinstance(value, datetime) and value.tzinfo is not None and _STARTED <= value <= datetime.now(timezone.utc)


def _time_in(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


class _Writer:
    """Writes a value, and the values in it. `plain` leaves out the types of NumPy's numbers where they are equal."""

    def __init__(self, *, plain: bool = False) -> None:
        self.plain = plain
        self._above: set[int] = set()

    def text(self, value: Any) -> str:
        """Return the text of a value."""
        return _text(value, self)

    def within(self, owner: Any, parts: Any, otherwise: str = "...") -> str:
        """Return the text of the parts of a value; `otherwise` within the value itself."""
        return self.joined(owner, [parts], otherwise)

    def joined(self, owner: Any, values: Iterable[Any], otherwise: str = "...") -> str:
        """Return the texts of the parts of a value, with commas between them; `otherwise` within the value itself."""
        if id(owner) in self._above:
            return otherwise
        self._above.add(id(owner))
        try:
            return ", ".join(map(self.text, values))
        finally:
            self._above.remove(id(owner))


@singledispatch
def _text(value: Any, writer: _Writer) -> str:
    name, state = _name(type(value)), object_state(value)
    if not state:
        return f"<{name}>"
    parts = writer.within(value, state, otherwise="")
    return f"{name} {parts}".rstrip()


# -- plain values ------------------------------------------------------------------------------------------------------


@_text.register
def _(value: str, writer: _Writer) -> str:
    text = str.__str__(value)
    is_ambiguous = _looks_like_literal(text) or _SPECIAL.search(text) or _LIKE_ASSET.fullmatch(text)
    return repr(text) if is_ambiguous else text


@_text.register
def _(value: int, writer: _Writer) -> str:
    return repr(value) if abs(value) < _LONGEST_INTEGER else f"int({int(value):#x})"


@_text.register
def _(value: float, writer: _Writer) -> str:
    return float.__repr__(value)


@_text.register
def _(value: np.float64, writer: _Writer) -> str:
    number = float.__repr__(value)
    return number if writer.plain else f"np.float64({number})"


@_text.register
def _(value: complex, writer: _Writer) -> str:
    return f"complex({value.real!r}, {value.imag!r})"


@_text.register
def _(value: np.generic, writer: _Writer) -> str:
    if isinstance(value, np.void):
        return f"np.void({value.dtype}, {writer.text(value.item())})"
    if writer.plain and isinstance(value, np.integer | np.bool_):
        return str(value)
    return repr(value) if isinstance(value, np.datetime64 | np.timedelta64) else f"np.{value.dtype.name}({value!s})"


@_text.register
def _(value: datetime, writer: _Writer) -> str:
    return f"<{TIME_OF_RUN}>" if is_time_of_run(value) else _marked(repr(value))


@_text.register
def _(value: Enum, writer: _Writer) -> str:
    return f"<{_name(type(value))}.{value.name}>"


@_text.register
def _(value: memoryview, writer: _Writer) -> str:
    return f"memoryview({value.format!r}, {value.shape}, {value.tobytes()!r})"


def _represented(value: Any, writer: _Writer) -> str:
    return repr(value) if value is None else _marked(repr(value))


for _kind in (type(None), bytes, bytearray, range, Decimal, Fraction, date, time, timedelta, PurePath):
    _text.register(_kind, _represented)


# -- containers --------------------------------------------------------------------------------------------------------


@_text.register
def _(value: list, writer: _Writer) -> str:  # type: ignore[type-arg]
    if set(map(type, value)) <= _WRITTEN_AS_THEY_ARE:
        with suppress(ValueError):  # an integer with thousands of digits
            return list.__repr__(value)
    return f"[{writer.joined(value, value)}]"


@_text.register
def _(value: tuple, writer: _Writer) -> str:  # type: ignore[type-arg]
    return f"({writer.joined(value, value)})"


@_text.register(set)
@_text.register(frozenset)
def _(value: Any, writer: _Writer) -> str:
    return f"set({', '.join(sorted(map(writer.text, value)))})"


@_text.register
def _(value: Mapping, writer: _Writer) -> str:  # type: ignore[type-arg]
    return "{" + writer.within(value, _Pairs(value.items())) + "}"


class _Pairs(list[tuple[Any, Any]]):
    """The keys and values of a mapping."""


@_text.register
def _(value: _Pairs, writer: _Writer) -> str:
    return ", ".join(": ".join(pair) for pair in sorted((writer.text(key), writer.text(each)) for key, each in value))


# -- arrays and frames -------------------------------------------------------------------------------------------------


@_text.register
def _(value: np.ndarray, writer: _Writer) -> str:
    return f"array {writer.within(value, [type(value).__name__, str(value.dtype), value.shape, value.tolist()])}"


@_text.register
def _(value: ExtensionArray, writer: _Writer) -> str:
    return f"array {writer.within(value, array_values(value))}"


@_text.register
def _(value: pd.Index, writer: _Writer) -> str:
    if isinstance(value, pd.MultiIndex):
        return f"index {writer.within(value, [value.get_level_values(level) for level in range(value.nlevels)])}"
    return f"index {writer.within(value, [value.name, getattr(value, 'freqstr', None), array_values(value)])}"


@_text.register
def _(value: pd.Series, writer: _Writer) -> str:
    return f"series {writer.within(value, [value.index, value.name, array_values(value)])}"


@_text.register
def _(value: pd.DataFrame, writer: _Writer) -> str:
    columns = [array_values(series) for _, series in value.items()]
    return f"frame {writer.within(value, [value.index, value.columns, *columns])}"


@_text.register
def _(value: pl.Series, writer: _Writer) -> str:
    return f"polars series {writer.within(value, [value.name, polars_values(value)])}"


@_text.register
def _(value: pl.DataFrame, writer: _Writer) -> str:
    columns = [(series.name, polars_values(series)) for series in value.get_columns()]
    return f"polars frame {writer.within(value, [value.height, *columns])}"


@_text.register(pa.Array)
@_text.register(pa.ChunkedArray)
def _(value: Any, writer: _Writer) -> str:
    return f"arrow array {writer.within(value, [str(value.type), arrow_values(value)])}"


@_text.register(pa.Table)
@_text.register(pa.RecordBatch)
def _(value: Any, writer: _Writer) -> str:
    columns = list(zip(value.column_names, value.columns, strict=True))
    return f"arrow table {writer.within(value, [value.num_rows, *columns])}"


# -- Lumibot's entities ------------------------------------------------------------------------------------------------


@_text.register
def _(value: Asset, writer: _Writer) -> str:
    kind = str(value.asset_type)
    is_usual = _SYMBOL.fullmatch(str(value.symbol))
    name = str(value) if kind == "stock" and is_usual else f"{value} {kind}"
    more = asset_details(value, kind) | ({} if is_usual else {"symbol": value.symbol})
    more = {field: each for field, each in more.items() if each is not None}
    return f"{name} {writer.within(value, more)}" if more else name


@_text.register
def _(value: Bars, writer: _Writer) -> str:
    return f"bars {writer.within(value, [value.source, value.asset, value.quote, value.df])}"


@_text.register
def _(value: Quote, writer: _Writer) -> str:
    fields = {name: each for name, each in vars(value).items() if each is not None and not is_time_of_run(each)}
    return f"quote {writer.within(value, fields)}"


@_text.register
def _(value: Order, writer: _Writer) -> str:
    parts = {"asset": value.asset, **order_fields(value), **related_orders(value)}
    return f"order {writer.within(value, parts)}"


# -- what has a name ---------------------------------------------------------------------------------------------------


@_text.register(Strategy)
@_text.register(Broker)
@_text.register(DataSource)
def _(value: Any, writer: _Writer) -> str:
    return f"<{_name(type(value))}>"


@_text.register(type)
def _(value: Any, writer: _Writer) -> str:
    return f"<class {value.__module__}.{value.__qualname__}>"


@_text.register(ModuleType)
@_text.register(BuiltinFunctionType)
def _(value: Any, writer: _Writer) -> str:
    return f"<{value.__name__}>"


@_text.register
def _(value: FunctionType, writer: _Writer) -> str:
    cells = [cell_contents(each) for each in value.__closure__ or ()]
    parts = [code_digest(value.__code__), value.__defaults__, value.__kwdefaults__, cells]
    return f"<function {value.__qualname__} {writer.within(value, parts)}>"


def _name(kind: type) -> str:
    return kind.__qualname__.rpartition("<locals>.")[2]


def _marked(text: str) -> str:
    return text if _SPECIAL.search(text) else f"<{text}>"


def _looks_like_literal(text: str) -> bool:
    if text in _LITERALS:
        return True
    try:
        float(text)
    except ValueError:
        return False
    return True
