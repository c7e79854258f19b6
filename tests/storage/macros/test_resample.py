"""`resample` makes the bars that Lumibot and pandas make, and those of sessions, weeks and months."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest

from lumibot_duckdb import DuckDBDataStorage
from storage.macros.bars import COLUMNS, NEW_YORK, utc, walk

pytestmark = pytest.mark.older_duckdb

SPRING = walk(5 * 1440, "2024-03-08 00:00", seed=5)  # 10 March has 23 hours
AUTUMN = walk(5 * 1440, "2024-11-01 00:00", seed=6)  # 3 November has 25
DAYS = walk(400, "2023-01-02", "D", 7, 1.0)
HOW = {"open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum"}
PARTS = {"minute": "min", "5minute": "5min", "hour": "h", "day": "D"}

COIN = DAYS.tz_localize(None).tz_localize("UTC")
LONDON = DAYS.tz_localize(None).tz_localize("Europe/London")


def with_gaps(bars: pd.DataFrame) -> pd.DataFrame:
    return bars[np.random.default_rng(8).random(len(bars)) > 0.3]


def in_sessions(bars: pd.DataFrame) -> pd.DataFrame:
    """Return the bars of American sessions; the second one is a half day."""
    assert isinstance(bars.index, pd.DatetimeIndex)
    open_ = bars[bars.index.dayofweek < 5].between_time("09:30", "16:00", inclusive="left")
    second = open_.index.normalize() == open_.index.normalize().unique()[1]
    return open_[~second | (open_.index.time < dt.time(13))]


SERIES = {
    ("WHOLE AUTUMN", "minute"): AUTUMN,
    ("SESSIONS", "minute"): in_sessions(walk(12 * 1440, "2024-03-04 00:00", seed=9)),
    ("SPRING", "minute"): with_gaps(SPRING),
    ("AUTUMN", "minute"): with_gaps(AUTUMN),
    ("WHOLE", "minute"): SPRING,
    ("DAYS", "day"): DAYS,
    ("BOTH", "minute"): SPRING[:600],
    ("BOTH", "5minute"): SPRING[:600:5] + 1,
    ("BOTH", "day"): DAYS[:10] + 2,
    ("HALF", "30minute"): SPRING[::30],
    **{("EVERY", name): SPRING.resample(length).agg(HOW) for name, length in PARTS.items()},
    ("LONG HOURS", "36hour"): DAYS[:10],
    ("COIN", "day"): COIN,
    ("LONDON", "day"): LONDON,
}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    with DuckDBDataStorage(tmp_path_factory.mktemp("resample")) as storage:
        for (symbol, timeframe), bars in SERIES.items():
            storage.store_ohlcv_data(symbol, bars, "test", timeframe)
    with duckdb.connect(str(storage.path), read_only=True) as connection:
        yield connection


def resampled(client: duckdb.DuckDBPyConnection, symbol: str, timeframe: str, more: str = "") -> pd.DataFrame:
    query = f"FROM resample('{symbol}', '{timeframe}'{more}) ORDER BY \"timestamp\""
    found = client.execute(query).df()
    assert list(found.columns) == ["asset_symbol", "timestamp", *COLUMNS]
    return found.drop(columns="asset_symbol").set_index("timestamp")


def assert_bars(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    expected = expected.dropna(subset=["close"])
    assert found.index.tolist() == utc(expected).tolist()
    np.testing.assert_allclose(found.to_numpy(), expected[list(COLUMNS)].to_numpy(), rtol=1e-12)


@pytest.mark.parametrize("timeframe", ["5 minutes", "15min", "30m", "hour", "7 minutes", "2h", "day", "90 minutes"])
@pytest.mark.parametrize("symbol", ["SPRING", "AUTUMN"])
def test_pandas_day_by_day(client: duckdb.DuckDBPyConnection, symbol: str, timeframe: str) -> None:
    """Days begin at midnight in New York, also where the clock changes, and 7 minutes begin anew each day."""
    bars = SERIES[symbol, "minute"]
    frequency = {"day": "D", "hour": "h", "30m": "30min"}.get(timeframe, timeframe.replace("minutes", "min"))
    each = [day.resample(frequency).agg(HOW) for _, day in bars.groupby(bars.index.normalize())]
    assert_bars(resampled(client, symbol, timeframe), pd.concat(each))


def by_lumibot(
    bars: pd.DataFrame, now: str, length: int, timeframe: str, every_minute: pd.Index | None = None
) -> pd.DataFrame:
    """Return the bars that Lumibot makes of a window; without the first and the last, which may be cut.

    In a backtest, it first fills the bars of every minute of its calendar.
    """
    from lumibot.entities import Asset, Data

    data = Data(Asset("X"), bars.copy(), timestep="minute")
    if every_minute is not None:
        data.repair_times_and_fill(every_minute)
    made = data.get_bars(pd.Timestamp(now, tz=NEW_YORK).to_pydatetime(), length=length, timestep=timeframe)
    return made[list(COLUMNS)].iloc[1:-1]


IN_LUMIBOT = {"SPRING": "2024-03-12 10:00", "AUTUMN": "2024-11-05 10:00", "SESSIONS": "2024-03-15 15:00"}
"""When the windows end: they begin before the clocks change."""
LENGTHS = {"2min": 900, "3min": 700, "5min": 500, "15min": 200, "30min": 100, "hour": 60, "day": 4}


@pytest.mark.parametrize("symbol", IN_LUMIBOT)
@pytest.mark.parametrize("timeframe", LENGTHS)
def test_lumibot(client: duckdb.DuckDBPyConnection, symbol: str, timeframe: str) -> None:
    bars = SERIES["WHOLE" if symbol == "SPRING" else symbol, "minute"]
    bars = AUTUMN if symbol == "AUTUMN" else bars
    expected = by_lumibot(bars, IN_LUMIBOT[symbol], LENGTHS[timeframe], timeframe)
    assert len(expected) >= (2 if timeframe == "day" else 30)
    found = resampled(client, {"SPRING": "WHOLE", "AUTUMN": "WHOLE AUTUMN"}.get(symbol, symbol), timeframe)
    within = found.loc[(found.index >= utc(expected)[0]) & (found.index <= utc(expected)[-1])]
    assert_bars(within, expected)


@pytest.mark.parametrize("timeframe", ["2hour", "4hour", "7min"])
def test_lumibot_moves_bars_after_the_first_day_of_a_window(client: duckdb.DuckDBPyConnection, timeframe: str) -> None:
    """Of several hours if the clocks have changed since, and of minutes that do not divide a day."""
    expected = by_lumibot(SPRING, IN_LUMIBOT["SPRING"], 400 if timeframe == "7min" else 24, timeframe)
    found = resampled(client, "WHOLE", timeframe)
    change = pd.Timestamp("2024-03-10 21:00", tz=NEW_YORK)
    before, after = expected[expected.index < change], expected[expected.index > change + pd.Timedelta("6h")]
    if timeframe != "7min":
        assert_bars(found.loc[utc(before)], before)
        same_side = by_lumibot(SPRING, "2024-03-12 22:00", 24 // int(timeframe[0]), timeframe)
        assert_bars(found.loc[utc(same_side)], same_side)
    assert len(after) > 3
    assert not utc(after).isin(found.index).any()


def test_lumibot_fills_minutes_without_trades(client: duckdb.DuckDBPyConnection) -> None:
    """With the last bar, which becomes the beginning of a larger bar if its first minute is missing."""
    bars = SERIES["SPRING", "minute"]
    expected = by_lumibot(bars, "2024-03-12 10:00", 200, "5min", SPRING.index)
    found = resampled(client, "SPRING", "5min").loc[utc(expected)]
    np.testing.assert_array_equal(found["close"], expected["close"])
    assert (expected["volume"].to_numpy() >= found["volume"].to_numpy()).all()
    assert (expected["volume"].to_numpy() > found["volume"].to_numpy()).any()  # volumes are repeated as well
    first_is_there = expected.index.isin(bars.index)
    opens = found["open"].to_numpy(), expected["open"].to_numpy()
    np.testing.assert_array_equal(opens[0][first_is_there], opens[1][first_is_there])
    before = bars["open"].to_numpy()[bars.index.searchsorted(expected.index) - 1]
    np.testing.assert_array_equal(opens[1][~first_is_there], before[~first_is_there])
    assert (opens[0] != opens[1])[~first_is_there].any()


def test_weeks_months_quarters_and_years(client: duckdb.DuckDBPyConnection) -> None:
    index = DAYS.index.tz_localize(None)
    for timeframe, start in {
        "week": index - pd.to_timedelta(index.weekday, "D"),
        "2 weeks": index - pd.to_timedelta((index - pd.Timestamp("2000-01-03")).days % 14, "D"),
        "month": index.to_period("M").to_timestamp(),
        "quarter": index.to_period("Q").to_timestamp(),
        "1M": index.to_period("M").to_timestamp(),
        "year": index.to_period("Y").to_timestamp(),
    }.items():
        expected = DAYS.groupby(pd.DatetimeIndex(start).tz_localize(NEW_YORK)).agg(HOW)
        assert_bars(resampled(client, "DAYS", timeframe), expected)


def by_date(bars: pd.DataFrame, timeframe: str) -> pd.DataFrame:
    """Return larger bars of daily ones by the dates of these, stamped with midnight in their own zone."""
    assert isinstance(bars.index, pd.DatetimeIndex)
    dates = bars.index.tz_localize(None)
    start = {
        "week": dates - pd.to_timedelta(dates.weekday, "D"),
        "3 days": dates - pd.to_timedelta((dates - pd.Timestamp("2000-01-03")).days % 3, "D"),
        "month": dates.to_period("M").to_timestamp(),
        "quarter": dates.to_period("Q").to_timestamp(),
    }[timeframe]
    return bars.groupby(pd.DatetimeIndex(start).tz_localize(bars.index.tz)).agg(HOW)


@pytest.mark.parametrize("timeframe", ["week", "3 days", "month", "quarter"])
@pytest.mark.parametrize(
    "zone", [NEW_YORK, "Europe/London", *(pytest.param(z, marks=pytest.mark.long) for z in ("UTC", "Asia/Tokyo"))]
)
def test_daily_bars_that_begin_at_midnight_utc_are_days_of_utc(
    client: duckdb.DuckDBPyConnection, timeframe: str, zone: str
) -> None:
    """As those of crypto exchanges are: they fall on the evening before in New York."""
    assert_bars(resampled(client, "COIN", timeframe, f", zone := '{zone}'"), by_date(COIN, timeframe))


@pytest.mark.parametrize("timeframe", ["week", "3 days", "month", "quarter"])
def test_daily_bars_of_a_zone_where_midnight_is_that_of_utc_in_winter(
    client: duckdb.DuckDBPyConnection, timeframe: str
) -> None:
    """None of their larger bars is cut in two where the clocks change."""
    found = resampled(client, "LONDON", timeframe, ", zone := 'Europe/London'")
    assert_bars(found, by_date(LONDON, timeframe))


def test_sessions(client: duckdb.DuckDBPyConnection) -> None:
    bars = SERIES["SPRING", "minute"].between_time("09:30", "16:00", inclusive="left")
    days = [day.resample("h", origin="start").agg(HOW) for _, day in anchored(bars)]
    found = resampled(client, "SPRING", "hour", ", session := '09:30-16:00'")
    assert_bars(found, pd.concat(days).loc[lambda frame: frame.index.time != dt.time(0)])
    assert {time.minute for time in found.index} == {30}
    daily = bars.groupby(bars.index.normalize()).agg(HOW)
    assert_bars(resampled(client, "SPRING", "day", ", session := '09:30-16:00'"), daily)
    minutes = resampled(client, "SPRING", "minute", ", session := '09:30-16:00'")
    assert_bars(minutes, bars)


def anchored(bars: pd.DataFrame) -> Iterator[tuple[pd.Timestamp, pd.DataFrame]]:
    """Yield each day's bars from an empty one at 9:30 on."""
    for day, rows in bars.groupby(bars.index.normalize()):
        opening = day + pd.Timedelta(hours=9, minutes=30)
        if opening not in rows.index:
            rows = pd.concat([pd.DataFrame(np.nan, [opening], rows.columns), rows])
        yield day, rows


