"""Parquet, Feather and Arrow files, as pandas, polars and others write them."""

from __future__ import annotations

import datetime as dt
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pyarrow.ipc
import pyarrow.parquet
import pytest

from cli.files import DATA, Command

NY = "America/New_York"


def frame(zone: str | None = "UTC", periods: int = 5, freq: str = "min") -> pd.DataFrame:
    index = pd.date_range("2024-01-02 14:30", periods=periods, freq=freq, tz=zone)
    close = np.arange(periods) + 100.25
    return pd.DataFrame(
        {"open": close, "high": close + 1, "low": close - 1, "close": close, "volume": np.arange(periods) + 5}, index
    )


def check(command: Command, expected: pd.DataFrame, asset: str = "AAPL", timeframe: str = "minute") -> None:
    stored = command.bars(asset, timeframe).tz_convert("UTC")
    pd.testing.assert_frame_equal(stored, expected.tz_convert("UTC"), check_names=False, check_freq=False)


def _feather(data: pd.DataFrame, path: Path) -> None:
    data.rename_axis("time").reset_index().to_feather(path)


def _arrow_stream(data: pd.DataFrame, path: Path) -> None:
    table = pa.Table.from_pandas(data)
    with pa.ipc.new_stream(path, table.schema) as writer:
        writer.write_table(table, max_chunksize=2)


