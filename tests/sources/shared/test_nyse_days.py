"""The remembered trading days of New York are those that Lumibot's Polygon source takes from the calendar."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest
from lumibot.entities import Asset
from lumibot.tools.polygon_helper import get_trading_dates
from pandas_market_calendars.calendars.nyse import NYSEExchangeCalendar

from lumibot_duckdb.lumibot_contract import remembered
from lumibot_duckdb.sources.shared import nyse_days as module
from lumibot_duckdb.sources.shared.nyse_days import nyse_days


@pytest.fixture(autouse=True)
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The file of a user who has none yet, in a process that has looked at nothing yet."""
    monkeypatch.setattr(remembered, "_folder", lambda: tmp_path)
    _forget()
    yield tmp_path / "nyse_days.json"
    _forget()


def _forget() -> None:
    nyse_days.cache_clear()
    module._numbers.cache_clear()


@pytest.mark.parametrize(
    ("first", "last"),
    [
        (date(1990, 1, 1), date(1991, 12, 31)),
        (date(2001, 9, 1), date(2001, 9, 30)),  # closed for four days
        (date(2012, 10, 27), date(2012, 10, 31)),  # closed for a hurricane
        (date(2021, 12, 30), date(2022, 6, 20)),  # the first closing on Juneteenth
        (date(2024, 3, 30), date(2024, 3, 31)),  # a weekend
        (date(2039, 1, 1), date(2039, 12, 31)),
    ],
)
def test_days_are_those_of_lumibot(first: date, last: date) -> None:
    start, end = (datetime.combine(day, datetime.min.time()) for day in (first, last))
    assert nyse_days(first, last) == tuple(get_trading_dates(Asset("SPY"), start, end))


def test_another_process_reads_the_days_from_the_file(memory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = nyse_days(date(2000, 1, 1), date(2024, 12, 31))
    assert memory.exists()
    _forget()
    monkeypatch.setattr(NYSEExchangeCalendar, "valid_days", None)
    assert nyse_days(date(2000, 1, 1), date(2024, 12, 31)) == known


@pytest.mark.parametrize("spoilt", ["", "{", "[]", "1", "0" * 18_262, "2" * 18_262])
def test_a_spoilt_file_is_written_again(memory: Path, spoilt: str) -> None:
    known = nyse_days(date(2024, 1, 1), date(2024, 12, 31))
    (key,) = json.loads(memory.read_text())
    memory.write_text(spoilt if len(spoilt) < 3 else json.dumps({key: spoilt}))
    _forget()
    assert nyse_days(date(2024, 1, 1), date(2024, 12, 31)) == known
    _forget()
    assert nyse_days(date(2024, 1, 1), date(2024, 12, 31)) == known


def test_days_of_other_years_are_not_remembered() -> None:
    day = timedelta(days=1)
    assert nyse_days(date(1990, 1, 1) - day, date(1990, 1, 5)) is None
    assert nyse_days(date(2039, 12, 30), date(2039, 12, 31) + day) is None
    assert nyse_days(date(2024, 1, 2), date(2024, 1, 1)) is None
