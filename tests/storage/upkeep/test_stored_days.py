"""The days that have bars, of many series at once, equal those of the bars of each."""

from __future__ import annotations

import pytest

from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.storage.bars import outline_records
from lumibot_duckdb.storage.bars.outline import Days
from lumibot_duckdb.storage.upkeep import stored_days
from storage.frames import minute_bars


def assert_days_of_all(storage: DuckDBDataStorage) -> None:
    series = storage.list_series()
    found = {info.series_id: days for info, days in storage.stored_days(series)}
    assert set(found) == {info.series_id for info in series if info.rows}
    for info in series:
        if info.rows:
            expected = Days.of(storage.read_bars(storage.pin(info.key), columns=[]).times)
            for mine, plain in zip(found[info.series_id].columns(), expected.columns(), strict=True):
                assert mine.tolist() == plain.tolist()


@pytest.fixture
def filled(storage: DuckDBDataStorage, monkeypatch: pytest.MonkeyPatch) -> DuckDBDataStorage:
    """A store with long series, which have an outline, and short ones, in any order, and superseded versions."""
    monkeypatch.setattr(outline_records, "SHORT_SERIES", 50)
    for number in range(6):
        rows = 400 if number % 2 else 20
        frame = minute_bars(rows=rows, seed=number, freq="7h")
        storage.store_ohlcv_data(f"S{number}", frame.iloc[rows // 2 :], "test", "hour")
        storage.store_ohlcv_data(f"S{number}", frame.iloc[: rows // 2], "test", "hour")  # earlier ones, later
    storage.store_ohlcv_data("S0", minute_bars(rows=15, seed=9, freq="7h"), "test", "hour")
    storage.store_ohlcv_data("S1", minute_bars(rows=300, seed=9, freq="7h"), "test", "hour")
    return storage


def test_short_and_long_series(filled: DuckDBDataStorage) -> None:
    assert_days_of_all(filled)


def test_no_bar_of_a_long_series_is_read(filled: DuckDBDataStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    plain = stored_days._days_of_bars

    def noted(cursor: object, versions: list[int]) -> object:
        read.extend(versions)
        return plain(cursor, versions)  # type: ignore[arg-type]

    monkeypatch.setattr(stored_days, "_days_of_bars", noted)
    assert_days_of_all(filled)
    assert len(read) == 3


def test_many_series_are_read_in_portions(filled: DuckDBDataStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored_days, "_ROWS_AT_A_TIME", 40)
    assert_days_of_all(filled)


def test_a_series_that_was_deleted_since_is_left_out(filled: DuckDBDataStorage) -> None:
    series = filled.list_series()
    filled.delete_series("S0", timeframe="hour", source="test")
    filled.compact()
    found = [info for info, _ in filled.stored_days(series)]
    assert {info.series_id for info in series} - {info.series_id for info in found} == {series[0].series_id}
