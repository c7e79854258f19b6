"""What grid and random search share: the values of each trial follow from its number alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain
from typing import TYPE_CHECKING

from lumibot_duckdb.sweeps.search.errors import SearchError

if TYPE_CHECKING:
    from lumibot_duckdb.results.records import Value


class ListedSearch:
    """Proposes combinations in an order that does not depend on results.

    Args:
        combinations: The combinations, which are taken one by one.
        total: How many there are at most; None if unknown.

    Raises:
        SearchError: There is no combination.
    """

    def __init__(self, combinations: Iterator[dict[str, Value]], total: int | None) -> None:
        self.total = total
        self._number = 0
        self._told: dict[int, Mapping[str, Value] | None] = {}
        first = next(combinations, None)
        if first is None:
            raise SearchError("no combination of the parameters meets the conditions; widen the values or a condition")
        self._combinations = chain([first], combinations)

    def ask(self) -> tuple[int, Mapping[str, Value]] | None:
        """Return the number and the values of the next trial that has no result yet.

        Raises:
            SearchError: A stored trial had other values than it has here, so it belongs to another search.
        """
        for values in self._combinations:
            self._number += 1
            if self._number not in self._told:
                return self._number, values
            self._check(self._told.pop(self._number), values)
        return None

    def tell(self, number: int, objective: float | None, values: Mapping[str, Value] | None = None) -> None:
        """Note that a trial is done, so that it is not asked."""
        if number > self._number:
            self._told[number] = values

    def _check(self, stored: Mapping[str, Value] | None, values: Mapping[str, Value]) -> None:
        if stored is not None and dict(stored) != dict(values):
            raise SearchError(
                f"trial {self._number} was run with {dict(stored)}, but is {dict(values)} in this search; "
                f"resume with the same parameters, conditions and seed, or begin a sweep with another name"
            )
