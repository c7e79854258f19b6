"""What decides which parameters are tried next."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from lumibot_duckdb.results.records import Value


class Sampler(Protocol):
    """Proposes the values of trials. It is used by one thread at a time."""

    total: int | None
    """How many trials there are in all; None if that is not known."""

    def ask(self) -> tuple[int, Mapping[str, Value]] | None:
        """Return the number (from 1) and the values of the next trial; None if there is none left."""

    def tell(self, number: int, objective: float | None) -> None:
        """Take the result of a trial; None if it has no value. Also for trials of an earlier run that is resumed."""
