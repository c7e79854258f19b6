"""`storage.indicators`."""

from __future__ import annotations

from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from analytics.market import SHORT, frame
from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.analytics import frames, indicator_values, reading
from lumibot_duckdb.analytics.errors import AnalysisError, IndicatorError
from lumibot_duckdb.storage.api import AssetKey
from lumibot_duckdb.storage.errors import AmbiguousSeriesError, SeriesNotFoundError, SnapshotNotFoundError
from storage.upkeep.many_series import BARS, FRAME, call, make_many_series

pytest.importorskip("talib")

DAYS = frame(300, freq="D", start="2023-01-02")


def filled(storage: DuckDBDataStorage, *symbols: str, table: pd.DataFrame = DAYS) -> DuckDBDataStorage:
    for place, symbol in enumerate(symbols):
        storage.store_ohlcv_data(symbol, table * (1 + place), "test", "day")
    return storage


def test_one_symbol_is_a_frame_indexed_by_time(storage: DuckDBDataStorage) -> None:
    filled(storage, "AAPL")
    found = storage.indicators("AAPL", ["rsi(14)", "bollinger(20, 2)"], start="2023-03-01", end="2023-04-01")
    assert found.columns[:3].tolist() == ["close", "rsi_14", "bollinger_20_2_lower"]
    expected = storage.get_historical_prices("AAPL", "2023-03-01", "2023-04-01", "day")
    pd.testing.assert_index_equal(found.index, expected.index)
    pd.testing.assert_series_equal(found["close"], expected["close"])
    mean = DAYS["close"].rolling(20).mean()
    np.testing.assert_allclose(found["bollinger_20_2_middle"], mean["2023-03-01":"2023-03-31"])  # type: ignore[misc]
    changed(found)


def changed(found: pd.DataFrame) -> None:
    """Change a frame, which is the caller's."""
    found["own"] = found["close"] * 2
    found.loc[found.index[-1], "close"] = -1.0
    found.iloc[0, found.columns.get_loc("close")] = -2.0
    assert found["close"].iloc[[0, -1]].tolist() == [-2.0, -1.0]


def test_formats(storage: DuckDBDataStorage) -> None:
    filled(storage, "AAPL", "MSFT")
    tables = {
        name: storage.indicators("AAPL", "sma(3)", format=name) for name in ("pandas", "polars", "arrow", "reader")
    }
    assert isinstance(tables["polars"], pl.DataFrame)
    assert isinstance(tables["arrow"], pa.Table)
    assert isinstance(tables["reader"], pa.RecordBatchReader)
    assert tables["polars"].columns == tables["arrow"].column_names == ["datetime", "close", "sma_3"]
    assert tables["arrow"]["sma_3"].null_count == 2
    assert tables["arrow"]["datetime"].equals(storage.to_arrow("AAPL", timeframe="day")["datetime"])
    assert tables["polars"]["datetime"].dtype == storage.to_polars("AAPL", timeframe="day")["datetime"].dtype
    assert tables["reader"].read_all().equals(tables["arrow"])
    assert np.isnan(tables["pandas"]["sma_3"].to_numpy()[:2]).all()
    with pytest.raises(ValueError, match="'csv' is not a format: write one of pandas, polars, arrow, reader"):
        storage.indicators("AAPL", "sma(3)", format="csv")


def test_a_list_is_a_long_frame(storage: DuckDBDataStorage) -> None:
    filled(storage, "MSFT", "AAPL")
    found = storage.indicators(["AAPL", "MSFT", "aapl"], ["sma(3)"], start="2023-10-01")
    assert found.columns.tolist() == ["asset_symbol", "timestamp", "close", "sma_3"]
    assert found["asset_symbol"].tolist() == ["AAPL"] * 28 + ["MSFT"] * 28
    assert str(found["timestamp"].dt.tz) == "America/New_York"
    one = storage.indicators("MSFT", "sma(3)", start="2023-10-01")
    np.testing.assert_array_equal(found["sma_3"][28:], one["sma_3"])
    assert found["timestamp"][28:].tolist() == one.index.tolist()
    (same,) = {storage.indicators(each, "sma(3)", format="arrow").num_rows for each in (["AAPL"], ("AAPL", None))}
    assert same == 300
    changed(found)
    assert storage.indicators([], "rsi").columns.tolist() == ["asset_symbol", "timestamp", "close", "rsi_14"]


