"""Fixtures of the tests of live trading."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import pandas as pd
import pytest

from live.markets import markets, servers
from lumibot_duckdb import clock

__all__ = ["SetClock", "markets", "servers", "set_clock"]

SetClock = Callable[[pd.Timestamp], None]


@pytest.fixture
def set_clock(monkeypatch: pytest.MonkeyPatch) -> SetClock:
    """Set the clock of the package."""

    def to(moment: pd.Timestamp) -> None:
        there = moment.tz_convert("UTC").to_pydatetime()
        assert there.tzinfo == dt.timezone.utc
        monkeypatch.setattr(clock, "utc_now", lambda: there)

    return to
