"""`storage.panel`."""

from __future__ import annotations

import sys
from datetime import datetime, timezone
from functools import partial
from typing import Any, Literal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from analytics.market import frame
from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.analytics.computation import engine
from lumibot_duckdb.analytics.errors import AnalysisError, IndicatorError, MissingLibraryError
from lumibot_duckdb.panels import ForwardReturn, PanelError, TripleBarrier, tables
from lumibot_duckdb.storage.errors import SeriesNotFoundError, SnapshotNotFoundError

DAYS = frame(300, freq="D", start="2023-01-02")
BOTH = ["AAPL", "MSFT"]
FEATURES = ["rsi(14)", "return(5)", "log_return", "bollinger(20, 2)", "close", "volume"]
TARGETS = [ForwardReturn(5), TripleBarrier(0.02, 0.02, bars=20), TripleBarrier(1, 1, bars=9, volatility=10)]


def filled(storage: DuckDBDataStorage, *symbols: str, table: pd.DataFrame = DAYS) -> DuckDBDataStorage:
    for place, symbol in enumerate(symbols):
        storage.store_ohlcv_data(symbol, table.assign(close=table["close"] + place), "test", "day")
    return storage


def test_features_are_indicators_returns_and_columns(storage: DuckDBDataStorage) -> None:
    filled(storage, *BOTH)
    found = storage.panel(BOTH, FEATURES, start="2023-03-01", end="2023-04-01")
    expected = storage.indicators(BOTH, ["rsi(14)", "bollinger(20, 2)"], start="2023-03-01", end="2023-04-01")
    shared = [name for name in expected.columns if name != "close"]
    pd.testing.assert_frame_equal(found[[*shared, "close"]], expected[[*shared, "close"]])
    assert found.columns[:6].tolist() == [
        "asset_symbol", "timestamp", "rsi_14", "return_5", "log_return_1", "bollinger_20_2_lower",
    ]  # fmt: skip
    whole = DAYS["close"].pct_change(5)["2023-03-01":"2023-03-31"]  # type: ignore[misc]
    np.testing.assert_allclose(found["return_5"][:31], whole, rtol=1e-12)
    np.testing.assert_allclose(found["log_return_1"], np.log1p(storage.panel(BOTH, "return")["return_1"])[
        np.r_[58:89, 358:389]
    ])  # fmt: skip
    alone = storage.panel("AAPL", "return(5)", start="2023-03-01", end="2023-04-01")  # it needs earlier bars, too
    pd.testing.assert_series_equal(alone["return_5"], found["return_5"][:31])
    np.testing.assert_array_equal(found["volume"][31:], DAYS["volume"]["2023-03-01":"2023-03-31"])  # type: ignore[misc]
    assert str(found["timestamp"].dt.tz) == "America/New_York"
    found.iloc[0, 3] = -1.0  # it is the caller's own
    found["mine"] = 1
    assert storage.panel("AAPL", ["rsi", "RSI(14)", "close", "close"]).columns.tolist()[2:] == ["rsi_14", "close"]


def test_a_target_comes_with_when_it_is_known(storage: DuckDBDataStorage) -> None:
    filled(storage, "AAPL")
    found = storage.panel("AAPL", ["close", "high", "low"], targets=TARGETS, start="2023-02-01")
    later = DAYS["close"].shift(-5) / DAYS["close"] - 1
    np.testing.assert_allclose(found["forward_return_5"], later["2023-02-01":], rtol=1e-12)  # type: ignore[misc]
    known = found["forward_return_5_known_at"]
    assert (known[:-5] == found["timestamp"][:-5] + pd.DateOffset(days=6)).all()  # when the bar of five days later ends
    assert known[-5:].isna().all()
    assert found["forward_return_5"][-5:].isna().all()
    label, known = found["triple_barrier_0.02_0.02_20"], found["triple_barrier_0.02_0.02_20_known_at"]
    assert set(label.dropna()) == {-1.0, 0.0, 1.0} - ({0.0} if not (label == 0).any() else set())
    assert (label.isna() == known.isna()).all()
    for row in label.index[label == 1][:20]:
        day = found.index[found["timestamp"] == known[row] - pd.DateOffset(days=1)][0]
        assert found["high"][day] >= found["close"][row] * 1.02
        assert (found["high"][row + 1 : day] < found["close"][row] * 1.02).all()
    volatility = storage.indicators("AAPL", "volatility(10)", start="2023-02-01")["volatility_10"].to_numpy()
    scaled = found["triple_barrier_1_1_9_volatility_10"]
    row = int(scaled.index[scaled == -1][0])
    reached = found["low"][row + 1 : row + 10] <= found["close"][row] * (1 - volatility[row])
    assert reached.any()


