"""Random search: combinations drawn with a seed."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING

from lumibot_duckdb.sweeps.search.dimensions import Interval
from lumibot_duckdb.sweeps.search.errors import SearchError
from lumibot_duckdb.sweeps.search.listed_search import ListedSearch
from lumibot_duckdb.sweeps.search.space import Space

if TYPE_CHECKING:
    from lumibot_duckdb.results.records import Value

_MOST_IN_VAIN = 1_000_000
"""How many combinations may fail the conditions one after another."""


class RandomSearch(ListedSearch):
    """Tries random combinations that meet the conditions, none of them twice.

    The values of a trial follow from the seed and its number: they are the same in each process, on each machine and
    with each version of Python, and do not depend on results. All combinations are equally likely.

    Args:
        space: The parameters.
        trials: How many trials there are. They are fewer if there are not so many combinations, or if a million draws
            in a row fail the conditions.
        seed: Another seed gives other trials.

    Raises:
        SearchError: `trials` is below 1, or no combination meets the conditions.

    >>> search = RandomSearch(Space.of_options(["fast=5:50:5", "stop=0.01:0.2"]), trials=200, seed=1)
    >>> search.total, search.ask()
    (200, (1, {'fast': 5, 'stop': 0.026125679080195113}))
    """

    def __init__(self, space: Space, trials: int, seed: int = 0) -> None:
        if trials < 1:
            raise SearchError(f"{trials} trials are too few; 1 is the least")
        count = space.count()
        super().__init__(
            islice(random_combinations(space, seed), trials), trials if count is None else min(trials, count)
        )


def random_combinations(space: Space, seed: int) -> Iterator[dict[str, Value]]:
    """Yield random combinations that meet the conditions; without intervals, each of them once.

    They end if a million combinations in a row fail the conditions.
    """
    numbers = _Numbers(seed)
    size = space.size
    drawn = _independent(space, numbers) if size is None else map(space.at, _shuffled(size, numbers))
    in_vain = 0
    for values in drawn:
        if space.allows(values):
            in_vain = 0
            yield values
        elif (in_vain := in_vain + 1) == _MOST_IN_VAIN:
            return


def _shuffled(size: int, numbers: _Numbers) -> Iterator[int]:
    """Yield the numbers below `size` in random order: a Fisher-Yates shuffle that stores only what it has moved."""
    moved: dict[int, int] = {}
    for position in range(size):
        here = moved.pop(position, position)
        chosen = position + numbers.below(size - position)
        if chosen != position:
            here, moved[chosen] = moved.get(chosen, chosen), here
        yield here


def _independent(space: Space, numbers: _Numbers) -> Iterator[dict[str, Value]]:
    """Yield combinations in which each value is drawn on its own."""
    while True:
        yield {
            name: numbers.between(values.low, values.high)
            if isinstance(values, Interval)
            else values[numbers.below(len(values))]
            for name, values in space.parameters.items()
        }


class _Numbers:
    """Random numbers that stay the same: of the `random` module, only `random()` is promised never to change."""

    _BITS = 53

    def __init__(self, seed: int) -> None:
        # The module takes the absolute value of a seed.
        self._next = random.Random(2 * seed if seed >= 0 else -2 * seed - 1).random

    def below(self, limit: int) -> int:
        """Return a whole number from 0, below a limit of any size; all are equally likely."""
        bits = (limit - 1).bit_length()
        while True:
            found, had = 0, 0
            while had < bits:
                found, had = found << self._BITS | int(self._next() * 2**self._BITS), had + self._BITS
            found >>= had - bits
            if found < limit:
                return found

    def between(self, low: float, high: float) -> float:
        """Return a float from `low` to `high`."""
        return min(low + (high - low) * self._next(), high)