def _feather_1(data: pd.DataFrame, path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        pyarrow.feather.write_feather(data.rename_axis("time").reset_index(), str(path), version=1)


WRITERS: dict[str, tuple[str, Callable[[pd.DataFrame, Path], None]]] = {
    "pandas, unnamed index": ("AAPL.parquet", lambda data, path: data.to_parquet(path)),
    "pandas, named index": ("AAPL.parquet", lambda data, path: data.rename_axis("Date").to_parquet(path)),
    "pandas, no index": ("AAPL.parquet", lambda data, path: data.rename_axis("ts").reset_index().to_parquet(path)),
    "small row groups": ("AAPL.parquet", lambda data, path: data.to_parquet(path, row_group_size=2)),
    "microseconds": ("AAPL.pq", lambda data, path: data.set_axis(data.index.as_unit("us")).to_parquet(path)),
    "feather": ("AAPL.feather", _feather),
    "feather's first version": ("AAPL.ftr", _feather_1),
    "arrow stream": ("AAPL.arrow", _arrow_stream),
    "a wrong suffix": ("AAPL.csv", lambda data, path: data.to_parquet(path)),
}


@pytest.mark.parametrize("writer", WRITERS)
def test_times_with_a_zone_go_in_as_they_are(command: Command, writer: str) -> None:
    name, write = WRITERS[writer]
    write(frame("Europe/Berlin"), command.folder / name)
    ended = command("import", name)
    assert ended.code == 0, ended.out
    check(command, frame("Europe/Berlin"))


@pytest.mark.parametrize("writer", WRITERS)
def test_times_without_a_zone_need_one(command: Command, writer: str) -> None:
    name, write = WRITERS[writer]
    write(frame(None), command.folder / name)
    ended = command("import", name)
    assert ended.code == 1
    assert "--timezone" in ended.out
    assert command("import", name, "--timezone", NY).code == 0
    check(command, frame(NY))


def test_dates_of_a_typed_column_are_midnight_in_new_york(command: Command) -> None:
    days = [dt.date(2024, 1, 2), dt.date(2024, 1, 3)]
    table = pa.table({"Date": days, "Open": [1.0, 2.0], "High": [2.0, 2.0], "Low": [1.0, 1.0], "Close": [1.0, 2.0]})
    pa.parquet.write_table(table, command.folder / "AAPL.parquet")
    assert command("import", "AAPL.parquet").code == 0
    assert [time.isoformat() for time in command.bars(timeframe="day").index] == [
        "2024-01-02T00:00:00-05:00",
        "2024-01-03T00:00:00-05:00",
    ]


def test_daily_time_stamps_at_midnight_without_a_zone_are_dates(command: Command) -> None:
    daily = frame(None, freq="D").set_axis(pd.date_range("2024-07-01", periods=5, freq="D"))
    daily.to_parquet(command.folder / "AAPL.parquet")
    assert command("import", "AAPL.parquet").code == 0
    check(command, daily.tz_localize(NY), timeframe="day")


@pytest.mark.parametrize(
    "times",
    [
        pa.array([1704205800, 1704205860]),
        pa.array([1704205800.0, 1704205860.0]),
        pa.array(["2024-01-02T14:30:00Z", "2024-01-02T14:31:00Z"]),
        pa.array(["2024-01-02T14:30:00Z", "2024-01-02T14:31:00Z"]).dictionary_encode(),
        pa.array(["2024-01-02T14:30:00Z", "2024-01-02T14:31:00Z"], pa.large_string()),
        pa.array([1704205800000, 1704205860000], pa.timestamp("ms", "UTC")),
    ],
    ids=lambda array: str(array.type),
)
def test_times_of_any_type_are_read(command: Command, times: pa.Array) -> None:
    prices = {name: [1.0, 1.0] for name in ("open", "high", "low", "close")}
    pa.parquet.write_table(pa.table({"timestamp": times, **prices}), command.folder / "AAPL.parquet")
    assert command("import", "AAPL.parquet").code == 0
    assert list(command.bars().index.tz_convert("UTC")) == list(frame(periods=2).index)


def test_typed_prices_become_the_same_doubles(command: Command) -> None:
    table = pa.table(
        {
            "time": pa.array([1704205800], pa.timestamp("s", "UTC")),
            "open": pa.array([644.85], pa.float32()),
            "high": pa.array(["700.1"]),
            "low": pa.array([600]),
            "close": pa.array(["644.85"]).cast(pa.decimal128(12, 4)),
            "volume": pa.array([2**53]),
        }
    )
    pa.parquet.write_table(table, command.folder / "AAPL.parquet")
    assert command("import", "AAPL.parquet", "--timeframe", "minute").code == 0
    bar = command.bars().iloc[0]
    assert bar["open"] == float(np.float32(644.85))
    assert (bar["high"], bar["low"], bar["close"], bar["volume"]) == (700.1, 600.0, 644.85, 2**53)
    assert command.bars()["volume"].dtype == "int64"


def test_symbols_in_a_column_in_any_order_are_distinguished(command: Command) -> None:
    parts = [frame(periods=50).assign(Ticker=symbol, close=100.5 + i) for i, symbol in enumerate(("aapl", "MSFT", "X"))]
    mixed = pd.concat(parts).rename_axis("t").reset_index().sample(frac=1, random_state=1)
    mixed.assign(high=200.0).to_parquet(command.folder / "mixed.parquet", row_group_size=40)
    ended = command("import", "mixed.parquet")
    assert ended.code == 0, ended.out
    assert command.bars("AAPL")["close"].tolist() == [100.5] * 50
    assert command.bars("MSFT")["close"].tolist() == [101.5] * 50
    assert list(command.bars("X").index.tz_convert("UTC")) == list(frame(periods=50).index)
    assert "3 assets, 150 rows = 150 new" in ended.out


def test_one_symbol_for_a_file_with_several_is_refused(command: Command) -> None:
    pd.concat([frame().assign(symbol=symbol) for symbol in ("A", "B")]).to_parquet(command.folder / "two.parquet")
    ended = command("import", "two.parquet", "--symbol", "SPY")
    assert ended.code == 1
    assert "its column symbol has A and B; --symbol SPY cannot be both" in ended.out
    assert not command.store.exists()


def test_an_epoch_unit_is_for_numbers_only(command: Command) -> None:
    frame().to_parquet(command.folder / "AAPL.parquet")
    assert command("import", "AAPL.parquet", "--epoch", "ms").code == 0
    check(command, frame())


def test_symbols_of_american_stocks_lose_the_mark_that_they_are(command: Command) -> None:
    frame().assign(ticker="aapl.us").to_parquet(command.folder / "x.parquet")
    assert command("import", "x.parquet").code == 0
    check(command, frame())


def test_one_symbol_may_rename_the_one_in_the_file(command: Command) -> None:
    frame().assign(symbol="spy.us").to_parquet(command.folder / "x.parquet")
    assert command("import", "x.parquet", "--symbol", "spy").code == 0
    check(command, frame(), "SPY")


@pytest.mark.parametrize(
    ("name", "asset", "timeframe"),
    [
        ("us_equities_daily", "IBM", "day"),
        ("us_equities_minute", "SPY", "minute"),
        ("crypto_minute", "BTC-PERP", "minute"),
        ("forex_minute", "GBPUSD", "minute"),
    ],
)
def test_real_files_are_imported_unchanged(command: Command, name: str, asset: str, timeframe: str) -> None:
    file = DATA / f"{name}.parquet"
    if not file.exists():
        pytest.skip("the shared data is not here")
    ended = command("import", file)
    assert ended.code == 0, ended.out
    expected = pd.read_parquet(file).query("symbol == @asset").drop(columns="symbol")
    times = pd.to_datetime(expected.pop("ts" if "ts" in expected else "date"))
    index = pd.DatetimeIndex(times).as_unit("ns")
    expected.index = index if index.tz is not None else index.tz_localize(NY)
    stored = command.bars(asset, timeframe)
    pd.testing.assert_frame_equal(
        stored, expected.tz_convert(NY), check_names=False, check_freq=False, check_index_type=False
    )


def test_a_real_file_that_has_no_bars_is_refused(command: Command) -> None:
    file = DATA / "us_equities_factors.parquet"
    if not file.exists():
        pytest.skip("the shared data is not here")
    ended = command("import", file)
    assert ended.code == 1
    assert "no column recognised for open, high, low, close" in ended.out
