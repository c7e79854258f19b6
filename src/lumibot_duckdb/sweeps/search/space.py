"""The search space: the values of each parameter, and the conditions that combinations must meet."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lumibot_duckdb.sweeps.search.conditions import Condition, Values
from lumibot_duckdb.sweeps.search.dimensions import Dimension, Interval, Steps, as_json, checked_choices
from lumibot_duckdb.sweeps.search.errors import SearchError
from lumibot_duckdb.sweeps.search.set_option import parsed_option

if TYPE_CHECKING:
    from lumibot_duckdb.results.records import Value

_MOST_COUNTED = 200_000
"""How many combinations are tried to count those that meet the conditions: a fraction of a second."""

_MOST_IN_VAIN = 3_000_000
"""How many combinations may fail the conditions before the first one that meets them: a few seconds."""


@dataclass(frozen=True)
class Space:
    """The parameters of a search.

    Attributes:
        parameters: The values of each parameter by its name, in the order in which they were given.
        conditions: What each combination must meet.

    >>> space = Space.of_options(["fast=5:20:5", "slow=10,50"], ["fast < slow"])
    >>> space.size, space.count()
    (8, 5)
    >>> space.at(1)
    {'fast': 5, 'slow': 50}
    """

    parameters: Mapping[str, Dimension]
    conditions: tuple[Condition, ...] = ()

    @classmethod
    def of_options(cls, options: Iterable[str], conditions: Iterable[str] = ()) -> Space:
        """Return the space of texts such as `fast=5:50:5` and conditions such as `fast < slow`.

        Raises:
            SearchError: A text cannot be read, a name is given twice, or there is no parameter.
        """
        parameters: dict[str, Dimension] = {}
        for option in options:
            name, values = parsed_option(option)
            if name in parameters:
                raise SearchError(f"{option}: {name} is given twice; write all its values in one list")
            parameters[name] = values
        return cls._checked(parameters, conditions)

    @classmethod
    def of_values(cls, values: Mapping[str, Any], conditions: str | Iterable[str] = ()) -> Space:
        """Return the space of Python objects.

        Args:
            values: The values of each parameter: a range, a list, a tuple, an array or series of numpy, pandas or
                polars, `Steps`, an `Interval`, or a single value. Numbers of numpy become those of Python.
            conditions: One condition or several.

        Raises:
            SearchError: A value is no number, text, bool or None, or is given twice; or there is no parameter.

        >>> Space.of_values({"fast": range(5, 51, 5), "slow": [20, 50, 100]}, "fast < slow").count()
        22
        """
        parameters: dict[str, Dimension] = {}
        for name, given in values.items():
            if not isinstance(name, str) or not name:
                raise SearchError(f"the name of a parameter must be a text, not {name!r}")
            try:
                parameters[name] = _dimension(given)
            except SearchError as error:
                raise SearchError(f"{name}: {error}") from None
        return cls._checked(parameters, [conditions] if isinstance(conditions, str) else conditions)

    @classmethod
    def _checked(cls, parameters: Mapping[str, Dimension], conditions: Iterable[str]) -> Space:
        if not parameters:
            raise SearchError("there is no parameter to search; give one or more, such as fast=5:50:5")
        return cls(dict(parameters), tuple(Condition(text, parameters) for text in conditions))

    @property
    def intervals(self) -> tuple[str, ...]:
        """The names of the parameters that have infinitely many values."""
        return tuple(name for name, values in self.parameters.items() if isinstance(values, Interval))

    @property
    def size(self) -> int | None:
        """The number of all combinations, before the conditions; None if they are infinitely many."""
        if self.intervals:
            return None
        return math.prod(len(values) for values in self.parameters.values() if not isinstance(values, Interval))

    def at(self, index: int) -> dict[str, Value]:
        """Return the combination at an index from 0, in which the last parameter changes fastest. Without intervals."""
        found: list[Value] = []
        for values in reversed(self._finite()):
            index, position = divmod(index, len(values))
            found.append(values[position])
        return dict(zip(self.parameters, reversed(found), strict=True))

    def allows(self, values: Values) -> bool:
        """Return whether a combination meets all conditions."""
        return all(condition.holds(values) for condition in self.conditions)

    def combinations(self) -> Iterator[dict[str, Value]]:
        """Yield the combinations that meet the conditions, in the order of `at`; each is made when it is needed.

        Raises:
            SearchError: A parameter is an interval, or the first three million combinations fail the conditions.
        """
        self._finite()
        yield from self._combinations(list(self.parameters), list(self.conditions))

    def count(self) -> int | None:
        """Return how many combinations meet the conditions.

        Parameters that have no condition in common are counted apart.

        Returns:
            None if they are infinitely many, or too many to be counted within a fraction of a second.
        """
        if self.intervals:
            return None
        groups = self._groups()
        if any(conditions and self._product(names) > _MOST_COUNTED for names, conditions in groups):
            return None
        return math.prod(
            sum(1 for _ in self._combinations(names, conditions)) if conditions else self._product(names)
            for names, conditions in groups
        )

    def as_json(self) -> dict[str, Any]:
        """Return the space as JSON, by which the search of a resumed sweep is compared with the earlier one."""
        return {
            "parameters": {name: as_json(values) for name, values in self.parameters.items()},
            "conditions": [condition.text for condition in self.conditions],
        }

    def _finite(self) -> list[Steps | tuple[Value, ...]]:
        if name := next(iter(self.intervals), None):
            raise SearchError(
                f"{name}={self.parameters[name]} has infinitely many values, which a grid cannot try; "
                f"add a step ({name}={self.parameters[name]}:STEP), or choose random search or Optuna"
            )
        return [values for values in self.parameters.values() if not isinstance(values, Interval)]

    def _product(self, names: Iterable[str]) -> int:
        dimensions = (self.parameters[name] for name in names)
        return math.prod(len(values) for values in dimensions if not isinstance(values, Interval))

    def _groups(self) -> list[tuple[list[str], list[Condition]]]:
        """Return the parameters in groups that have no condition in common, with their conditions."""
        groups: list[tuple[set[str], list[Condition]]] = [({name}, []) for name in self.parameters]
        for condition in self.conditions:
            joined = [group for group in groups if group[0] & condition.names]
            names = set[str]().union(*(group[0] for group in joined))
            conditions = [each for group in joined for each in group[1]] + [condition]
            groups = [*(group for group in groups if group not in joined), (names, conditions)]
        return [([name for name in self.parameters if name in names], conditions) for names, conditions in groups]

    def _combinations(self, names: Sequence[str], conditions: Sequence[Condition]) -> Iterator[dict[str, Value]]:
        """Yield combinations of some parameters. A condition is checked as soon as its last parameter has a value."""
        due: list[list[Condition]] = [[] for _ in names]
        for condition in conditions:
            if condition.names:
                due[max(names.index(name) for name in condition.names)].append(condition)
            elif not condition.holds({}):
                return
        values: dict[str, Value] = {}
        in_vain = 0  # how many are rejected before the first one that is not

        def from_depth(depth: int) -> Iterator[dict[str, Value]]:
            nonlocal in_vain
            if depth == len(names):
                in_vain = -1
                yield dict(values)
                return
            dimension = self.parameters[names[depth]]
            assert not isinstance(dimension, Interval)
            for value in dimension:
                values[names[depth]] = value
                if all(condition.holds(values) for condition in due[depth]):
                    yield from from_depth(depth + 1)
                elif in_vain >= 0 and (in_vain := in_vain + 1) > _MOST_IN_VAIN:
                    raise SearchError(
                        f"the first {_MOST_IN_VAIN:,} combinations fail the conditions; "
                        f"narrow the values to those that can meet them"
                    )

        yield from from_depth(0)


def _dimension(given: Any) -> Dimension:
    """Return the values that a Python object gives."""
    if isinstance(given, (Steps, Interval)):
        return given
    if isinstance(given, range):
        if not given:
            raise SearchError(f"{given} has no values")
        return Steps(given[0], given[-1], given.step)
    if isinstance(given, (set, frozenset)):
        raise SearchError("a set has no order; give a list")
    if isinstance(given, Mapping):
        raise SearchError("a mapping has no values to try; give a list")
    several = given.tolist() if hasattr(given, "tolist") else given.to_list() if hasattr(given, "to_list") else given
    if isinstance(several, (list, tuple)):
        return checked_choices([_plain(value) for value in several])
    return checked_choices([_plain(several)])


def _plain(value: Any) -> Value:
    """Return a value as one of Python and JSON."""
    plain = value.item() if hasattr(value, "item") and hasattr(value, "dtype") else value
    if isinstance(plain, float) and not math.isfinite(plain):
        raise SearchError(f"{plain} is not a finite number")
    for kind in (bool, int, float, str):
        if isinstance(plain, kind):
            return kind(plain) if not isinstance(plain, bool) else plain
    if plain is None:
        return None
    raise SearchError(
        f"{value!r} ({type(value).__name__}) is no number, text, bool or None; give a date as a text such as "
        f"'2024-01-31'"
    )
