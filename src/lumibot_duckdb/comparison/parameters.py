"""The parameters of a strategy as texts for a report, and as JSON values, without keys."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import date, time
from itertools import islice
from typing import Any

import numpy as np

from lumibot_duckdb.comparison.redaction import HIDDEN, is_secret, redacted, without
from lumibot_duckdb.comparison.truncate import truncate

_PARTS = 601
"""Further parts of a list or a dictionary would be cut off: `truncate` shows 600 characters."""
_DEPTH = 8


def parameter_texts(parameters: Mapping[Any, Any], secrets: frozenset[str]) -> dict[str, str]:
    """Return each parameter as a text. Known keys are hidden, and values whose names say that they are keys."""
    return {
        without(str(name), secrets): truncate(redacted(_text(_hidden(str(name), value)), secrets))
        for name, value in parameters.items()
    }


def parameter_values(parameters: Mapping[Any, Any], secrets: frozenset[str]) -> dict[str, Any]:
    """Return each parameter as a JSON value, without keys. What JSON does not have is written as a text."""
    return {
        without(str(name), secrets): _json_value(_hidden(str(name), value), secrets)
        for name, value in parameters.items()
    }


def _json_value(value: Any, secrets: frozenset[str], depth: int = 0) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or type(value) in (bool, int) or (type(value) is float and math.isfinite(value)):
        return value
    if depth < _DEPTH and isinstance(value, Mapping):
        parts = islice(value.items(), _PARTS)
        return {without(str(name), secrets): _json_value(each, secrets, depth + 1) for name, each in parts}
    if depth < _DEPTH and isinstance(value, (list, tuple)):
        return [_json_value(each, secrets, depth + 1) for each in value[:_PARTS]]
    if isinstance(value, (date, time)):
        return value.isoformat()
    return truncate(redacted(_text(value), secrets))


def _hidden(name: str, value: Any, depth: int = 0) -> Any:
    """Return a value in which keys are hidden. `name` is where it is, such as "accounts.paper.api_key"."""
    if depth < _DEPTH and isinstance(value, Mapping):
        parts = islice(value.items(), _PARTS)
        return {key: _hidden(f"{name}.{key}", each, depth + 1) for key, each in parts}
    if depth < _DEPTH and isinstance(value, (list, tuple)):
        return [_hidden(name, each, depth + 1) for each in value[:_PARTS]]
    return HIDDEN if is_secret(name, _text(value)) else value


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if value is None or type(value) in (bool, int, float):
        return repr(value)
    from lumibot_duckdb.comparison.value_text import plain_text  # imports Lumibot and polars

    return plain_text(value)