@pytest.mark.parametrize("timeframe", ["5min", "10 minutes", "hour", "day", "week", "month"])
def test_a_session_is_made_of_bars_that_tell_it(client: duckdb.DuckDBPyConnection, timeframe: str) -> None:
    """Not of the days that are stored as well, nor of the hours that it cuts."""
    session = ", session := '09:30-16:00'"
    found = resampled(client, "EVERY", timeframe, session)
    assert len(found)
    pd.testing.assert_frame_equal(found, resampled(client, "WHOLE", timeframe, session))
    if timeframe == "hour":  # 5 minutes are cut by this one
        session = ", session := '09:32-16:00'"
        pd.testing.assert_frame_equal(
            resampled(client, "EVERY", "hour", session), resampled(client, "WHOLE", "hour", session)
        )


def test_a_session_of_which_there_are_only_days(client: duckdb.DuckDBPyConnection) -> None:
    for timeframe in ("day", "week"):
        with pytest.raises(
            duckdb.InvalidInputException,
            match=f"no bars of DAYS of which bars of '{timeframe}' can be made for a session",
        ):
            resampled(client, "DAYS", timeframe, ", session := '09:30-16:00'")


@pytest.mark.parametrize(
    "session", ["18:00-17:00", "16:00-09:30", "09:30-09:30", "09:30", "", "9-16", "x-y", "09:30-25:00"]
)
def test_a_session_that_is_none(client: duckdb.DuckDBPyConnection, session: str) -> None:
    for timeframe in ("minute", "hour", "day"):
        with pytest.raises(
            duckdb.InvalidInputException, match=f"'{session}' is not a session: write when it opens and closes"
        ):
            resampled(client, "EVERY", timeframe, f", session := '{session}'")


