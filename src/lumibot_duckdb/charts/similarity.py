"""An order of assets in which similar ones are next to each other."""

from __future__ import annotations

from typing import Any

import numpy as np

_MOST_OPTIMAL = 500
"""Assets up to which leaves are ordered optimally; the time for it grows with more than their square."""


def similar_next_to_each_other(correlations: np.ndarray[Any, np.dtype[np.float64]]) -> list[int]:
    """Return the places of the assets in an order by hierarchical clustering.

    The distance of two assets is the root of (1 - correlation)/2, which is a metric (R. Mantegna, 1999, up to a
    factor). A missing correlation counts as 0. Clusters are joined by the mean distance of their members.
    """
    from scipy.cluster.hierarchy import leaves_list, linkage
    from scipy.spatial.distance import squareform

    count = len(correlations)
    if count < 3:
        return list(range(count))
    known = np.nan_to_num(correlations).clip(-1, 1)
    distances = np.sqrt((1 - (known + known.T) / 2) / 2)
    np.fill_diagonal(distances, 0)
    tree = linkage(squareform(distances, checks=False), "average", optimal_ordering=count <= _MOST_OPTIMAL)
    return [int(place) for place in leaves_list(tree)]
