"""How long a listing of option contracts is valid."""

from __future__ import annotations

import datetime as dt

import pytest

from lumibot_duckdb.sources.shared.listings import is_current

LISTED = dt.date(2024, 3, 15)


@pytest.mark.parametrize(
    ("last", "days", "expected"),
    [
        (None, 7, True),
        (None, 8, False),
        (dt.date(2024, 3, 14), 1_000, True),  # had expired
        (LISTED, 7, True),
        (LISTED, 8, False),  # expires on the day of the listing, on which contracts may be added
        (dt.date(2024, 4, 19), 8, False),
    ],
)
def test_a_listing_is_valid_for_a_week_and_of_expired_contracts_for_ever(
    last: dt.date | None, days: int, expected: bool
) -> None:
    assert is_current(LISTED, last, LISTED + dt.timedelta(days)) is expected
