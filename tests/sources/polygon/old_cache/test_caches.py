"""What only a second look at a Polygon cache shows: splits that came later, days that were not over, real chains."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from lumibot.entities import Asset
from lumibot.tools import polygon_helper

from lumibot_duckdb.migration.run import Ending
from lumibot_duckdb.storage.api import CorporateAction, TimeRange
from migration import old_market
from migration.caches import DOWNLOADED, Cache, written
from migration.test_run import BARS, SNAPSHOT, copy_as
from sources.polygon.old_cache.test_old_releases import STOCK
from sources.polygon.server import KEY, PolygonServer, Split
from sources.polygon.sides import Side, both_sides

AGGREGATES = "/v2/aggs"
SPLIT_2020 = CorporateAction(dt.date(2020, 6, 1), 1, 4)
NOW = dt.datetime.now(dt.timezone.utc)


@pytest.fixture
def parquet(cache: Cache) -> Cache:
    return cache.of_release("4.1.3")


@pytest.fixture
def server() -> Iterator[PolygonServer]:
    with old_market.server() as server:
        yield server


def add_split(cache: Cache, snapshot: str, day: str, checked: dt.datetime, after: float = 2.0) -> None:
    """Add a split to a snapshot, as of a check."""
    table = pd.read_parquet(cache.file(SNAPSHOT))
    further = table.assign(execution_date=day, split_to=after, id="further")
    pd.concat([table, further], ignore_index=True).to_parquet(cache.file(snapshot))
    written(cache.file(snapshot), checked)


# -- splits ---------------------------------------------------------------------------------------------------


def test_bars_from_before_a_split_are_left_alone(parquet: Cache) -> None:
    """Lumibot's first snapshot is not compared with anything: the split may have been after the download."""
    add_split(parquet, SNAPSHOT, "2023-06-01", NOW)
    found = parquet.migrate()[BARS]
    assert found.ending is Ending.LEFT_ALONE
    assert "not adjusted for the split of 2023-06-01" in found.reason
    assert not parquet.storage.list_series()


def test_a_split_that_is_only_announced_is_not_one_yet(parquet: Cache) -> None:
    add_split(parquet, SNAPSHOT, "2023-06-01", DOWNLOADED)
    assert parquet.migrate()[BARS].ending is Ending.MIGRATED
    known = parquet.storage.corporate_actions("OLD", "polygon")
    assert known is not None
    assert known.actions == (SPLIT_2020,)


def test_prices_that_jump_as_at_a_split_are_left_alone(parquet: Cache) -> None:
    def half(frame: pd.DataFrame) -> pd.DataFrame:
        later = frame["datetime"] >= pd.Timestamp("2023-03-09", tz="UTC")
        frame.loc[later, ["open", "high", "low", "close"]] /= 2
        return frame

    copy_as(parquet, BARS, half)
    assert parquet.migrate()[BARS].ending is Ending.MIGRATED  # no such split is known
    add_split(parquet, SNAPSHOT, "2023-03-09", DOWNLOADED)
    found = parquet.migrate()[BARS]
    assert found.ending is Ending.LEFT_ALONE
    assert "jump on 2023-03-09" in found.reason


def test_bars_of_other_splits_than_the_store_knows_are_a_conflict(parquet: Cache) -> None:
    parquet.storage.record_corporate_actions("OLD", [SPLIT_2020, CorporateAction(dt.date(2024, 1, 2), 1, 2)], "polygon")
    found = parquet.migrate()[BARS]
    assert found.ending is Ending.CONFLICT
    assert "has different splits of OLD" in found.reason
    assert not parquet.storage.list_series()


def test_without_a_snapshot_a_later_split_that_the_store_knows_is_a_conflict(parquet: Cache) -> None:
    parquet.file(SNAPSHOT).unlink()
    for day, ending in ((dt.date(2024, 1, 2), Ending.CONFLICT), (dt.date(2022, 1, 3), Ending.MIGRATED)):
        parquet.storage.record_corporate_actions("OLD", [CorporateAction(day, 1, 2)], "polygon")
        assert parquet.migrate()[BARS].ending is ending


