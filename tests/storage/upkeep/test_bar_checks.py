"""Each check of bars finds a planted fault, and not what resembles one."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pandas_market_calendars
import pytest
from lumibot.entities import Asset

from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.demo.market import crypto_bars, us_stock_bars
from lumibot_duckdb.storage.api import CorporateAction, TimeRange
from lumibot_duckdb.storage.upkeep.findings import Finding

FIRST, LAST = dt.date(2023, 3, 1), dt.date(2023, 3, 18)
MINUTES = us_stock_bars("SIM001", FIRST, LAST)
PRICES = ["open", "high", "low", "close"]
BTC = (Asset("BTC", "crypto"), Asset("USD", "forex"))


def daily_bars(days: int = 120) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    dates = pandas_market_calendars.get_calendar("NYSE").valid_days("2022-01-03", "2023-12-31")[:days]
    index = pd.DatetimeIndex(dates.tz_localize(None).tz_localize("America/New_York"), name="datetime")
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, days)))
    opened = close * np.exp(rng.normal(0, 0.003, days))
    high, low = np.maximum(opened, close) * 1.004, np.minimum(opened, close) / 1.004
    return pd.DataFrame(
        {"open": opened, "high": high, "low": low, "close": close, "volume": rng.integers(1e5, 1e6, days) * 1.0}, index
    )


DAYS = daily_bars()


def found(storage: DuckDBDataStorage, frame: pd.DataFrame, timeframe: str = "minute", **more: Any) -> list[Finding]:
    asset = more.pop("asset", "X")
    storage.store_ohlcv_data(asset, frame, "test", timeframe, **more)
    report = storage.verify(storage.list_series())
    assert report.sound
    return report.findings


def at(frame: pd.DataFrame, time: str) -> int:
    return int(frame.index.searchsorted(pd.Timestamp(time, tz="America/New_York")))


def changed(frame: pd.DataFrame, place: int, **values: float) -> pd.DataFrame:
    frame = frame.copy()
    for name, value in values.items():
        frame.iloc[place, frame.columns.get_loc(name)] = value
    return frame


def scaled(frame: pd.DataFrame, start: int, stop: int | None, factor: float) -> pd.DataFrame:
    frame = frame.copy()
    frame.iloc[start:stop, :4] *= factor
    return frame


@pytest.mark.parametrize("frame", [MINUTES, DAYS], ids=["minutes", "days"])
def test_plausible_bars_have_no_findings(storage: DuckDBDataStorage, frame: pd.DataFrame) -> None:
    assert found(storage, frame, "minute" if frame is MINUTES else "day") == []


PLACE = at(MINUTES, "2023-03-08 11:00")
ROW = MINUTES.iloc[PLACE]


@pytest.mark.parametrize(
    ("values", "what"),
    [
        ({"high": ROW["low"] - 0.01}, "the high is below another price"),
        ({"low": ROW["high"] + 0.01, "high": ROW["high"] + 1}, "the low is above another price"),
        ({"high": ROW["close"] - 0.01}, "the high is below another price"),
        ({"close": np.nan}, "a price is missing or infinite"),
        ({"high": np.inf}, "a price is missing or infinite"),
        ({"low": 0.0}, "a price is zero or negative"),
        ({"volume": -1.0}, "the volume is negative"),
        ({"high": max(ROW["open"], ROW["close"]) * (1 - 1e-12)}, ""),
        ({"volume": 0.0}, ""),
    ],
)
def test_impossible_bars(storage: DuckDBDataStorage, values: dict[str, float], what: str) -> None:
    findings = [f for f in found(storage, changed(MINUTES, PLACE, **values)) if f.check == "impossible_bars"]
    if not what:
        assert findings == []
        return
    (finding,) = findings
    assert (finding.severity, finding.what, finding.count) == ("warning", what, 1)
    assert finding.bars[0].start == int(MINUTES.index[PLACE].timestamp())


def test_every_impossible_bar_counts_and_the_first_are_listed(storage: DuckDBDataStorage) -> None:
    frame = MINUTES.copy()
    frame.iloc[100:150, 4] = -5
    (finding,) = found(storage, frame)
    assert (finding.count, len(finding.bars)) == (50, 10)


def test_prices_of_futures_may_be_negative(storage: DuckDBDataStorage) -> None:
    frame = MINUTES.copy()
    frame[PRICES] -= frame["low"].max() + 1
    assert found(storage, frame, asset=Asset("CL", "future", expiration=dt.date(2023, 6, 1))) == []


@pytest.mark.parametrize(
    ("factor", "bars", "is_found"), [(1.2, 1, True), (0.8, 2, True), (1.2, None, False), (1.01, 1, False)]
)
def test_bad_ticks(storage: DuckDBDataStorage, factor: float, bars: int | None, is_found: bool) -> None:
    """A move that stays is none, nor is a small one."""
    frame = scaled(MINUTES, PLACE, None if bars is None else PLACE + bars, factor)
    findings = [f for f in found(storage, frame) if f.check == "bad_ticks"]
    assert [f.what for f in findings] == ["the close jumps away and back"] * is_found
    if is_found:
        assert findings[0].bars[0].start == int(MINUTES.index[PLACE].timestamp())


@pytest.mark.parametrize(("factor", "is_found"), [(1.2, True), (1.02, False)])
def test_far_highs(storage: DuckDBDataStorage, factor: float, is_found: bool) -> None:
    findings = found(storage, changed(MINUTES, PLACE, high=ROW["high"] * factor))
    assert [f.what for f in findings] == ["the high is far from everything around it"] * is_found


@pytest.mark.parametrize("factor", [1 / 2, 1 / 4, 10])
@pytest.mark.parametrize("timeframe", ["minute", "day"])
def test_jumps_as_of_a_split(storage: DuckDBDataStorage, factor: float, timeframe: str) -> None:
    frame, day = (MINUTES, "2023-03-08") if timeframe == "minute" else (DAYS, "2022-03-08")
    place = at(frame, day)
    frame = scaled(frame, place, None, factor)
    (finding,) = found(storage, frame, timeframe)
    assert (finding.check, finding.what) == ("splits", "a jump as of a split that is not recorded")
    assert finding.bars[0].start == int(frame.index[place].timestamp())
    split = CorporateAction(dt.date.fromisoformat(day), 1, 1 / factor)
    storage.record_corporate_actions("X", [split], "test")
    assert storage.verify(storage.list_series()).findings == []
    storage.store_ohlcv_data("Y", frame, "test", timeframe, adjustment="split")
    storage.record_corporate_actions("Y", [split], "test")
    (finding,) = storage.verify(storage.list_series("Y")).findings
    assert finding.what == "a recorded split that is not applied"


@pytest.mark.parametrize("factor", [0.7, 0.45])
def test_a_crash_is_no_split(storage: DuckDBDataStorage, factor: float) -> None:
    """A fall by other than a split's factor, and one in a wild market."""
    assert found(storage, scaled(DAYS, 60, None, factor), "day") == []


