"""How long a listing of option contracts is valid. A provider may list further contracts at any time."""

from __future__ import annotations

from datetime import date, timedelta

VALID_FOR = timedelta(days=7)


def is_current(listed_on: date, last: date | None, today: date) -> bool:
    """Return whether a listing still has all contracts that expire up to a day.

    Parameters:
        listed_on: the day of the listing.
        last: the last day on which the contracts expire (None: any). Contracts that had expired when they were listed
            do not change.
        today: the present day.
    """
    return (last is not None and last < listed_on) or today - listed_on <= VALID_FOR
