"""A Polygon backtest that ends now: new bars arrive while the day is downloaded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from lumibot.entities import Asset

from lumibot_duckdb import DuckDBDataStorage, clock
from parity.harness import assert_same_frame
from sources.polygon.server import PolygonServer
from sources.polygon.sides import Side, both_sides

COIN, DOLLAR = Asset("BTC", "crypto"), Asset("USD", "forex")
NEW_YORK = "America/New_York"
REQUESTS = ((60, "minute"), (20, "5min"), (3, "day"))


def minutes_until(end: pd.Timestamp) -> pd.DataFrame:
    """Return four days of minutes up to the one that `end` is in."""
    index = pd.date_range(end=end.floor("min"), periods=4 * 1_440, freq="min")
    minutes = index.as_unit("s").asi8 // 60
    close = 40_000 + minutes % 9_973 / 4  # of the time alone, so that history stays what it was
    return pd.DataFrame(
        {"open": close, "high": close + 1, "low": close - 1, "close": close + 0.5, "volume": 2.5}, index=index
    )


def stop_clock(monkeypatch: pytest.MonkeyPatch, at: pd.Timestamp) -> None:
    """Set our clock to a moment, at which it stays: which bars are open must not depend on how long the test takes."""
    monkeypatch.setattr(clock, "utc_now", at.to_pydatetime)


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> pd.Timestamp:
    now = pd.Timestamp.now("UTC")
    stop_clock(monkeypatch, now)
    return now


@pytest.fixture
def server(now: pd.Timestamp) -> Iterator[PolygonServer]:
    with PolygonServer() as server:
        server.serve("X:BTCUSD", "minute", minutes_until(now))
        yield server


def frames(side: Side, server: PolygonServer, now: pd.Timestamp, timespans: Any = REQUESTS) -> list[pd.DataFrame]:
    """Return what a backtest sees at its end, which is now."""
    found = []
    with side.entered(server):
        for length, timespan in timespans:
            end = now.tz_convert(NEW_YORK)
            source = side.source((end - pd.Timedelta(days=1)).to_pydatetime(), end.to_pydatetime())
            source._datetime = end.to_pydatetime()
            bars = source.get_historical_prices(COIN, length, timespan, quote=DOLLAR)
            found.append(bars.df.copy())
    return found


def test_bars_of_the_open_day_are_seen_as_lumibot_sees_them(
    server: PolygonServer, now: pd.Timestamp, tmp_path: Path
) -> None:
    theirs, ours = both_sides(tmp_path)
    for expected, actual in zip(frames(theirs, server, now), frames(ours, server, now), strict=True):
        assert_same_frame(expected, actual, "the open day")


def test_the_next_run_asks_for_the_open_day_alone_and_sees_what_became_of_it(
    server: PolygonServer, now: pd.Timestamp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, ours = both_sides(tmp_path / "first")
    frames(ours, server, now)
    before = {info.key.timeframe: info.version_id for info in stored(ours)}

    later = now + pd.Timedelta(minutes=3)
    stop_clock(monkeypatch, later)
    grown = minutes_until(later)
    grown.loc[now.floor("min"), "close"] += 7  # the minute that was open has closed elsewhere
    server.serve("X:BTCUSD", "minute", grown)
    server.requests.clear()
    seen = frames(ours, server, later)
    asked = {part for request in server.asked("/v2/aggs") for part in request.path.split("/")[-2:]}
    # Today, by UTC and by New York: days may start at either's midnight.
    assert asked <= {at.tz_convert(zone).date().isoformat() for at in (now, later) for zone in ("UTC", NEW_YORK)}

    theirs, _ = both_sides(tmp_path / "second")
    for expected, actual in zip(frames(theirs, server, later), seen, strict=True):
        assert_same_frame(expected, actual, "the open day, later")
    assert {info.key.timeframe: info.version_id for info in stored(ours)} == before


def test_an_open_minute_that_another_process_stores_is_seen_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The same day in UTC and in New York: Lumibot asks for days of New York, and Polygon's are those of UTC.
    now = pd.Timestamp("2024-04-02 15:00", tz="UTC")
    stop_clock(monkeypatch, now)
    _, ours = both_sides(tmp_path)
    end = now.tz_convert(NEW_YORK) + pd.Timedelta(minutes=5)  # so that the last minutes are open
    minutes = minutes_until(end)
    with PolygonServer() as server, ours.entered(server):
        server.serve("X:BTCUSD", "minute", minutes)
        source = ours.source((end - pd.Timedelta(hours=1)).to_pydatetime(), end.to_pydatetime())
        source._datetime = end.to_pydatetime()
        before = source.get_historical_prices(COIN, 60, "minute", quote=DOLLAR).df
        storage = DuckDBDataStorage(ours.store)
        (info,) = storage.list_series(timeframe="minute")
        last = storage.read_pandas(storage.pin(info.key)).index[-1]
        assert last < before.index[-1], "the last minutes are open"
        closed = minutes[minutes.index > last].assign(close=7.0, vwap=7.0, transactions=1)
        storage.store_ohlcv_data(info.key.asset, closed, info.key.source, "minute", adjustment=info.key.adjustment)
        after = source.get_historical_prices(COIN, 7 * 1_440, "minute", quote=DOLLAR).df  # which downloads more
    assert len(after) > len(before)
    assert after.index.is_unique
    assert after.index.is_monotonic_increasing
    assert (after["close"].reindex(closed.index[:-1]) == 7.0).all(), "the last one has not closed for the strategy"
    kept = before.iloc[: -len(closed)].index
    assert after.loc[kept, "close"].tolist() == before.loc[kept, "close"].tolist()


def stored(side: Side) -> list[Any]:
    return DuckDBDataStorage(side.store).list_series()
