"""One column of many series is what `read_bars` returns for each."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.storage.api import SeriesPin, TimeRange
from lumibot_duckdb.storage.bars import many_series
from lumibot_duckdb.storage.errors import VersionGoneError

MINUTES = pd.date_range("2024-01-02 09:30", periods=40, freq="min", tz="America/New_York")
CLOSES: dict[str, Any] = {
    "FLOAT": np.arange(40) / 3,
    "GAPS": np.where(np.arange(40) % 7, np.arange(40) / 3, np.nan),
    "WHOLE": np.arange(40),
    "HUGE": np.arange(40) + 2**60,
    "SMALL": np.arange(40, dtype="float32"),
    "NULLABLE": pd.array([None, *range(39)], dtype="Int64"),
    "TEXT": [str(number) for number in range(40)],
}


def pins_of(storage: DuckDBDataStorage, symbols: Any = CLOSES) -> list[SeriesPin]:
    return [storage.pin(symbol, "minute") for symbol in symbols]


def assert_same(storage: DuckDBDataStorage, pins: list[SeriesPin], within: TimeRange | None = None) -> None:
    found = storage.read_column(pins, "close", within)
    assert set(found) == set(pins)
    for pin in pins:
        expected = storage.read_bars(pin, within, ["close"])
        actual = found[pin]
        assert actual.times.tolist() == expected.times.tolist()
        assert actual.columns["close"].dtype == expected.columns["close"].dtype
        pd.testing.assert_series_equal(pd.Series(actual.columns["close"]), pd.Series(expected.columns["close"]))


@pytest.fixture
def storage(tmp_path: Path) -> DuckDBDataStorage:
    made = DuckDBDataStorage(tmp_path)
    for symbol, closes in CLOSES.items():
        made.store_ohlcv_data(symbol, pd.DataFrame({"close": closes}, index=MINUTES), "test", "minute")
    return made


@pytest.mark.older_duckdb
@pytest.mark.parametrize("rows", [1, 70, 4_000_000])
def test_all_types(storage: DuckDBDataStorage, rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(many_series, "_ROWS", rows)
    pins = pins_of(storage)
    assert_same(storage, pins)
    assert_same(storage, pins[::-1])
    first = int(MINUTES[0].timestamp())
    for within in (TimeRange(first + 60, first + 600), TimeRange(first + 90, first + 91), TimeRange(0, 1)):
        assert_same(storage, pins, within)
    assert storage.read_column([], "close") == {}


def test_pins_of_an_earlier_state(storage: DuckDBDataStorage) -> None:
    before = pins_of(storage)
    more = pd.DataFrame({"close": 7.0}, index=MINUTES[-1:] + pd.Timedelta("1min"))
    storage.store_ohlcv_data("FLOAT", more, "test", "minute")  # of the same version
    storage.store_ohlcv_data("GAPS", pd.DataFrame({"close": 9.0}, index=MINUTES[:9]), "test", "minute")  # of a new one
    assert_same(storage, before)
    after = pins_of(storage)
    assert_same(storage, after)
    rows = [[len(storage.read_column(pins, "close")[pin].times) for pin in pins[:2]] for pins in (before, after)]
    assert rows == [[40, 40], [41, 40]]


def test_a_series_without_the_column(storage: DuckDBDataStorage) -> None:
    with pytest.raises(KeyError, match="no column 'open'; it has close"):
        storage.read_column(pins_of(storage), "open")


def test_a_version_that_is_gone(storage: DuckDBDataStorage) -> None:
    pins = pins_of(storage, ["FLOAT", "WHOLE"])
    storage.delete_series("WHOLE")
    storage.compact(timedelta(0))
    with pytest.raises(VersionGoneError, match="WHOLE"):
        DuckDBDataStorage(storage.path).read_column(pins, "close")
