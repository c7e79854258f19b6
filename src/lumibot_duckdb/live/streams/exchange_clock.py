"""The clock of an exchange, as far as this computer knows it."""

from __future__ import annotations

import time
from collections.abc import Callable

from lumibot_duckdb import clock

_VALID_SECONDS = 300.0


class ExchangeClock:
    """Estimates what an exchange's clock shows, from this computer's clock and the last measured difference.

    The estimate is a little behind, by the way of an answer, so nothing counts as closed too early.

    Args:
        measure: Asks the exchange for its time (epoch seconds). If it returns None, this computer's clock is believed.
        doubt_seconds: How often it is asked, at most, while something contradicts the estimate.
    """

    def __init__(self, measure: Callable[[], float | None], doubt_seconds: float) -> None:
        self._measure = measure
        self._doubt_seconds = doubt_seconds
        self._ahead = 0.0
        self._measured_at: float | None = None
        self._doubted = False

    def now(self) -> float:
        """Return the estimated time of the exchange, in epoch seconds."""
        return clock.utc_now().timestamp() + self._ahead

    @property
    def is_due(self) -> bool:
        """Whether the difference was not measured lately."""
        valid = self._doubt_seconds if self._doubted else _VALID_SECONDS
        return self._measured_at is None or time.monotonic() - self._measured_at > valid

    def doubt(self) -> None:
        """Make a measurement due soon, because something contradicts the estimate."""
        self._doubted = True

    def measure(self) -> None:
        """Ask the exchange. Blocks, and raises what the provider raises."""
        shown = self._measure()
        self._ahead = 0.0 if shown is None else shown - clock.utc_now().timestamp()
        self._measured_at = time.monotonic()
        self._doubted = False