def test_a_session_of_the_whole_day(client: duckdb.DuckDBPyConnection) -> None:
    for timeframe in ("hour", "day"):
        found = resampled(client, "WHOLE", timeframe, ", session := '00:00-24:00'")
        pd.testing.assert_frame_equal(found, resampled(client, "WHOLE", timeframe))


@pytest.mark.parametrize("timeframe", ["25h", "48 hours", "1441 minutes", "90000 seconds"])
def test_hours_longer_than_a_day(client: duckdb.DuckDBPyConnection, timeframe: str) -> None:
    """They would be days, since hours begin anew each day."""
    with pytest.raises(duckdb.InvalidInputException, match=f"bars of '{timeframe}' cannot be made, since hours begin"):
        resampled(client, "WHOLE", timeframe)
    assert len(resampled(client, "LONG HOURS", "36 hours")) == 10
    with pytest.raises(duckdb.InvalidInputException, match="cannot be made"):
        resampled(client, "LONG HOURS", "72h")


def test_another_zone(client: duckdb.DuckDBPyConnection) -> None:
    bars = SERIES["AUTUMN", "minute"].tz_convert("UTC")
    found = resampled(client, "AUTUMN", "day", ", zone := 'UTC'")
    assert_bars(found, bars.groupby(bars.index.normalize()).agg(HOW))


