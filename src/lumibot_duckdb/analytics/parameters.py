"""The parameters of indicators: their types, defaults and bounds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import TypeAlias

from lumibot_duckdb.analytics.errors import IndicatorError

Value: TypeAlias = "int | float | None"
Values: TypeAlias = "Mapping[str, Value]"

LONGEST = 100_000
"""The greatest number of bars that TA-Lib takes."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter: a whole number unless `default` is a float or None, from `least` to `greatest`."""

    name: str
    default: Value
    least: float
    greatest: float

    @property
    def is_whole(self) -> bool:
        """Whether only whole numbers are allowed."""
        return isinstance(self.default, int)

    @property
    def bounds(self) -> str:
        """The allowed values, in words."""
        kind = "a whole number" if self.is_whole else "a number"
        return f"{kind} from {number_text(self.least)} to {number_text(self.greatest)}"

    def checked(self, value: Value, where: str) -> Value:
        """Return a value in the parameter's type. Raises `IndicatorError`, which begins with `where`."""
        if value is None and self.default is None:
            return None
        if value is None or not isfinite(value) or not self.least <= value <= self.greatest or self._is_cut(value):
            given = "NULL" if value is None else number_text(value)
            raise IndicatorError(f"{where}: {self.name} must be {self.bounds}, not {given}")
        return int(value) if self.is_whole else float(value)

    def _is_cut(self, value: float) -> bool:
        return self.is_whole and value != int(value)


def bars(name: str, default: int, *, least: int = 1) -> Parameter:
    """Return a parameter that is a number of bars."""
    return Parameter(name, default, least, LONGEST)


def factor(name: str, default: float, greatest: float = 1_000) -> Parameter:
    """Return a parameter that something is multiplied by."""
    return Parameter(name, default, 0.0001, greatest)


def number_text(value: float) -> str:
    """Return a number as in names of columns: 2 for 2.0.

    >>> number_text(2.0), number_text(0.02), number_text(100_000)
    ('2', '0.02', '100000')
    """
    return str(int(value)) if isfinite(value) and value == int(value) else repr(float(value))
