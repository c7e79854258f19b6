"""What decides which parameters are tried next."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from lumibot_duckdb.results.records import Value


class Sampler(Protocol):
    """Proposes the values of trials. It is used by one thread at a time."""

    total: int | None
    """How many trials there are in all, at most; None if that is not known."""

    def ask(self) -> tuple[int, Mapping[str, Value]] | None:
        """Return the number (from 1) and the values of the next trial; None if there is none left."""

    def tell(self, number: int, objective: float | None, values: Mapping[str, Value] | None = None) -> None:
        """Take the result of a trial; None if it has no value.

        A sweep that is resumed first tells the trials that are stored, with their `values`. They are not asked again.
        """
