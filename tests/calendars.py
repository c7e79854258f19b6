"""Keeps the schedules of exchanges: `pandas_market_calendars` works out each anew, which takes longer than many tests.

Lumibot asks for some in every backtest, and its Polygon source in every other request.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any
from unittest import mock

import pandas as pd
import pandas_market_calendars as market_calendars
from pandas_market_calendars import MarketCalendar


@contextmanager
def schedules_kept() -> Iterator[None]:
    """Work out each calendar once, and each of its schedules."""
    work_out = MarketCalendar.schedule
    kept: dict[str, pd.DataFrame] = {}

    def schedule(self: MarketCalendar, *arguments: Any, **settings: Any) -> pd.DataFrame:
        # As text: moments in two time zones may be equal, and are of different days.
        asked = repr((type(self), arguments, settings))
        if asked not in kept:
            kept[asked] = work_out(self, *arguments, **settings)
        return kept[asked].copy()

    with (
        mock.patch.object(market_calendars, "get_calendar", cache(market_calendars.get_calendar)),
        mock.patch.object(MarketCalendar, "schedule", schedule),
    ):
        yield