def test_formats(storage: DuckDBDataStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(storage, *BOTH)
    whole = storage.panel(BOTH, FEATURES, targets=TARGETS)
    monkeypatch.setattr(tables, "_ROWS_AT_A_TIME", 77)
    panels = {name: storage.panel(BOTH, FEATURES, targets=TARGETS, format=name) for name in ("polars", "arrow")}
    assert isinstance(panels["polars"], pl.DataFrame)
    assert isinstance(panels["arrow"], pa.Table)
    reader = storage.panel(BOTH, FEATURES, targets=TARGETS, format="reader")
    assert isinstance(reader, pa.RecordBatchReader)
    pieces = list(reader)
    assert [piece.num_rows for piece in pieces] == [77, 77, 77, 69] * 2
    assert pa.Table.from_batches(pieces).equals(panels["arrow"])
    assert panels["polars"].columns == panels["arrow"].column_names == whole.columns.tolist()
    assert (
        panels["arrow"]["forward_return_5"].null_count == panels["arrow"]["forward_return_5_known_at"].null_count == 10
    )
    for table in (panels["arrow"].to_pandas(), panels["polars"].to_pandas()):
        for name in whole.columns:
            if whole[name].dtype.kind == "M":
                assert (table[name].isna() == whole[name].isna()).all()
                assert table[name].dropna().tolist() == whole[name].dropna().tolist()
            else:
                assert table[name].fillna(-9).tolist() == whole[name].fillna(-9).tolist()
    small = storage.panel(BOTH, FEATURES, targets=TARGETS, dtype="float32")
    pd.testing.assert_frame_equal(small, whole, check_dtype=False, rtol=1e-5)
    assert {str(small[name].dtype) for name in whole.columns[2:] if whole[name].dtype.kind == "f"} == {"float32"}
    small.iloc[-1, 2] = 1.0
    small["rsi_14"] = 1.0


def test_arrays_have_a_place_for_each_time_and_asset(storage: DuckDBDataStorage) -> None:
    filled(storage, "AAPL")
    filled(storage, "MSFT", table=DAYS.iloc[100:].drop(DAYS.index[150]))
    found = storage.panel(BOTH, ["close", "return(2)"], targets=TARGETS[:2], format="numpy")
    assert found.values.shape == (300, 2, 2)
    assert found.target_values.shape == found.known_at.shape == (300, 2, 2)
    assert (found.assets, found.features) == (("AAPL", "MSFT"), ("close", "return_2"))
    assert found.targets == tuple(target.name for target in TARGETS[:2])
    assert found.times.tolist() == DAYS.index.tolist()
    long = storage.panel(BOTH, ["close", "return(2)"], targets=TARGETS[:2])
    for place, symbol in enumerate(BOTH):
        rows = long[long["asset_symbol"] == symbol]
        at = found.times.get_indexer(rows["timestamp"])
        np.testing.assert_array_equal(found.values[at, place], rows[["close", "return_2"]])
        np.testing.assert_array_equal(found.target_values[at, place], rows[list(found.targets)])
        known = rows["forward_return_5_known_at"].dt.tz_convert("UTC").dt.tz_localize(None).to_numpy()
        np.testing.assert_array_equal(found.known_at[at, place, 0], known)
    absent = np.setdiff1d(np.arange(300), at)
    assert len(absent) == 101
    assert np.isnan(found.values[absent, 1]).all()
    assert np.isnat(found.known_at[absent, 1]).all()
    small = storage.panel(BOTH, "close", dtype="float32", join="inner", format="numpy")
    assert small.values.dtype == np.float32
    assert small.values.shape == (199, 2, 1)
    assert small.target_values.shape == (199, 2, 0)
    assert not np.isnan(small.values).any()


@pytest.mark.parametrize("format", ["reader", "numpy"])
def test_a_range_without_rows_is_an_error(storage: DuckDBDataStorage, format: Literal["pandas"]) -> None:
    filled(storage, "SPY")
    filled(storage, "OLD", table=DAYS.set_axis(DAYS.index - pd.Timedelta("3000D")))
    panel = partial(storage.panel, features="close", targets=TARGETS, format=format)
    for symbols, options, message in (
        (["SPY", "OLD"], {"start": "2030-01-01"}, "SPY, OLD: no day bars from 2030-01-01; there are bars from 20"),
        ("SPY", {"end": "2000-01-01"}, "SPY stock, day bars from test: no bars before 2000-01-01; there are bars from"),
        ("SPY", {"start": "2023-06-02", "end": "2023-06-01"}, "start, 2023-06-02, is not before end, 2023-06-01"),
        (["SPY", "OLD"], {"start": "2023-06-02", "join": "inner"}, "OLD stock, .*: no bars from 2023-06-02"),
        (["SPY", "OLD"], {"join": "inner"}, "no bars of SPY, OLD in the range have the same time"),
    ):
        with pytest.raises(AnalysisError, match=message):
            panel(symbols, **options)
    assert panel(["SPY", "OLD"], start="2023-06-02") is not None  # one of them has rows


def test_only_common_times_are_joined(storage: DuckDBDataStorage) -> None:
    """Features are of all bars of an asset. Days of crypto begin in UTC, and are joined with stocks' by date."""
    filled(storage, "SPY", table=DAYS[DAYS.index.dayofweek < 5])
    crypto = DAYS.set_axis(pd.date_range("2023-02-01", periods=300, tz="UTC"))
    storage.store_ohlcv_data(("BTC", "USD"), crypto, "test", "day")
    pair = ["SPY", ("BTC", "USD")]
    found = storage.panel(pair, ["return(2)", "close"], join="inner")
    spy, bitcoin = (found[found["asset_symbol"] == symbol] for symbol in ("SPY", "BTC/USD"))
    assert spy["timestamp"].dt.date.tolist() == bitcoin["timestamp"].dt.tz_convert("UTC").dt.date.tolist()
    expected = crypto["close"].pct_change(2)
    np.testing.assert_allclose(
        bitcoin["return_2"], expected.reindex(bitcoin["timestamp"].dt.tz_convert("UTC")), rtol=1e-12
    )
    dense = storage.panel(pair, ["close"], format="numpy")
    np.testing.assert_array_equal(dense.values[~np.isnan(dense.values).any(axis=(1, 2))][:, 1, 0], bitcoin["close"])
    assert storage.panel(pair, "close", join="inner", format="numpy").values.shape == (len(spy), 2, 1)
    assert len(storage.panel(pair, "close")) == len(DAYS[DAYS.index.dayofweek < 5]) + 300


def test_the_end_is_the_moment_at_which_the_panel_is_made(storage: DuckDBDataStorage) -> None:
    filled(storage, "AAPL")
    crypto = DAYS.set_axis(pd.date_range("2023-01-02", periods=300, tz="UTC"))
    storage.store_ohlcv_data(("BTC", "USD"), crypto, "test", "day")
    for end, last in (
        ("2023-03-10 00:00", "2023-03-09"),
        ("2023-03-10 16:00", "2023-03-09"),
        ("2023-03-11", "2023-03-10"),
    ):
        found = storage.panel(["AAPL"], "close", end=end, targets=ForwardReturn(5))
        assert found["timestamp"].iloc[-1] == pd.Timestamp(last, tz="America/New_York")
        known = found["forward_return_5_known_at"]
        assert known.max() <= pd.Timestamp(end, tz="America/New_York")
        assert known.isna().sum() == 5
    # A day of UTC ends at seven or eight in the evening.
    for end, days in (("2023-03-10 18:59", 67), ("2023-03-10 19:00", 68), ("2023-03-11", 68)):
        assert len(storage.panel(("BTC", "USD"), "close", end=end)) == days


def test_larger_bars_belong_to_a_panel_once_they_have_ended(storage: DuckDBDataStorage) -> None:
    table = frame(3000, freq="15min", start="2023-03-06 00:00")
    storage.store_ohlcv_data("AAPL", table, "test", "15min")
    days = table["close"].resample("D").last()
    found = storage.panel("AAPL", ["close", "atr(2)"], "day", end="2023-03-20 12:00", targets=ForwardReturn(1))
    assert found["close"].tolist() == days[:"2023-03-19"].tolist()  # type: ignore[misc]
    assert np.isnan(found["forward_return_1"].iloc[-1])
    hours = storage.panel("AAPL", "close", "hour", "2023-03-20 09:00", "2023-03-20 12:30")
    assert hours["timestamp"].dt.hour.tolist() == [9, 10, 11]
    storage.store_ohlcv_data("AAPL", table.assign(sentiment=1.0), "test", "15min")
    with pytest.raises(PanelError, match="'sentiment' is not known of hour bars that are made of AAPL"):
        storage.panel("AAPL", "sentiment", "hour")


def test_columns_of_ones_own(storage: DuckDBDataStorage) -> None:
    filled(storage, "MSFT")
    storage.store_ohlcv_data("AAPL", DAYS.assign(Sentiment=np.arange(300.0), vwap=3.0), "test", "day")
    found = storage.panel(BOTH, ["Sentiment", "vwap(1)"], dtype="float64")
    assert found["Sentiment"][:300].tolist() == list(range(300))
    assert found["Sentiment"][300:].isna().all()
    assert found["vwap_1"][2] != 3.0  # the indicator
    storage.store_ohlcv_data("TEXT", DAYS.assign(note="up"), "test", "day")
    with pytest.raises(IndicatorError, match="the column 'note' has no numbers"):
        storage.panel("TEXT", "note")


def test_restated_bars_do_not_change_an_earlier_panel(storage: DuckDBDataStorage) -> None:
    filled(storage, "AAPL")
    before = storage.panel("AAPL", FEATURES, targets=TARGETS)
    storage.snapshot("before")
    moment = datetime.now(timezone.utc)
    table = DAYS.copy()
    table.iloc[100:, :4] *= 2
    filled(storage, "AAPL", table=table)
    for as_of in ("before", moment):
        pd.testing.assert_frame_equal(storage.panel("AAPL", FEATURES, targets=TARGETS, as_of=as_of), before)
    assert not storage.panel("AAPL", FEATURES).equals(before[storage.panel("AAPL", FEATURES).columns])
    with pytest.raises(SnapshotNotFoundError):
        storage.panel("AAPL", "close", as_of="nothing")


def test_mistakes(storage: DuckDBDataStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(storage, "AAPL")
    for wrong, message in (
        ({"features": []}, "no feature is requested: pass some, such as"),
        ({"features": "clsoe"}, "there is no indicator 'clsoe', and no column of the bars; did you mean close"),
        ({"features": "forward_return"}, "and no column of the bars; did you mean log_return"),
        ({"features": ["close"], "format": "csv"}, "'csv' is not a format: write one of pandas, polars"),
        ({"features": ["close"], "join": "left"}, "'left' is not a join: write one of outer, inner"),
        ({"features": ["close"], "dtype": "int"}, "'int' is not a dtype: write one of float64, float32"),
        ({"features": ["close"], "targets": "forward_return(5)"}, "is not a target: pass objects such as"),
        ({"features": ["timestamp"]}, "two columns of the panel have the name 'timestamp'"),
    ):  # fmt: skip
        with pytest.raises(PanelError, match=message):
            storage.panel("AAPL", **wrong)  # type: ignore[arg-type]
    for text, message in (
        ("rsii(3)", "did you mean rsi"),
        ("return(0)", "n must be a whole number"),
        (None, "None is"),
    ):
        with pytest.raises(IndicatorError, match=message):
            storage.panel("AAPL", [text])  # type: ignore[list-item]
    with pytest.raises(SeriesNotFoundError, match="MSFT"):
        storage.panel(BOTH, "close")
    with pytest.raises(ValueError, match="name at least 1 asset"):
        storage.panel([], "close")
    with pytest.raises(IndicatorError, match="'Mars' is not a time zone"):
        storage.panel("AAPL", "close", zone="Mars")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingLibraryError, match=r"needs PyTorch: pip install 'lumibot-duckdb\[torch\]'"):
        storage.panel("AAPL", "close", format="torch")


def test_without_ta_lib(storage: DuckDBDataStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The SQL macros compute the values, and what needs TA-Lib is refused before any row is read."""
    filled(storage, *BOTH)
    expected = storage.panel(BOTH, FEATURES, targets=TARGETS)
    monkeypatch.setattr(engine, "ta_lib", lambda: None)
    pd.testing.assert_frame_equal(storage.panel(BOTH, FEATURES, targets=TARGETS), expected, rtol=1e-9)
    with pytest.raises(MissingLibraryError, match="psar needs TA-Lib"):
        storage.panel(BOTH, "psar", format="reader")


def test_tensors(storage: DuckDBDataStorage) -> None:
    torch: Any = pytest.importorskip("torch")
    filled(storage, *BOTH)
    arrays = storage.panel(BOTH, FEATURES, targets=TARGETS, dtype="float32", format="numpy")
    found = storage.panel(BOTH, FEATURES, targets=TARGETS, dtype="float32", format="torch")
    assert found.values.dtype == found.target_values.dtype == torch.float32
    np.testing.assert_array_equal(found.values.numpy(), arrays.values)
    np.testing.assert_array_equal(found.target_values.numpy(), arrays.target_values)
    assert (found.assets, found.features, found.targets) == (arrays.assets, arrays.features, arrays.targets)
    assert torch.isfinite(torch.nan_to_num(found.values).sum())
