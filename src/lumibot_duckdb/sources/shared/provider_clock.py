"""The clock of a provider, as the dates of its answers show it."""

from __future__ import annotations

from collections.abc import Mapping
from email.utils import parsedate_to_datetime

from lumibot_duckdb import clock


def date_in(headers: Mapping[str, str]) -> float | None:
    """Return the date of an answer, in epoch seconds; None if it has none.

    >>> date_in({"Date": "Tue, 02 Jan 2024 14:30:00 GMT"})
    1704205800.0
    """
    try:
        return parsedate_to_datetime(headers["Date"]).timestamp()
    except (KeyError, TypeError, ValueError):
        return None


class ProviderClock:
    """How far a provider's clock is ahead of this computer's.

    Dates of answers are whole seconds, rounded down, and on their way for a moment: the provider's time is a little
    later than what follows from them, so nothing counts as closed too early.
    """

    def __init__(self) -> None:
        self.seconds_ahead = 0.0

    def note(self, headers: Mapping[str, str]) -> None:
        """Compare both clocks, when an answer with these headers has just arrived."""
        date = date_in(headers)
        if date is not None:
            self.seconds_ahead = date - clock.utc_now().timestamp()