def test_a_split_that_is_not_in_unadjusted_prices(storage: DuckDBDataStorage) -> None:
    storage.record_corporate_actions("X", [CorporateAction(DAYS.index[60].date(), 1, 2)], "test")
    (finding,) = found(storage, DAYS, "day")
    assert finding.what == "a recorded split at which unadjusted prices do not change"


def test_writes_that_differ_by_a_factor(storage: DuckDBDataStorage) -> None:
    storage.store_ohlcv_data("X", MINUTES.iloc[:PLACE], "test", "minute")
    (finding,) = found(storage, scaled(MINUTES.iloc[PLACE:], 0, None, 1.3))
    assert (finding.check, finding.what) == ("splits", "the bars of two writes differ by a factor")
    assert finding.bars[0].start == int(MINUTES.index[PLACE].timestamp())


def test_writes_that_adjoin(storage: DuckDBDataStorage) -> None:
    storage.store_ohlcv_data("X", MINUTES.iloc[:PLACE], "test", "minute")
    assert found(storage, MINUTES.iloc[PLACE:]) == []


def test_series_that_disagree_about_a_split(storage: DuckDBDataStorage) -> None:
    storage.store_ohlcv_data("X", DAYS, "other", "day")
    assert found(storage, DAYS * 3, "day") == []  # in another currency, say
    storage.store_ohlcv_data("X", scaled(DAYS, 0, 60, 2.0), "third", "day", adjustment="split")
    findings = storage.verify(storage.list_series()).findings
    assert {f.check for f in findings} == {"splits"}
    assert any("begin to differ by another factor" in f.what for f in findings)


def repeated(frame: pd.DataFrame, start: int, bars: int) -> pd.DataFrame:
    frame = frame.copy()
    frame.iloc[start : start + bars] = frame.iloc[start].to_numpy()
    return frame


@pytest.mark.parametrize(("bars", "is_found"), [(5, True), (4, False)])
def test_stale_prices(storage: DuckDBDataStorage, bars: int, is_found: bool) -> None:
    findings = found(storage, repeated(MINUTES, PLACE, bars))
    assert [(f.check, f.what, f.bars[0].note) for f in findings] == [
        ("stale_prices", "equal bars that moved", "5 equal bars")
    ] * is_found


@pytest.mark.parametrize(("bars", "is_found"), [(390, True), (200, False)])
def test_filled_bars_are_stale_after_a_session(storage: DuckDBDataStorage, bars: int, is_found: bool) -> None:
    flat = changed(MINUTES, PLACE, open=50.0, high=50.0, low=50.0, close=50.0, volume=0.0)
    findings = [f for f in found(storage, repeated(flat, PLACE, bars)) if f.check == "stale_prices"]
    assert [(f.severity, f.what) for f in findings] == [("info", "equal bars without volume")] * is_found


