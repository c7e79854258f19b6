"""Environment variables that are true or false."""

from __future__ import annotations

import os
from collections.abc import Mapping

_YES, _NO = ("1", "true", "yes", "on"), ("0", "false", "no", "off")


def flag(variable: str, environment: Mapping[str, str] = os.environ) -> bool | None:
    """Return the value of an environment variable; None if it is unset or blank.

    Raises:
        ValueError: it is neither true nor false.
    """
    value = environment.get(variable, "").strip().lower()
    if not value:
        return None
    if value not in _YES + _NO:
        raise ValueError(f"{variable} must be true or false, not {value!r}")
    return value in _YES
