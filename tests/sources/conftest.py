from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import TypeAlias

import pytest

from lumibot_duckdb import clock
from migration.conftest import cache
from outlines import outlines
from windows.stored_minutes import storage

__all__ = ["LetPass", "cache", "let_pass", "outlines", "storage"]

LetPass: TypeAlias = Callable[[float], None]


@pytest.fixture
def let_pass(monkeypatch: pytest.MonkeyPatch) -> LetPass:
    """Set the clock some days ahead of the computer's."""

    def later(days: float) -> None:
        by = dt.timedelta(days=days)
        monkeypatch.setattr(clock, "utc_now", lambda: dt.datetime.now(dt.timezone.utc) + by)

    return later
