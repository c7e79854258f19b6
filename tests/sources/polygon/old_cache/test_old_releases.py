"""Files of old Lumibot releases: their bars are read as Polygon sent them, and none are invented."""

from __future__ import annotations

import datetime as dt

import pandas as pd
import pytest

from lumibot_duckdb.migration.run import Ending
from lumibot_duckdb.storage.api import AssetKey, CorporateAction, SeriesKey
from migration import old_market
from migration.caches import DATA, DOWNLOADED, Cache, written

STOCK = SeriesKey(AssetKey("OLD"), "polygon", "minute", "split")
OPTION = SeriesKey(
    AssetKey("OLD", "option", expiration=dt.date(2023, 3, 17), strike=100.0, right="CALL"), "polygon", "minute", "split"
)
COIN = SeriesKey(AssetKey("BTC", "crypto", "USD"), "polygon", "hour")
RELEASES = sorted(folder.name for folder in DATA.iterdir() if folder.is_dir())


def as_sent(sent: pd.DataFrame) -> pd.DataFrame:
    """The columns that can be compared without knowing how the server made the others."""
    sent = sent.tz_convert("America/New_York")[["open", "high", "low", "close", "volume"]]
    sent.index.name = "datetime"
    return sent


def assert_bars(cache: Cache, key: SeriesKey, sent: pd.DataFrame, *, whole: bool = True) -> None:
    stored = cache.bars(key)
    expected = as_sent(sent)
    if whole:
        expected["volume"] = expected["volume"].astype("int64")
        assert stored["transactions"].dtype == "int64"
    assert list(stored.columns) == [*expected.columns, "vwap", "transactions", "otc"]
    pd.testing.assert_frame_equal(stored[list(expected.columns)], expected, check_exact=True, check_freq=False)


@pytest.mark.parametrize("release", RELEASES)
def test_bars_are_those_that_were_sent(cache: Cache, release: str) -> None:
    outcomes = cache.of_release(release).migrate()
    stock = next(outcome for name, outcome in outcomes.items() if name.startswith("stock"))
    assert (stock.ending, stock.rows, stock.new) == (Ending.MIGRATED, 80, 80)
    assert_bars(cache, STOCK, old_market.stock())
    assert cache.storage.verify().findings == []


@pytest.mark.parametrize("release", RELEASES)
def test_an_empty_day_is_an_answer_as_old_as_its_file(cache: Cache, release: str) -> None:
    """A range marked long ago is requested again; one marked yesterday is not. 3.0.6 marked nothing."""
    cache.of_release(release).migrate()
    days = [("03-06 00:00", "03-08 00:00"), ("03-09 00:00", "03-11 00:00")]
    if release == "3.0.6":
        between = [("03-07 16:00", "03-08 00:00"), ("03-09 00:00", "03-10 09:50")]
    else:  # markets were closed before and after the session of the empty day
        between = [("03-07 16:00", "03-08 09:30"), ("03-08 16:00", "03-10 09:50")]
    # Of each session, the file has twenty minutes.
    assert cache.days(STOCK) == [("03-06 00:00", "03-07 09:50"), *between, ("03-10 16:00", "03-11 00:00")]
    other = Cache(cache.home / "other").of_release(release)
    for file in other.files():
        written(file, dt.datetime.now(dt.timezone.utc) - dt.timedelta(days=1))
    other.migrate()
    assert other.days(STOCK) == (days if release == "3.0.6" else [("03-06 00:00", "03-11 00:00")])
    assert len(other.bars(STOCK)) == 80


def test_days_on_which_an_option_was_not_traded_among_others_are_answered_permanently(cache: Cache) -> None:
    cache.of_release("3.8.27").migrate()
    assert_bars(cache, OPTION, old_market.option())
    assert cache.days(OPTION) == [
        *(("03-06 00:00", "03-06 09:30"), ("03-06 16:00", "03-07 09:30")),
        ("03-07 09:31", "03-10 09:49"),  # from the first trade to the last, with a day without any
        ("03-10 16:00", "03-11 00:00"),
    ]


def test_crypto_without_its_quote_is_left_alone_and_with_it_migrated(cache: Cache) -> None:
    older = Cache(cache.home / "older").of_release("3.0.6").migrate()["crypto_BTC_hour.feather"]
    assert older.ending is Ending.LEFT_ALONE
    assert "without the currency of its prices" in older.reason
    assert cache.of_release("3.18.2").migrate()["crypto_BTC_USD_hour.feather"].ending is Ending.MIGRATED
    assert_bars(cache, COIN, old_market.coin(), whole=False)


def test_splits_are_those_of_the_snapshot_as_of_its_check(cache: Cache) -> None:
    cache.of_release("3.8.27").migrate()
    known = cache.storage.corporate_actions("OLD", "polygon")
    assert known is not None
    assert known.actions == (CorporateAction(dt.date(2020, 6, 1), 1, 4),)
    assert known.checked_at == DOWNLOADED


def test_a_chain_has_the_strikes_that_were_sent(cache: Cache) -> None:
    cache.of_release("3.8.27").migrate()
    found = cache.storage.option_chain("OLD", "polygon", old_market.FIRST, old_market.FIRST)
    assert found is not None
    strikes = {"2023-03-17": [95, 97.5, 100]}
    assert repr(found.chain) == repr(
        {"Multiplier": 100, "Exchange": "BATO", "Chains": {"CALL": strikes, "PUT": strikes}}
    )
