"""Values as text: equal only for equal values, and the same in every run."""

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
TIME_OF_RUN = "the time of the run"
"""Stands for times of the computer's clock, which differ between runs."""
_LITERALS = ("", "None", "True", "False", "NaT")
_BETWEEN_VALUES = re.compile(r"""[][(){},:'"]""")
_ADDRESS = " at 0x"


def as_text(value: Any) -> str:
    """Return a text that is equal only for equal values.

    Assets are written as their names, and objects without a `repr` of their class as their type and public attributes.
    """
    return _text(value, into_objects=True)


def cell(value: Any) -> str:
    """Return the text of a value in a table: unquoted, except for strings that look like another type."""
    if is_time_of_run(value):
        return TIME_OF_RUN
    if isinstance(value, str):
        text = str.__str__(value)
        return repr(text) if _looks_like_literal(text) else text
    if isinstance(value, float):
        return repr(float(value))
    if isinstance(value, datetime):
        return str(value)
    return plain_numbers(as_text(value))


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


def _text(value: Any, *, into_objects: bool) -> str:
    def inner(each: Any) -> str:
        return _text(each, into_objects=into_objects)

    if isinstance(value, Asset):
        kind = str(value.asset_type)
        return str(value) if kind == "stock" else f"{value} {kind}"
    if isinstance(value, str):
        text = str.__str__(value)
        return repr(text) if _looks_like_literal(text) or _BETWEEN_VALUES.search(text) else text
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
        fields = {name: each for name, each in vars(value).items() if each is not None and not is_time_of_run(each)}
        return f"quote {inner(fields)}"
    if hasattr(value, "as_dict"):
        return f"{type(value).__name__} {inner(value.as_dict())}"
    text = repr(value)
    return _text_of_object(value, into_objects=into_objects) if _ADDRESS in text else text


def _values(array: Any) -> tuple[str, Any]:
    return str(array.dtype), array.tolist()


def _text_of_object(value: Any, *, into_objects: bool) -> str:
    """Return an object's type (or a function's name) and its public attributes, without descending into those."""
    name = getattr(value, "__qualname__", type(value).__name__)
    public = {each: found for each, found in getattr(value, "__dict__", {}).items() if not each.startswith("_")}
    if not public or not into_objects:
        return str(name)
    fields = {each: found for each, found in public.items() if not is_time_of_run(found)}
    return f"{name} {_text(fields, into_objects=False)}"


def _looks_like_literal(text: str) -> bool:
    if text in _LITERALS:
        return True
    try:
        float(text)
    except ValueError:
        return False
    return True