def test_long_series_come_in_pieces(storage: DuckDBDataStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(storage, "AAPL", "MSFT")
    whole = storage.indicators(["AAPL", "MSFT"], ["rsi(14)", "macd"])
    monkeypatch.setattr(frames, "_ROWS_AT_A_TIME", 77)
    pieces = storage.indicators(["AAPL", "MSFT"], ["rsi(14)", "macd"])
    pd.testing.assert_frame_equal(pieces, whole)
    changed(pieces)
    batches = storage.indicators(["AAPL", "MSFT"], "rsi", format="reader")
    assert [batch.num_rows for batch in batches] == [77, 77, 77, 69] * 2
    one = storage.indicators("MSFT", "rsi")
    np.testing.assert_array_equal(one["rsi_14"], whole["rsi_14"][300:])
    changed(one)


def test_long_histories_are_computed_in_pieces(storage: DuckDBDataStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    minutes = pd.concat([frame(390, seed=day, start=f"2024-01-{day:02} 09:30") for day in range(2, 12)])
    minutes.loc[minutes.index[5:400:7], ["close", "volume"]] = np.nan
    for symbol in ("AAPL", "MSFT"):
        storage.store_ohlcv_data(symbol, minutes, "test", "minute")
    requests = [*map(_text, SHORT), "rsi", "hma", "stochastic", "supertrend"]
    ranges = [{"end": "2024-01-09 11:00"}, {"start": "2024-01-05 10:00"}, {"end": "2024-01-02 10:00"}]
    call = partial(storage.indicators, ["AAPL", "MSFT"], timeframe="minute")
    wholes = [call(requests, **each) for each in ranges]
    larger = call(["rsi(2)", "obv"], timeframe="hour")
    monkeypatch.setattr(reading, "_ROWS_AT_A_TIME", 800)
    monkeypatch.setattr(indicator_values, "_ROWS_AT_A_TIME", 300)
    for each, whole in zip(ranges, wholes, strict=True):
        pieces = call(requests, **each)
        pd.testing.assert_frame_equal(pieces, whole, check_exact=True)
        changed(pieces)
    assert 200 < max(batch.num_rows for batch in call("sma", format="reader")) <= 300
    pd.testing.assert_frame_equal(call(["rsi(2)", "obv"], timeframe="hour"), larger, check_exact=True)


def test_mistakes(storage: DuckDBDataStorage) -> None:
    with pytest.raises(SeriesNotFoundError):
        storage.indicators("AAPL", "rsi")
    filled(storage, "AAPL")
    with pytest.raises(SeriesNotFoundError, match="no hour bars of AAPL; it has: AAPL stock, day bars from test"):
        storage.indicators("AAPL", "rsi", "hour")
    with pytest.raises(SeriesNotFoundError, match="MSFT"):
        storage.indicators(["AAPL", "MSFT"], "rsi")
    with pytest.raises(IndicatorError, match="did you mean rsi"):
        storage.indicators("AAPL", "rsii")
    with pytest.raises(IndicatorError, match="'Mars' is not a time zone"):
        storage.indicators("AAPL", "rsi", zone="Mars")
    with pytest.raises(ValueError, match="'fortnight' is not a timeframe"):
        storage.indicators("AAPL", "rsi", "fortnight")
    storage.store_ohlcv_data("OPEN", DAYS[["open"]], "test", "day")
    with pytest.raises(IndicatorError, match="OPEN stock, day bars from test has no closes"):
        storage.indicators("OPEN", "rsi")
    storage.store_ohlcv_data("TEXT", DAYS.assign(volume="many"), "test", "day")
    with pytest.raises(IndicatorError, match="TEXT stock, day bars from test: the column 'volume' has no numbers"):
        storage.indicators("TEXT", "obv")
    storage.store_ohlcv_data("AAPL", DAYS, "other", "day")
    with pytest.raises(AmbiguousSeriesError, match="pass source="):
        storage.indicators("AAPL", "rsi")
    storage.store_ohlcv_data(AssetKey("AAPL", "index"), DAYS, "test", "day")
    with pytest.raises(IndicatorError, match="have the same asset_symbol, AAPL: request them separately"):
        storage.indicators([AssetKey("AAPL"), AssetKey("AAPL", "index")], "rsi", source="test")


@pytest.mark.parametrize("format", ["pandas", "reader"])
def test_a_range_without_bars_is_an_error(storage: DuckDBDataStorage, format: Literal["pandas"]) -> None:
    filled(storage, "AAPL")
    filled(storage, "LATER", table=DAYS.set_axis(DAYS.index + pd.Timedelta("3000D")))
    call = partial(storage.indicators, indicators="sma(3)", format=format)
    first, last = (f"{DAYS.index[place]:%Y-%m-%d}" for place in (0, -1))
    for symbols, timeframe, options, message in (
        ("AAPL", "day", {"start": "2050-01-01"}, f"no bars from 2050-01-01; there are bars from {first} to {last}"),
        (["AAPL", "LATER"], "day", {"end": "2000-01-01"}, "AAPL, LATER: no day bars before 2000-01-01; there are bars"),
        (["AAPL"], "week", {"start": "2050-01-01"}, "AAPL: no week bars from 2050-01-01"),
        ("AAPL", "day", {"start": f"{first} 01:00", "end": f"{first} 02:00"}, "no bars from .* 01:00 before .* 02:00"),
        ("AAPL", "day", {"start": last, "end": first}, f"start, {last}, is not before end, {first}"),
        ("AAPL", "day", {"start": last, "end": last}, "is not before end"),
    ):
        with pytest.raises(AnalysisError, match=message):
            call(symbols, timeframe=timeframe, **options)
    assert call(["AAPL", "LATER"], start=DAYS.index[-1] + pd.Timedelta("1D")) is not None  # one of them has bars


def test_what_was_not_stored_yet_is_the_timeframe_that_was_requested(storage: DuckDBDataStorage) -> None:
    filled(storage, "OTHER")
    storage.snapshot("none")
    storage.store_ohlcv_data("AAPL", FRAME, "test", "minute")
    storage.snapshot("minutes")
    hours = frame(300, freq="h", start="2023-01-02")
    storage.store_ohlcv_data("AAPL", hours, "test", "hour")
    call = partial(storage.indicators, "AAPL", "sma(3)", "day")
    with pytest.raises(SeriesNotFoundError, match=r"^AAPL stock, hour bars from test were not stored yet as of none"):
        call(as_of="none")  # days could be made of hours
    assert len(call(as_of="minutes")) < len(call())  # of minutes, when there were no hours
    filled(storage, "AAPL")
    with pytest.raises(SeriesNotFoundError, match=r"^AAPL stock, day bars from test were not stored yet as of none"):
        call(as_of="none")
    with pytest.raises(SeriesNotFoundError, match=r"^AAPL stock, day bars from test were not stored yet as of none"):
        storage.correlation(["AAPL", "OTHER"], as_of="none")


def test_series_are_read_as_of_a_moment_or_a_snapshot(storage: DuckDBDataStorage) -> None:
    filled(storage, "AAPL")
    storage.snapshot("before")
    moment = datetime.now(timezone.utc)
    filled(storage, "AAPL", table=DAYS * 2)
    now = storage.indicators("AAPL", "sma(3)")["sma_3"]
    for as_of in ("before", moment):
        then = storage.indicators("AAPL", "sma(3)", as_of=as_of)["sma_3"]
        np.testing.assert_allclose(now, 2 * then)
    with pytest.raises(SnapshotNotFoundError):
        storage.indicators("AAPL", "sma(3)", as_of="nothing")
    with pytest.raises(SeriesNotFoundError):
        storage.indicators("AAPL", "sma(3)", as_of=datetime(2020, 1, 1, tzinfo=timezone.utc))


@pytest.mark.parametrize("dtype", ["float32", "int64", "Int64", "Float64"])
def test_numbers_of_any_type(storage: DuckDBDataStorage, dtype: Any) -> None:
    whole = DAYS.round(0).astype(dtype)
    if dtype[0].isupper():
        whole.loc[whole.index[5], "volume"] = pd.NA
    storage.store_ohlcv_data("AAPL", whole, "test", "day")
    found = storage.indicators("AAPL", ["sma(2)", "obv"])
    np.testing.assert_allclose(found["close"], DAYS["close"].round(0))
    volume = whole["volume"].astype("Float64").fillna(0).to_numpy(float)
    moves = np.sign(np.diff(found["close"]))
    np.testing.assert_allclose(found["obv"], np.cumsum([volume[0], *(moves * volume[1:])]))


def test_larger_bars_are_made_of_the_largest_that_are_stored(storage: DuckDBDataStorage) -> None:
    table = frame(3000, freq="15min", start="2023-03-06 00:00")
    storage.store_ohlcv_data("AAPL", table, "test", "15min")
    storage.store_ohlcv_data("AAPL", frame(10, start="2023-03-07"), "test", "minute")
    expected = table.resample("D").agg({"open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum"})
    for start, end in (
        (None, None),
        ("2023-03-20", "2023-04-01"),
        ("2023-03-06", None),
        ("2023-03-20 12:00", "2023-03-25 12:00"),
    ):
        found = storage.indicators("AAPL", ["atr(2)", "donchian(3)"], "day", start, end)
        again = expected.loc[start or "2023" : end or "2024"]  # type: ignore[misc]
        if end and ":" not in end:
            again = again[:-1]
        assert found.index.tolist() == again.index.tolist()
        np.testing.assert_array_equal(found["close"], again["close"])
        high = expected["high"].rolling(3).max().reindex(again.index)
        np.testing.assert_array_equal(found["donchian_3_upper"], high)
    weeks = storage.indicators("AAPL", "sma(2)", "week", start="2023-03-14")
    assert weeks.index[0] == pd.Timestamp("2023-03-20", tz="America/New_York")
    utc = storage.indicators("AAPL", "sma(2)", "day", zone="UTC")
    assert {moment.hour for moment in utc.index.tz_convert("UTC")} == {0}


@pytest.mark.parametrize("timeframe", ["week", "month"])
def test_larger_bars_of_a_coin_are_made_of_its_days_of_utc(storage: DuckDBDataStorage, timeframe: str) -> None:
    """Midnight in UTC is the evening before in New York, so weeks would begin on Tuesday."""
    table = frame(200, freq="D", start="2023-01-01").tz_localize(None).tz_localize("UTC")
    storage.store_ohlcv_data(("BTC", "USD"), table, "exchange", "day")
    by = table.index.tz_localize(None).to_period(timeframe[0].upper())
    expected = table.groupby(by).agg({"high": "max", "close": "last"})
    for start in (None, "2023-03-01T00:00Z"):
        found = storage.indicators(("BTC", "USD"), ["sma(2)", "donchian(1)"], timeframe, start)
        assert {time.hour for time in found.index.tz_convert("UTC")} == {0}
        periods = found.index.tz_convert("UTC").tz_localize(None).to_period(timeframe[0].upper())
        assert periods.tolist() == [
            each for each in expected.index if not start or each.start_time >= pd.Timestamp(start[:10])
        ]
        wanted = expected.loc[periods]
        np.testing.assert_array_equal(found["close"], wanted["close"])
        np.testing.assert_array_equal(found["donchian_1_upper"], wanted["high"])
        np.testing.assert_allclose(found["sma_2"], expected["close"].rolling(2).mean().loc[periods])


def test_months_of_a_quarter_and_hours_longer_than_a_day(storage: DuckDBDataStorage) -> None:
    storage.store_ohlcv_data("AAPL", frame(300, freq="h", start="2024-01-02"), "test", "hour")
    quarter = storage.indicators("AAPL", "sma(1)", "3month")
    assert quarter.index.tolist() == [pd.Timestamp("2024-01-01", tz="America/New_York")]
    assert len(storage.indicators("AAPL", "sma(1)", "24h")) == 13
    for timeframe in ("25hour", "48hour", "1441minute"):
        with pytest.raises(SeriesNotFoundError, match=f"no {timeframe} bars of AAPL"):
            storage.indicators("AAPL", "sma(1)", timeframe)


def test_hours_are_not_made_of_days(storage: DuckDBDataStorage) -> None:
    filled(storage, "AAPL")
    for timeframe in ("48hour", "24hour"):
        with pytest.raises(SeriesNotFoundError, match=f"no {timeframe} bars of AAPL"):
            storage.indicators("AAPL", "sma(2)", timeframe)


@pytest.mark.parametrize("count", [150, pytest.param(5_000, marks=pytest.mark.long)])
def test_many_series_are_one_call(count: int, tmp_path: Path) -> None:
    make_many_series(tmp_path / "many.duckdb", count)
    storage = DuckDBDataStorage(tmp_path / "many.duckdb")
    found = storage.indicators(
        list(map(call, range(1, count + 1))), list(map(_text, SHORT)), "minute", start=FRAME.index[14], format="reader"
    )
    first = found.read_next_batch()
    assert first.num_rows == 6
    assert storage.statistics().rows_read < 8 * BARS  # the others are read when they are needed
    rest = found.read_all()
    assert rest.num_rows == 6 * (count - 1)
    last = rest.slice(rest.num_rows - 6)
    assert last["asset_symbol"][0].as_py() == f"SPY 2024-01-19 {count} CALL"
    assert last.drop_columns("asset_symbol").to_pylist() == first.drop_columns(["asset_symbol"]).to_pylist()
    storage.close()


def _text(name: str) -> str:
    request = SHORT[name]
    return f"{name}({', '.join(f'{key}={value}' for key, value in request.parameters.items())})"
