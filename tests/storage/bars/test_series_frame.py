"""`series()`: the listing as a frame."""

from __future__ import annotations

import datetime as dt

import pandas as pd

from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.storage.api import AssetKey, TimeRange
from storage.frames import NEW_YORK, minute_bars

FRAME = minute_bars(rows=5)
OPTION = AssetKey("SPY", "option", expiration=dt.date(2024, 1, 19), strike=470.5, right="CALL")


def test_one_row_for_each_series(storage: DuckDBDataStorage) -> None:
    storage.store_ohlcv_data("AAPL", FRAME, "test", "minute", adjustment="split")
    storage.store_ohlcv_data(("BTC", "USD"), FRAME, "test", "minute")
    storage.store_ohlcv_data(OPTION, FRAME, "test", "minute")
    storage.record_coverage("AAPL", TimeRange(1_600_000_000, 1_600_000_600), "other", "day")
    found = storage.series()
    infos = storage.list_series()
    assert found["symbol"].tolist() == ["AAPL", "AAPL", "BTC", "SPY"]
    for (_, row), info in zip(found.iterrows(), infos, strict=True):
        key = info.key
        assert (row["asset_type"], row["source"], row["timeframe"], row["adjustment"], row["bars"]) == (
            *(key.asset.asset_type, key.source, key.timeframe, key.adjustment, info.rows),
        )
        for name, seconds in (("first", info.first), ("last", info.last), ("covered_from", info.coverage[0].start)):
            expected = pd.NaT if seconds is None else pd.Timestamp(seconds, unit="s", tz=NEW_YORK)
            assert row[name] is expected or row[name] == expected
        assert row["covered_until"].timestamp() == info.coverage[-1].end
        assert (row["covered_ranges"], row["provisional_ranges"]) == (len(info.coverage), len(info.provisional))
    assert found["provisional_ranges"].tolist() == [1, 0, 0, 0]
    option = found.iloc[3]
    assert (option["expiration"], option["strike"], option["right"]) == (pd.Timestamp("2024-01-19"), 470.5, "CALL")
    assert (found.iloc[2]["quote"], found.iloc[0]["quote"]) == ("USD", None)


def test_the_same_filters_and_dtypes_as_always(storage: DuckDBDataStorage) -> None:
    empty = storage.series()
    assert len(empty) == 0
    storage.store_ohlcv_data("AAPL", FRAME, "test", "minute")
    storage.store_ohlcv_data("AAPL", FRAME, "test", "5minute")
    storage.store_ohlcv_data("MSFT", FRAME, "other", "minute")
    assert storage.series().dtypes.equals(empty.dtypes)
    assert str(empty["first"].dtype) == "datetime64[s, America/New_York]"
    assert storage.series("AAPL", timeframe="1m")["timeframe"].tolist() == ["minute"]
    assert storage.series(source="other")["symbol"].tolist() == ["MSFT"]
    assert len(storage.series("NONE")) == 0