def test_the_newest_snapshot_decides_between_files_of_one_stock(parquet: Cache) -> None:
    """The hours were downloaded after a split; the minutes, last used before it, are not adjusted for it."""
    copy_as(parquet, "stock_OLD_USD_hour.parquet", lambda frame: frame[frame["datetime"].dt.minute == 30])
    written(parquet.file("stock_OLD_USD_hour.parquet"), NOW)
    add_split(parquet, "stock_OLD_USD_hour_splits.parquet", "2023-06-01", NOW)
    found = parquet.migrate()
    assert found["stock_OLD_USD_hour.parquet"].ending is Ending.MIGRATED
    assert found[BARS].ending is Ending.CONFLICT


def test_a_later_snapshot_that_does_not_go_with_stored_bars_is_a_conflict(parquet: Cache) -> None:
    """The minutes, without a snapshot, are in the store already when the hours show a later split."""
    snapshot = parquet.file(SNAPSHOT).read_bytes()
    parquet.file(SNAPSHOT).unlink()
    parquet.migrate()
    parquet.file(SNAPSHOT).write_bytes(snapshot)
    copy_as(parquet, "stock_OLD_USD_hour.parquet", lambda frame: frame[frame["datetime"].dt.minute == 30])
    written(parquet.file("stock_OLD_USD_hour.parquet"), NOW)
    add_split(parquet, "stock_OLD_USD_hour_splits.parquet", "2023-06-01", NOW)
    parquet.file(SNAPSHOT).unlink()
    found = parquet.migrate()["stock_OLD_USD_hour.parquet"]
    assert found.ending is Ending.CONFLICT
    assert "OLD was split on 2023-06-01, after the bars in the store were downloaded (2023-03-14)" in found.reason


def in_two_files(cache: Cache, until: str) -> str:
    """Split the bars between an older file, until a day, and a newer one, from the 7th on. Neither has splits."""
    cache.file(SNAPSHOT).unlink()
    table, day = pd.read_parquet(cache.file(BARS)), pd.Timestamp(until, tz="UTC")
    name = BARS.replace(".parquet", ".feather")
    table[table["datetime"] < day].reset_index(drop=True).to_feather(cache.file(name))
    table[table["datetime"] >= pd.Timestamp("2023-03-07", tz="UTC")].to_parquet(cache.file(BARS))
    written(cache.file(BARS), NOW)
    written(cache.file(name), DOWNLOADED)
    return name


@pytest.mark.parametrize("splits", [[], [CorporateAction(dt.date(2023, 6, 1), 1, 2)]])
def test_files_of_different_times_go_together_only_if_nothing_was_split_in_between(
    parquet: Cache, splits: list[CorporateAction]
) -> None:
    name = in_two_files(parquet, "2023-03-07")
    found = parquet.migrate(delete_verified=True)
    assert (found[BARS].ending, found[name].ending) == (Ending.MIGRATED, Ending.CONFLICT)
    assert "downloaded at another time" in found[name].reason
    assert len(parquet.bars(STOCK)) == 60
    parquet.storage.record_corporate_actions("OLD", splits, "polygon")  # as a backtest does
    found = parquet.migrate(delete_verified=True)
    assert found[name].ending is (Ending.CONFLICT if splits else Ending.MIGRATED)
    assert len(parquet.bars(STOCK)) == (60 if splits else 80)


def test_bars_in_common_show_that_files_of_different_times_go_together(parquet: Cache) -> None:
    name = in_two_files(parquet, "2023-03-08")
    assert parquet.migrate()[name].ending is Ending.MIGRATED
    assert len(parquet.bars(STOCK)) == 80


def test_a_file_that_has_grown_since_goes_in_again(parquet: Cache) -> None:
    parquet.file(SNAPSHOT).unlink()
    whole = pd.read_parquet(parquet.file(BARS))
    copy_as(parquet, BARS, lambda frame: frame[frame["datetime"] < pd.Timestamp("2023-03-09", tz="UTC")])
    assert parquet.migrate()[BARS].rows == 20 * 2
    whole.to_parquet(parquet.file(BARS))
    written(parquet.file(BARS), NOW)
    assert (parquet.migrate()[BARS].ending, len(parquet.bars(STOCK))) == (Ending.MIGRATED, 80)


