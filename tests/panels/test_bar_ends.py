"""When bars end."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from lumibot_duckdb.panels.bar_ends import bar_ends

NEW_YORK = "America/New_York"


@pytest.mark.parametrize(
    ("start", "timeframe", "zone", "end"),
    [
        ("2024-01-02 09:30-05:00", "minute", NEW_YORK, "2024-01-02 09:31-05:00"),
        ("2024-01-02 09:30-05:00", "4hour", NEW_YORK, "2024-01-02 13:30-05:00"),
        ("2024-01-02 00:00-05:00", "day", NEW_YORK, "2024-01-03 00:00-05:00"),
        ("2024-03-10 00:00-05:00", "day", NEW_YORK, "2024-03-11 00:00-04:00"),  # 23 hours
        ("2024-11-03 00:00-04:00", "day", NEW_YORK, "2024-11-04 00:00-05:00"),  # 25 hours
        ("2024-03-10 00:00+00:00", "day", NEW_YORK, "2024-03-11 00:00+00:00"),  # crypto
        ("2024-03-31 00:00+01:00", "day", "Europe/Berlin", "2024-04-01 00:00+02:00"),
        ("2024-01-02 16:00-05:00", "day", NEW_YORK, "2024-01-03 16:00-05:00"),  # stamped at the market's close
        ("2024-03-04 00:00-05:00", "week", NEW_YORK, "2024-03-11 00:00-04:00"),
        ("2024-01-31 00:00+00:00", "month", NEW_YORK, "2024-02-29 00:00+00:00"),
        ("2024-02-01 00:00-05:00", "3month", NEW_YORK, "2024-05-01 00:00-04:00"),
        (
            "2024-11-02 01:30-04:00",
            "day",
            NEW_YORK,
            "2024-11-03 01:30-05:00",
        ),  # a time that exists twice: the later one
        ("2024-03-09 02:30-05:00", "day", NEW_YORK, "2024-03-10 03:00-04:00"),  # one that does not exist
    ],
)
def test_a_bar_ends(start: str, timeframe: str, zone: str, end: str) -> None:
    starts = np.array([int(pd.Timestamp(start).timestamp())])
    assert pd.Timestamp(bar_ends(starts, timeframe, zone)[0], unit="s", tz="UTC") == pd.Timestamp(end)


@pytest.mark.parametrize("timeframe", ["day", "week"])
def test_bars_of_several_kinds(timeframe: str) -> None:
    """A series may have bars that begin in UTC, and others that do not."""
    starts = np.array([int(pd.Timestamp(each).timestamp()) for each in ("2024-03-09 00:00Z", "2024-03-10 00:00-05:00")])
    alone = [bar_ends(starts[place : place + 1], timeframe, NEW_YORK)[0] for place in (0, 1)]
    assert bar_ends(starts, timeframe, NEW_YORK).tolist() == alone
    assert len(bar_ends(starts[:0], timeframe, NEW_YORK)) == 0
