"""Values in words: equal for equal values only, and the same on another day."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

import numpy as np
import pandas as pd
from lumibot.entities import Asset, Bars, Quote

from lumibot_duckdb.comparison.answers import plain_numbers

_STARTED = datetime.now(timezone.utc)
THE_TIME_OF_THE_RUN = "the time of the run"
_NO_TEXTS = ("", "None", "True", "False", "NaT")
_BETWEEN_VALUES = re.compile(r"""[][(){},:'"]""")
_ADDRESS = " at 0x"


def as_text(value: Any) -> str:
    """Return a text that is equal for equal values only; an asset's name stands for it.

    Of an object that says nothing of itself, its type and what is public of it count.
    """
    return _text(value, into_objects=True)


def cell(value: Any) -> str:
    """Return the text of a value in a table: as plain as can be, but for a text that could be taken for a number."""
    if is_now(value):
        return THE_TIME_OF_THE_RUN
    if isinstance(value, str):
        text = str.__str__(value)
        return repr(text) if _is_like_another_value(text) else text
    if isinstance(value, float):
        return repr(float(value))
    if isinstance(value, datetime):
        return str(value)
    return plain_numbers(as_text(value))


def is_now(value: Any) -> bool:
    """Tell whether a time, or a text of one, is of this run; Lumibot puts that where a quote has none."""
    if isinstance(value, str):
        value = _time_in(value)
    return isinstance(value, datetime) and value.tzinfo is not None and _STARTED <= value <= datetime.now(timezone.utc)


def _time_in(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def _text(value: Any, *, into_objects: bool) -> str:
    def inner(each: Any) -> str:
        return _text(each, into_objects=into_objects)

    if isinstance(value, Asset):
        kind = str(value.asset_type)
        return str(value) if kind == "stock" else f"{value} {kind}"
    if isinstance(value, str):
        text = str.__str__(value)
        return repr(text) if _is_like_another_value(text) or _BETWEEN_VALUES.search(text) else text
    if value is None or isinstance(value, int | float):
        return repr(value)
    if isinstance(value, Mapping):
        pairs = sorted((inner(key), inner(each)) for key, each in value.items())
        return "{" + ", ".join(f"{key}: {each}" for key, each in pairs) + "}"
    if isinstance(value, list):
        return f"[{', '.join(map(inner, value))}]"
    if isinstance(value, tuple):
        return f"({', '.join(map(inner, value))})"
    if isinstance(value, set | frozenset):
        return f"set({', '.join(sorted(map(inner, value)))})"
    if isinstance(value, Bars):
        return inner(value.pandas_df)
    if isinstance(value, pd.DataFrame):
        columns = [(name, _values(series)) for name, series in value.items()]
        return f"frame {inner([value.index, *columns])}"
    if isinstance(value, pd.Series):
        return f"series {inner([value.index, value.name, _values(value)])}"
    if isinstance(value, pd.Index):
        return f"index {inner([list(value.names), getattr(value, 'freqstr', None), _values(value)])}"
    if isinstance(value, np.ndarray | pd.api.extensions.ExtensionArray):
        return f"array {inner(_values(value))}"
    if isinstance(value, Quote):
        fields = {name: each for name, each in vars(value).items() if each is not None and not is_now(each)}
        return f"quote {inner(fields)}"
    if hasattr(value, "as_dict"):
        return f"{type(value).__name__} {inner(value.as_dict())}"
    text = repr(value)
    return _text_of_object(value, into_objects=into_objects) if _ADDRESS in text else text


def _values(array: Any) -> tuple[str, Any]:
    return str(array.dtype), array.tolist()


def _text_of_object(value: Any, *, into_objects: bool) -> str:
    """Return the type, a function's name, and what is public of an object: not of all that hangs on that."""
    name = getattr(value, "__qualname__", type(value).__name__)
    public = {each: found for each, found in getattr(value, "__dict__", {}).items() if not each.startswith("_")}
    if not public or not into_objects:
        return str(name)
    fields = {each: found for each, found in public.items() if not is_now(found)}
    return f"{name} {_text(fields, into_objects=False)}"


def _is_like_another_value(text: str) -> bool:
    if text in _NO_TEXTS:
        return True
    try:
        float(text)
    except ValueError:
        return False
    return True