@pytest.mark.parametrize("known", [dt.datetime(2023, 3, 20, tzinfo=dt.timezone.utc), NOW])
def test_splits_known_until_a_day_prove_nothing_about_later_downloads(parquet: Cache, known: dt.datetime) -> None:
    name = in_two_files(parquet, "2023-03-07")
    parquet.storage.record_corporate_actions("OLD", [], "polygon", checked_at=known)
    found = parquet.migrate()
    assert found[name].ending is (Ending.MIGRATED if known == NOW else Ending.CONFLICT)


def minutes(side: Side, server: PolygonServer) -> pd.DataFrame:
    with side.entered(server):
        source = side.source(dt.datetime(2023, 3, 9), dt.datetime(2023, 3, 11))
        source._datetime = pd.Timestamp("2023-03-10 15:00", tz="America/New_York").to_pydatetime()
        return source.get_historical_prices(Asset("OLD"), 20, "minute").df


@pytest.mark.parametrize("split", [None, "before", "after"])
def test_a_split_since_the_download_restates_what_came_without_a_snapshot(
    split: str | None, tmp_path: Path, server: PolygonServer
) -> None:
    """Lumibot's first run on a stock leaves no snapshot. A backtest on its bars requests the splits first."""
    theirs, ours = both_sides(tmp_path)
    minutes(theirs, server)
    cache = Cache(tmp_path / "old")
    cache.folder.rmdir()
    (theirs.folder / "lumibot").rename(cache.folder)
    assert [file.name for file in cache.files()] == [BARS]
    written(cache.file(BARS), DOWNLOADED)
    cache.migrate()
    ours.folder.mkdir()
    cache.storage.close()
    cache.storage.path.rename(ours.store)
    if split is not None:
        server.splits.append(Split("OLD", "2021-01-04" if split == "before" else "2023-06-01", 1, 2))
    server.requests.clear()
    answer = minutes(ours, server)
    # An empty day, and sessions whose bars end early: the file is old, so they are requested a second time.
    expired = [
        f"{AGGREGATES}/ticker/OLD/range/1/minute/{day}/{day}" for day in ("2023-03-07", "2023-03-08", "2023-03-10")
    ]
    assert (sorted(request.path for request in server.asked(AGGREGATES)) != expired) == (split == "after")
    if split != "before":  # the server cannot have had it without adjusting for it
        pd.testing.assert_frame_equal(answer, minutes(theirs, server), check_exact=True)


# -- days that were not over ----------------------------------------------------------------------------------


def test_the_day_of_the_download_is_left_out(parquet: Cache) -> None:
    written(parquet.file(BARS), dt.datetime(2023, 3, 10, 22, tzinfo=dt.timezone.utc))
    found = parquet.migrate(delete_verified=True)[BARS]
    assert (found.ending, found.rows) == (Ending.MIGRATED, 60)
    assert found.left_out == ("the bars of 2023-03-10, downloaded before the end of the day",)
    assert parquet.days(STOCK) == [
        *(("03-06 00:00", "03-07 09:50"), ("03-07 16:00", "03-08 09:30")),
        *(("03-08 16:00", "03-09 09:50"), ("03-09 16:00", "03-10 00:00")),
    ]
    assert parquet.file(BARS).exists()


def test_the_daily_bar_of_the_day_of_the_download_is_left_out(parquet: Cache) -> None:
    def daily(frame: pd.DataFrame) -> pd.DataFrame:
        times = frame["datetime"].dt.tz_convert("America/New_York").dt.normalize()
        return frame.assign(datetime=times.dt.tz_convert("UTC")).drop_duplicates("datetime")

    name = "stock_OLD_USD_day.parquet"
    copy_as(parquet, name, daily)
    written(parquet.file(name), dt.datetime(2023, 3, 10, 17, tzinfo=dt.timezone.utc))
    found = parquet.migrate()[name]
    assert (found.rows, found.left_out) == (3, ("the bars of 2023-03-10, downloaded before the end of the day",))


def test_a_file_with_nothing_but_the_day_of_its_download_is_left_alone(parquet: Cache) -> None:
    copy_as(parquet, BARS, lambda frame: frame[frame["datetime"] >= pd.Timestamp("2023-03-10", tz="UTC")])
    written(parquet.file(BARS), dt.datetime(2023, 3, 10, 22, tzinfo=dt.timezone.utc))
    assert parquet.migrate()[BARS].reason == "none of its days was over when it was downloaded (2023-03-10 22:00 UTC)"