def without(start: str, end: str) -> Callable[[pd.DataFrame], pd.DataFrame]:
    first, last = (pd.Timestamp(text, tz="America/New_York") for text in (start, end))
    return lambda frame: frame[(frame.index < first) | (frame.index >= last)]


@pytest.mark.parametrize(
    ("cut", "what", "note"),
    [
        (without("2023-03-08", "2023-03-10"), "sessions without a bar", "2 sessions"),
        (without("2023-03-08 11:00", "2023-03-08 13:00"), "gaps within sessions", "120 minutes"),
        (without("2023-03-08 08:00", "2023-03-08 11:00"), "gaps within sessions", "90 minutes"),
        (without("2023-03-08 11:00", "2023-03-08 11:30"), "", ""),
        (without("2023-03-08 17:00", "2023-03-08 20:00"), "", ""),
    ],
)
def test_gaps(storage: DuckDBDataStorage, cut: Callable[[pd.DataFrame], pd.DataFrame], what: str, note: str) -> None:
    """Halts are none, nor are missing bars while the market is closed."""
    findings = found(storage, cut(MINUTES))
    assert [(f.check, f.what, f.bars[0].note) for f in findings] == [("gaps", what, note)] * bool(what)


def test_what_is_not_covered_is_no_gap(storage: DuckDBDataStorage) -> None:
    day = pd.Timestamp("2023-03-08", tz="America/New_York")
    found(storage, MINUTES)
    frame = without("2023-03-08", "2023-03-09")(MINUTES)
    storage.store_ohlcv_data("Y", frame, "test", "minute")
    key = storage.list_series("Y")[0].key
    assert storage.verify(storage.list_series("Y")).findings != []
    storage.forget_coverage(key, TimeRange(int(day.timestamp()), int(day.timestamp()) + 86_400))
    assert storage.verify(storage.list_series("Y")).findings == []


@pytest.mark.parametrize(("spacing", "is_found"), [(1, True), (20, False)])
def test_a_gap_is_long_for_its_symbol(storage: DuckDBDataStorage, spacing: int, is_found: bool) -> None:
    """Seventy minutes without a bar are one in bars of every minute, but not of every twentieth."""
    frame = without("2023-03-08 11:00", "2023-03-08 12:10")(MINUTES)
    frame = frame[(frame.index.minute % spacing == 0)]
    assert [f.what for f in found(storage, frame)] == ["gaps within sessions"] * is_found


def test_missing_days(storage: DuckDBDataStorage) -> None:
    (finding,) = found(storage, DAYS.drop(DAYS.index[[20, 50, 51]]), "day")
    assert (finding.what, finding.count) == ("sessions without a bar", 2)
    assert [bar.note for bar in finding.bars] == ["1 session", "2 sessions"]


def test_a_rarely_traded_symbol_gets_one_sentence(storage: DuckDBDataStorage) -> None:
    (finding,) = found(storage, DAYS.iloc[::2], "day")
    assert (finding.severity, finding.bars) == ("info", ())
    assert finding.what.startswith("it has bars in only 50 % of 1")


def test_gaps_of_crypto(storage: DuckDBDataStorage) -> None:
    frame = crypto_bars("BTC", FIRST, dt.date(2023, 3, 4))
    assert found(storage, frame, asset=BTC) == []
    frame = frame[(frame.index < frame.index[2000]) | (frame.index > frame.index[2100])]
    storage.delete_series(BTC)
    (finding,) = found(storage, frame, asset=BTC)
    assert (finding.what, finding.bars[0].note) == ("gaps within sessions", "101 minutes")


def test_bars_outside_of_the_coverage(storage: DuckDBDataStorage) -> None:
    found(storage, MINUTES)
    storage.forget_coverage(storage.list_series()[0].key)
    (finding,) = storage.verify(storage.list_series()).findings
    assert (finding.check, finding.severity, finding.count) == ("coverage", "info", len(MINUTES))


def test_only_the_given_series_are_checked(storage: DuckDBDataStorage) -> None:
    storage.store_ohlcv_data("Y", changed(MINUTES, PLACE, volume=-1.0), "test", "minute")
    found(storage, MINUTES)
    assert storage.verify(storage.list_series("X")).findings == []
    assert len(storage.verify(storage.list_series("Y")).findings) == 1


@pytest.mark.older_duckdb
def test_bars_are_found_alike_in_small_stretches(storage: DuckDBDataStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    from lumibot_duckdb.storage.upkeep import verification

    frame = changed(repeated(scaled(MINUTES, PLACE, PLACE + 1, 1.2), PLACE + 300, 7), PLACE + 600, volume=-1.0)
    frame = without("2023-03-13", "2023-03-14")(scaled(frame, at(frame, "2023-03-15"), None, 0.5))
    whole = found(storage, frame)
    assert len(whole) >= 4
    for rows in (4_000, 5_555):
        monkeypatch.setattr(verification, "ROWS_AT_A_TIME", rows)
        assert storage.verify(storage.list_series()).findings == whole