def test_stored_bars_come_first_and_then_the_largest_that_fit(client: duckdb.DuckDBPyConnection) -> None:
    assert_bars(resampled(client, "BOTH", "5min"), SERIES["BOTH", "5minute"])
    assert_bars(resampled(client, "BOTH", "day"), SERIES["BOTH", "day"])
    fives = SERIES["BOTH", "5minute"]
    assert_bars(resampled(client, "BOTH", "10 minutes"), fives.resample("10min").agg(HOW))
    minutes = SERIES["BOTH", "minute"]
    assert_bars(resampled(client, "BOTH", "7 minutes"), minutes.resample("7min").agg(HOW))
    assert_bars(resampled(client, "BOTH", "24 hours"), fives.resample("D").agg(HOW))


@pytest.mark.parametrize("timeframe", ["minute", "15min", "45 minutes"])
def test_smaller_bars_than_there_are(client: duckdb.DuckDBPyConnection, timeframe: str) -> None:
    with pytest.raises(
        duckdb.InvalidInputException, match=f"no bars of HALF of which bars of '{timeframe}' can be made"
    ):
        resampled(client, "HALF", timeframe)
    with pytest.raises(duckdb.InvalidInputException, match="no bars of DAYS of which bars of 'hour' can be made"):
        resampled(client, "DAYS", "hour")


