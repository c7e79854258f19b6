"""When series were last written with a metadata key."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from lumibot_duckdb import DuckDBDataStorage, clock
from lumibot_duckdb.storage.api import AssetKey, SeriesKey
from storage.frames import minute_bars

NOON = dt.datetime(2024, 3, 12, 16, tzinfo=dt.timezone.utc)
EARLIEST = dt.datetime(2000, 1, 1, tzinfo=dt.timezone.utc)
AAPL, MSFT, IBM = (SeriesKey(AssetKey(symbol), "mine", "minute") for symbol in ("AAPL", "MSFT", "IBM"))


@pytest.mark.older_duckdb
def test_the_last_write_with_the_key_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = DuckDBDataStorage(tmp_path)
    assert storage.last_writes("live", EARLIEST) == {}

    def write(key: SeriesKey, hour: int, **metadata: object) -> dt.datetime:
        at = NOON + dt.timedelta(hours=hour)
        monkeypatch.setattr(clock, "utc_now", lambda: at)
        bars = minute_bars(rows=3, seed=hour + 1)  # differ from one write to the next
        storage.store_ohlcv_data(key.asset, bars, key.source, key.timeframe, metadata=metadata)
        return at

    write(AAPL, 0, live=True)
    first = write(MSFT, 1, live=False)
    last = write(AAPL, 2, live=True, other=1)
    write(AAPL, 3, other="live")
    write(IBM, 4)
    assert storage.last_writes("live", EARLIEST) == {AAPL: last, MSFT: first}
    assert storage.last_writes("live", last) == {AAPL: last}
    assert storage.last_writes("live", last + dt.timedelta(seconds=1)) == {}
    there = last.astimezone(dt.timezone(dt.timedelta(hours=-5)))
    assert DuckDBDataStorage(tmp_path).last_writes("live", there) == {AAPL: last}
    storage.delete_series("AAPL")
    assert storage.last_writes("live", EARLIEST) == {MSFT: first}
