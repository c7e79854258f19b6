"""Lumibot's shared bar cache on its way into a store: what belongs together, what is deleted, whose bars they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from lumibot_duckdb.migration.plan import plan_of
from lumibot_duckdb.migration.run import Ending, Outcome, migrated
from lumibot_duckdb.storage.interface import AssetKey, SeriesKey
from migration.caches import Cache
from migration.shared_files import KEY, days, series_of, write_notes, write_year

STOCK = SeriesKey(AssetKey("AAPL"), "alpaca", "day", "all")
AAPL = series_of("AAPL")


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LUMIBOT_SHARED_BARS_SCOPE", raising=False)
    monkeypatch.setenv("ALPACA_API_KEY", KEY)


def brought_in(cache: Cache, *symbols: str, delete_verified: bool = False) -> dict[str, Outcome]:
    plan = plan_of(cache.folder, assets=[AssetKey(symbol) for symbol in symbols or ("AAPL",)])
    outcomes = migrated(plan, cache.storage, delete_verified=delete_verified)
    return {outcome.file.stem: outcome for outcome in outcomes}


def csv(cache: Cache, rows: str) -> Path:
    """Write one of Lumibot's CSV files of days."""
    name = "AAPL-STOCK_USD-FOREX_NASDAQ_DAY_AMERICA-NEW-YORK_AA_2024-03-04_2024-03-05"
    path = cache.folder / "alpaca" / f"{name}.csv"
    path.parent.mkdir()
    path.write_text(f"timestamp,open,high,low,close,volume\n{rows}")
    return path


def test_a_file_without_bars_is_brought_in(cache: Cache) -> None:
    write_year(cache.folder, AAPL, days("2024-03-04", rows=0))
    write_year(cache.folder, AAPL, days("2023-03-06"), year=2023)
    for again in (False, True):
        found = brought_in(cache)
        assert {each.ending for each in found.values()} == {Ending.ALREADY_HERE if again else Ending.BROUGHT_IN}
    assert (len(cache.bars(STOCK)), len(cache.days(STOCK))) == (4, 2)


# -- what is deleted ------------------------------------------------------------------------------------------


def test_the_notes_on_a_series_stay_as_long_as_one_of_its_files(cache: Cache) -> None:
    """Without them Lumibot would take the prices of an older generation for right ones."""
    stale = write_year(cache.folder, AAPL, days("2024-03-04"), epoch=0)
    write_year(cache.folder, AAPL, days("2023-03-06", price=5.0), year=2023, epoch=1)
    notes = write_notes(cache.folder, AAPL, epoch=1)
    plan = plan_of(cache.folder)
    assert plan.left_alone == ()
    found = brought_in(cache, delete_verified=True)
    assert {name: each.ending for name, each in found.items()} == {
        "2024": Ending.LEFT_ALONE,
        "2023": Ending.BROUGHT_IN,
    }
    assert cache.files() == sorted([stale, notes])


def test_the_notes_on_a_series_go_with_its_last_file(cache: Cache) -> None:
    for year in (2022, 2023, 2024):
        write_year(cache.folder, AAPL, days(f"{year}-03-07"), year=year, epoch=1)
    write_notes(cache.folder, AAPL, epoch=1)
    assert sum(len(each.deleted) for each in brought_in(cache, delete_verified=True).values()) == 4
    assert cache.files() == []