@pytest.mark.parametrize("timeframe", ["5M", "", "x", "1.5 hours", "minute minute", "5 fortnights", "-5 min"])
def test_a_timeframe_that_is_none(client: duckdb.DuckDBPyConnection, timeframe: str) -> None:
    with pytest.raises(duckdb.InvalidInputException, match=r"is not a timeframe: write, for example, 'minute'"):
        resampled(client, "DAYS", timeframe)


def test_the_same_spellings_as_in_python(client: duckdb.DuckDBPyConnection) -> None:
    from lumibot_duckdb.storage.timeframes import _UNIT_OF_ALIAS, bar_seconds, canonical_timeframe

    for alias in (*_UNIT_OF_ALIAS, *(word.upper() for word in _UNIT_OF_ALIAS if word != "m"), "M"):
        for text in (alias, f"1{alias}", *([] if alias == "M" else [f"5{alias}", f"3-{alias}", f" 12 {alias} "])):
            seconds = bar_seconds(canonical_timeframe(text))
            query = "SELECT epoch(bar_length(?)), length_unit(bar_length(?))"
            ((found, unit),) = client.execute(query, [text, text]).fetchall()
            if unit != "month":
                assert found == seconds, text
            else:
                assert seconds % (31 * 86_400) == 0, text


def test_the_statements_of_the_project_plan(tmp_path: Path) -> None:
    spy, qqq = walk(500, seed=1), walk(500, seed=2)
    with DuckDBDataStorage(tmp_path) as storage:
        storage.store_ohlcv_data("SPY", spy, "polygon", "minute")
        storage.store_ohlcv_data("QQQ", qqq, "polygon", "minute")
        bands = storage.sql("""
            SELECT "timestamp", close,
                avg(close) OVER bars AS middle,
                avg(close) OVER bars + 2 * stddev_pop(close) OVER bars AS upper
            FROM ohlcv_data
            WHERE asset_symbol = 'SPY' AND timeframe = 'minute'
            WINDOW bars AS (ORDER BY "timestamp" ROWS BETWEEN 19 PRECEDING AND CURRENT ROW)
            ORDER BY "timestamp"
        """).to_pandas()
        macro = storage.sql("FROM bollinger('SPY', timeframe := 'minute') ORDER BY timestamp").to_pandas()
        correlation = storage.sql("""
            SELECT spy."timestamp",
                corr(spy.close, qqq.close) OVER (ORDER BY spy."timestamp" ROWS BETWEEN 99 PRECEDING AND CURRENT ROW)
                    AS r
            FROM ohlcv_data AS spy
            JOIN ohlcv_data AS qqq ON qqq."timestamp" = spy."timestamp"
            WHERE spy.asset_symbol = 'SPY' AND qqq.asset_symbol = 'QQQ'
                AND spy.timeframe = 'minute' AND qqq.timeframe = 'minute'
            ORDER BY spy."timestamp"
        """).to_pandas()
    rolling = spy.close.rolling(20)
    upper = rolling.mean() + 2 * rolling.std(ddof=0)
    np.testing.assert_allclose(bands.upper[19:], upper[19:], rtol=1e-9)
    np.testing.assert_allclose(macro.upper, upper, rtol=1e-9)
    np.testing.assert_allclose(correlation.r[99:], spy.close.rolling(100).corr(qqq.close)[99:], rtol=1e-6)
