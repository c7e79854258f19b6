"""The values of one parameter of a search: steps, a list, or an interval."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, TypeAlias, TypeGuard, overload

from lumibot_duckdb.sweeps.search.errors import SearchError

if TYPE_CHECKING:
    from lumibot_duckdb.results.records import Value


class Steps(Sequence["int | float"]):
    """The numbers from `start` to `stop` in steps of `step`, with both ends, computed when they are needed.

    The numbers are exact multiples of the step in decimals: the float closest to 0.3 follows 0.2, not 0.1 + 0.2. They
    are whole numbers if `start`, `stop` and `step` are, and floats otherwise. If the steps do not hit `stop`, the last
    number is the one before it.

    Args:
        start: The first number.
        stop: The last number, if the steps hit it.
        step: The distance of two numbers; below zero if `stop` is below `start`.

    Raises:
        SearchError: A number is not finite, the step is 0, leads away from `stop`, or is too small for floats.

    >>> list(Steps(0.1, 0.5, 0.1))
    [0.1, 0.2, 0.3, 0.4, 0.5]
    >>> list(Steps(50, 20, -10)), len(Steps(0, 10**12, 1))
    ([50, 40, 30, 20], 1000000000001)
    """

    def __init__(self, start: float, stop: float, step: float) -> None:
        self.start, self.stop, self.step = (_checked_number(number) for number in (start, stop, step))
        self._check_direction()
        exact = [Fraction(repr(number)) for number in (self.start, self.stop, self.step)]
        self._scale = math.lcm(*(each.denominator for each in exact))
        first, last, width = (int(each * self._scale) for each in exact)
        self._numerators = range(first, last + (1 if width > 0 else -1), width)
        self._are_whole = all(isinstance(number, int) for number in (self.start, self.stop, self.step))
        self._check_values()

    def _check_direction(self) -> None:
        if self.step == 0:
            raise SearchError(f"{self}: the step is 0; give the distance of two values")
        if (self.stop - self.start) * self.step < 0:
            raise SearchError(f"{self}: a step of {self.step} leads away from {self.stop}; use {-self.step}")

    def _check_values(self) -> None:
        # The length as a difference: a range longer than sys.maxsize has no len().
        if (self._numerators[-1] - self._numerators[0]) // self._numerators.step >= sys.maxsize:
            raise SearchError(f"{self}: these are more values than can be counted; use a greater step")
        if not self._are_whole:
            # Floats are farthest apart where they are greatest, which is at one of the ends.
            values = [self._value(each) for each in (*self._numerators[:2], *self._numerators[-2:])]
            if len(self) > 1 and (values[0] == values[1] or values[-2] == values[-1]):
                raise SearchError(f"{self}: the step is too small to change a float; use a greater one")

    def _value(self, numerator: int) -> int | float:
        # The quotient of two whole numbers is the float closest to the exact value.
        return numerator if self._are_whole else numerator / self._scale

    def position(self, value: Value) -> int | None:
        """Return where a value is; None if it is not one of these."""
        if not is_number(value) or not math.isfinite(value):
            return None
        numerator = Fraction(repr(value)) * self._scale
        is_one = numerator.denominator == 1 and int(numerator) in self._numerators
        return self._numerators.index(int(numerator)) if is_one else None

    def __contains__(self, value: object) -> bool:
        return is_number(value) and self.position(value) is not None

    def __len__(self) -> int:
        return len(self._numerators)

    @overload
    def __getitem__(self, index: int) -> int | float: ...

    @overload
    def __getitem__(self, index: slice) -> list[int | float]: ...

    def __getitem__(self, index: int | slice) -> int | float | list[int | float]:
        if isinstance(index, slice):
            return [self._value(each) for each in self._numerators[index]]
        return self._value(self._numerators[index])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Steps) and repr(self) == repr(other)

    def __hash__(self) -> int:
        return hash(repr(self))

    def __str__(self) -> str:
        return f"{self.start}:{self.stop}:{self.step}"

    def __repr__(self) -> str:
        return f"Steps({self.start!r}, {self.stop!r}, {self.step!r})"


@dataclass(frozen=True)
class Interval:
    """All floats from `low` to `high`, for random search and Optuna.

    Raises:
        SearchError: An end is not a finite number, or `low` is not below `high`.

    >>> Interval(0.5, 2)
    Interval(low=0.5, high=2.0)
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        for name in ("low", "high"):
            object.__setattr__(self, name, float(_checked_number(getattr(self, name))))
        if not math.isfinite(self.high - self.low):
            raise SearchError(f"{self}: the distance of the ends is too large for a float")
        if self.low >= self.high:
            raise SearchError(f"{self}: the low end must be below the high end")

    def __str__(self) -> str:
        return f"{self.low}:{self.high}"


def is_number(value: object) -> TypeGuard[int | float]:
    """Return whether a value is a number, which true and false are not here."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _checked_number(number: Any) -> int | float:
    """Return a number, also one of numpy, as one of Python."""
    if isinstance(number, bool) or not isinstance(number, Real) or not math.isfinite(number):
        raise SearchError(f"{number!r} is not a finite number")
    return int(number) if isinstance(number, Integral) else float(number)


Dimension: TypeAlias = "Steps | tuple[Value, ...] | Interval"
"""The values of one parameter."""


def checked_choices(values: Sequence[Value]) -> tuple[Value, ...]:
    """Return a list of values, which must all be different. 1, 1.0 and true are different values."""
    if not values:
        raise SearchError("there is no value; give one or more")
    seen: set[tuple[type, Value]] = set()
    for value in values:
        if (type(value), value) in seen:
            raise SearchError(f"{value!r} is given twice; each combination runs once")
        seen.add((type(value), value))
    return tuple(values)


def as_json(dimension: Dimension) -> dict[str, Any]:
    """Return the values of a parameter as JSON, by which an earlier search is compared with a new one."""
    if isinstance(dimension, Steps):
        return {"start": dimension.start, "stop": dimension.stop, "step": dimension.step}
    if isinstance(dimension, Interval):
        return {"low": dimension.low, "high": dimension.high}
    return {"values": list(dimension)}


def of_json(stored: Mapping[str, Any]) -> Dimension:
    """Return the values of a parameter that `as_json` has described.

    >>> of_json(as_json(Steps(5, 50, 5)))
    Steps(5, 50, 5)
    """
    if "values" in stored:
        return tuple(stored["values"])
    if "step" in stored:
        return Steps(stored["start"], stored["stop"], stored["step"])
    return Interval(stored["low"], stored["high"])
