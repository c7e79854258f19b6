"""Grid search: all combinations."""

from __future__ import annotations

from lumibot_duckdb.sweeps.search.listed_search import ListedSearch
from lumibot_duckdb.sweeps.search.space import Space


class GridSearch(ListedSearch):
    """Tries all combinations that meet the conditions. The last parameter changes fastest.

    Combinations are made one by one, so that a grid of any size needs no memory.

    Args:
        space: The parameters.

    Raises:
        SearchError: A parameter is an interval, or no combination meets the conditions; in a large space, if none of
            the first three million does.

    >>> search = GridSearch(Space.of_options(["fast=5,10", "slow=10:30:10"], ["fast < slow"]))
    >>> search.total, search.ask(), search.ask()
    (5, (1, {'fast': 5, 'slow': 10}), (2, {'fast': 5, 'slow': 20}))
    """

    def __init__(self, space: Space) -> None:
        super().__init__(space.combinations(), space.count())
