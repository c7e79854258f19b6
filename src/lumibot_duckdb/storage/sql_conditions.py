"""Conditions in SQL text."""

from __future__ import annotations

from collections.abc import Iterable


def is_one_of(column: str, ids: Iterable[int]) -> str:
    """Return SQL for whether a column has one of some ids.

    >>> is_one_of("version_id", [3, 5]), is_one_of("version_id", [])
    ('version_id IN (3, 5)', 'false')
    """
    listed = ", ".join(map(str, ids))
    return f"{column} IN ({listed})" if listed else "false"
