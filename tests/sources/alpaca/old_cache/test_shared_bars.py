"""Migrating Lumibot's shared bar cache: which files belong together, which are deleted, and whose bars they have."""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd
import pytest

from lumibot_duckdb.migration.plan import plan_of
from lumibot_duckdb.migration.run import Ending, Outcome, forecast_files, migrate_files
from lumibot_duckdb.storage.api import AssetKey, SeriesKey
from migration.caches import Cache, written
from sources.alpaca.old_cache.shared_files import KEY, days, series_of, write_notes, write_year

STOCK = SeriesKey(AssetKey("AAPL"), "alpaca", "day", "all")
AAPL = series_of("AAPL")


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LUMIBOT_SHARED_BARS_SCOPE", raising=False)
    monkeypatch.setenv("ALPACA_API_KEY", KEY)


def brought_in(cache: Cache, *symbols: str, delete_verified: bool = False) -> dict[str, Outcome]:
    plan = plan_of(cache.folder, assets=[AssetKey(symbol) for symbol in symbols or ("AAPL",)])
    outcomes = migrate_files(plan, cache.storage, delete_verified=delete_verified)
    return {outcome.file.stem: outcome for outcome in outcomes}


def write_csv(cache: Cache) -> Path:
    """Write a CSV file of two of the days."""
    name = "AAPL-STOCK_USD-FOREX_NASDAQ_DAY_AMERICA-NEW-YORK_AA_2024-03-04_2024-03-05"
    path = cache.folder / "alpaca" / f"{name}.csv"
    path.parent.mkdir()
    rows = [f"2024-03-0{day} 00:00:00-05:00,10.0,12.0,9.0,11.0,700.0\n" for day in (4, 5)]
    path.write_text("".join(["timestamp,open,high,low,close,volume\n", *rows]))
    return path


def test_a_file_without_bars_is_migrated(cache: Cache) -> None:
    empty = write_year(cache.folder, AAPL, days("2024-03-04", rows=0))
    write_year(cache.folder, AAPL, days("2023-03-06"), year=2023)
    plan = plan_of(cache.folder, assets=[AssetKey("AAPL")])
    for ending in (Ending.MIGRATED, Ending.ALREADY_HERE):
        assert {each.ending for each in forecast_files(plan, cache.storage)} == {ending}
        assert {each.ending for each in brought_in(cache).values()} == {ending}
    written(empty, pd.Timestamp.now("UTC").to_pydatetime() - pd.Timedelta(days=1))
    assert {each.ending for each in forecast_files(plan, cache.storage)} == {Ending.ALREADY_HERE}
    assert (len(cache.bars(STOCK)), len(cache.days(STOCK))) == (4, 2)


def test_files_are_left_alone_by_a_lumibot_without_a_shared_cache(
    cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_year(cache.folder, AAPL, days("2024-03-04"))
    monkeypatch.delitem(sys.modules, "lumibot_duckdb.sources.alpaca.old_cache.shared_series", raising=False)
    monkeypatch.setitem(sys.modules, "lumibot.tools.shared_bar_cache", None)
    (outcome,) = brought_in(cache).values()
    assert outcome.ending is Ending.LEFT_ALONE
    assert "Lumibot 4.6.25 or newer" in outcome.reason


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
        "2023": Ending.MIGRATED,
    }
    assert cache.files() == sorted([stale, notes])


def test_the_notes_on_a_series_go_with_its_last_file(cache: Cache) -> None:
    for year in (2022, 2023, 2024):
        write_year(cache.folder, AAPL, days(f"{year}-03-07"), year=year, epoch=1)
    write_notes(cache.folder, AAPL, epoch=1)
    assert sum(len(each.deleted) for each in brought_in(cache, delete_verified=True).values()) == 4
    assert cache.files() == []


@pytest.mark.parametrize("columns", [["trade_count", "vwap"], ["trade_count"], []])
def test_a_file_that_has_more_of_bars_than_a_csv_file_before_it_stays(cache: Cache, columns: list[str]) -> None:
    csv, bars = write_csv(cache), days("2024-03-04")
    lacking = [name for name in ("vwap", "trade_count") if name not in columns]
    shared = write_year(cache.folder, AAPL, bars.assign(**dict.fromkeys(lacking, float("nan"))))
    found = brought_in(cache, delete_verified=True)
    assert found[csv.stem].deleted
    told = (f"its {' and '.join(columns)} for bars that were in the store before, such as those from CSV files",)
    assert found["2024"].left_out == (told if columns else ())
    assert found["2024"].kept == (f"the store does not have {told[0]}" if columns else "")
    assert cache.files() == ([shared] if columns else [])
    assert cache.bars(STOCK)["vwap"].isna().tolist() == [True, True, "vwap" in lacking, "vwap" in lacking]


def test_a_file_whose_bars_the_store_has_whole_is_deleted(cache: Cache) -> None:
    write_year(cache.folder, AAPL, days("2024-03-04"))
    assert brought_in(cache)["2024"].left_out == ()
    assert brought_in(cache, delete_verified=True)["2024"].deleted