def test_a_bar_that_made_way_for_the_mark_of_an_empty_day_is_requested_again(cache: Cache) -> None:
    """A day that was marked as empty may be downloaded after all, between others. The mark is at 04:56 UTC."""
    times = pd.date_range("2023-03-06", "2023-03-07", freq="min", tz="UTC", inclusive="left")
    mark = pd.Timestamp("2023-03-06 04:56", tz="UTC")
    frame = pd.DataFrame(dict.fromkeys(("open", "high", "low", "close", "volume"), 2.5), index=times)
    marked = pd.DataFrame({"missing": [True]}, index=[mark])
    table = pd.concat([frame[frame.index != mark], marked]).sort_index().rename_axis("datetime").reset_index()
    cache.file("x").parent.mkdir()
    table.to_parquet(cache.file("crypto_BTC_USD_minute.parquet"))
    written(cache.file("crypto_BTC_USD_minute.parquet"), DOWNLOADED)
    assert cache.migrate()["crypto_BTC_USD_minute.parquet"].new == 1439
    (info,) = cache.storage.list_series()
    day, at = int(times[0].timestamp()), int(mark.timestamp())
    assert info.coverage == (TimeRange(day, at), TimeRange(at + 60, day + 86_400))


# -- option chains --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bound", [None, "30"])
def test_chains_with_and_without_a_bound(
    bound: str | None, tmp_path: Path, server: PolygonServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    if bound is not None:
        monkeypatch.setenv("LUMIBOT_OPTION_CHAIN_MAX_DAYS", bound)
    theirs, ours = both_sides(tmp_path)

    def chain(side: Side) -> object:
        with side.entered(server):
            source = side.source(dt.datetime(2023, 3, 6), dt.datetime(2023, 3, 10))
            source._datetime = dt.datetime(2023, 3, 7, 10)
            return source.get_chains(Asset("OLD"))

    expected = chain(theirs)
    cache = Cache(tmp_path / "old")
    cache.folder.rmdir()
    (theirs.folder / "lumibot").rename(cache.folder)
    (outcome,) = cache.migrate().values()
    assert (outcome.kind, outcome.rows, outcome.new) == ("Polygon option chains", 6, 6)
    ours.folder.mkdir()
    cache.storage.close()
    cache.storage.path.rename(ours.store)
    server.requests.clear()
    assert repr(chain(ours)) == repr(expected)
    assert server.requests == []


def test_a_chain_is_not_replaced(cache: Cache) -> None:
    cache.of_release("3.8.27")
    cache.storage.store_option_chain("OLD", {"Chains": {"CALL": {}, "PUT": {}}}, "polygon", old_market.FIRST)
    assert cache.migrate()["OLD_2023-03-06.feather"].ending is Ending.CONFLICT


def test_an_option_without_bars_is_recognised_by_a_chain_or_left_alone(tmp_path: Path, server: PolygonServer) -> None:
    """Lumibot leaves the same file for an option that was not traded and for one that there is not."""
    theirs, _ = both_sides(tmp_path)
    untraded, unheard_of = (
        Asset("OLD", "option", expiration=old_market.EXPIRATION, strike=strike, right="PUT") for strike in (95.0, 94.0)
    )
    span = (dt.datetime(2023, 3, 6), dt.datetime(2023, 3, 10))
    with theirs.entered(server):
        for option in (untraded, unheard_of):
            polygon_helper.get_price_data_from_polygon(KEY, option, *span, "minute", Asset("USD", "forex"))
        polygon_helper.get_chains_cached(KEY, Asset("OLD"), current_date=span[0].date())
    cache = Cache(tmp_path / "old")
    cache.folder.rmdir()
    (theirs.folder / "lumibot").rename(cache.folder)
    found = cache.migrate()
    assert found["option_OLD_230317_95.0_PUT_minute.parquet"].ending is Ending.MIGRATED
    assert found["option_OLD_230317_94.0_PUT_minute.parquet"].ending is Ending.LEFT_ALONE
    ((covered,),) = [info.coverage for info in cache.storage.list_series()]
    assert covered.end - covered.start == 5 * 86_400
