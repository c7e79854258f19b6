"""An export of `ohlcv_data` is imported as the same series, without options."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.files import Command
from lumibot_duckdb.duckdb_storage import DuckDBDataStorage
from lumibot_duckdb.storage.api import AssetKey, SeriesKey
from lumibot_duckdb.storage.identity import asset_of_published_name, published_name

CALL = AssetKey("SPY", "option", expiration=dt.date(2024, 1, 19), strike=470.0, right="CALL")
SERIES = [
    SeriesKey(AssetKey("AAPL"), "polygon", "minute"),
    SeriesKey(AssetKey("AAPL"), "polygon", "day"),
    SeriesKey(AssetKey("AAPL"), "alpaca", "day", "split"),
    SeriesKey(AssetKey("ETH", "crypto", "BTC"), "ccxt", "hour"),
    SeriesKey(AssetKey("ETH", "crypto", "BTC", "kraken"), "ccxt", "hour"),
    SeriesKey(AssetKey("EUR", "forex", "USD"), "import", "5minute"),
    SeriesKey(CALL, "polygon", "minute"),
    SeriesKey(AssetKey("ES", "future", expiration=dt.date(2024, 3, 15), multiplier=50.0), "import", "minute"),
    SeriesKey(AssetKey("NQ", "future", auto_expiry="front_month"), "import", "minute"),
    SeriesKey(AssetKey("SPX", "index"), "import", "month"),
]
_STEPS = {"minute": "min", "5minute": "5min", "hour": "h", "day": "D", "month": "MS"}


def frame_of(key: SeriesKey, number: int) -> pd.DataFrame:
    times = pd.date_range("2024-01-02 05:00", periods=4, freq=_STEPS[key.timeframe], tz="UTC")
    prices = np.arange(4) + 100.125 + number
    frame = pd.DataFrame({"open": prices, "high": prices + 1, "low": prices - 1, "close": prices + 0.1}, index=times)
    frame["volume"] = np.arange(4) + 0.5
    if key.source == "alpaca":
        frame["dividend"] = [0.0, 0.25, 0.0, 0.0]
    if key.asset.symbol == "SPX":
        frame = frame.drop(columns="volume")
    return frame


def fill(storage: DuckDBDataStorage) -> None:
    """Store all series, and leave the file to other programs."""
    for number, key in enumerate(SERIES):
        storage.store_ohlcv_data(key.asset, frame_of(key, number), key.source, key.timeframe, adjustment=key.adjustment)
    storage.close()


def export_csv(command: Command, target: Path) -> None:
    target.with_suffix(".csv").write_text(command("sql", "--csv", "FROM ohlcv_data").out)


def copy_to(form: str) -> object:
    def export(command: Command, target: Path) -> None:
        with duckdb.connect(str(command.store), read_only=True) as duck:
            duck.execute(f"COPY (FROM ohlcv_data) TO '{target}' ({form})")

    return export


EXPORTS = {
    "sql --csv": export_csv,
    "COPY to CSV": copy_to("FORMAT csv"),
    "COPY to Parquet": copy_to("FORMAT parquet"),
    "COPY to partitions": copy_to("FORMAT parquet, PARTITION_BY (asset_symbol, timeframe)"),
}


@pytest.mark.parametrize("export", EXPORTS)
def test_an_export_becomes_the_same_series_in_another_store(command: Command, tmp_path: Path, export: str) -> None:
    fill(command.storage())
    EXPORTS[export](command, tmp_path / "exported")  # type: ignore[operator]
    (exported,) = tmp_path.glob("exported*")
    ended = command("import", exported, "--to", "other")
    assert ended.code == 0, ended.out
    other = DuckDBDataStorage(tmp_path / "other")
    assert {info.key for info in other.list_series()} == set(SERIES)
    for number, key in enumerate(SERIES):
        bars = other.get_historical_prices(
            key.asset, timeframe=key.timeframe, source=key.source, adjustment=key.adjustment
        )
        pd.testing.assert_frame_equal(
            bars.tz_convert("UTC"), frame_of(key, number), check_names=False, check_freq=False, check_index_type=False
        )


def test_an_export_into_its_own_store_changes_nothing(command: Command, tmp_path: Path) -> None:
    fill(command.storage())
    export_csv(command, tmp_path / "exported")
    ended = command("import", "exported.csv")
    assert ended.code == 0, ended.out
    assert "40 rows = 0 new + 0 changed + 40 unchanged" in ended.out


def test_options_have_precedence_over_what_an_export_says(command: Command, tmp_path: Path) -> None:
    command.storage().store_ohlcv_data(AssetKey("AAPL"), frame_of(SERIES[0], 0), "polygon", "minute")
    export_csv(command, tmp_path / "exported")
    assert command("import", "exported.csv", "--source", "mine", "--adjustment", "all").code == 0
    keys = [info.key for info in command.storage().list_series()]
    assert SeriesKey(AssetKey("AAPL"), "mine", "minute", "all") in keys
    ended = command("import", "exported.csv", "--timezone", "Asia/Tokyo")
    assert "says UTC, which contradicts --timezone Asia/Tokyo" in ended.out


def test_an_export_with_a_name_that_is_none_is_refused(command: Command, tmp_path: Path) -> None:
    header = "asset_symbol,asset_type,exchange,timestamp,timeframe,source,open,high,low,close,volume"
    (tmp_path / "x.csv").write_text(f"{header}\nSPY,option,,2024-01-02 14:30:00,minute,polygon,1,1,1,1,1\n")
    ended = command("import", "x.csv")
    assert ended.code == 1
    assert "it is an export of ohlcv_data, but the option SPY" in ended.out


_SYMBOLS = st.from_regex(r"[A-Z0-9^$][A-Z0-9.^=$&\-]{0,9}", fullmatch=True)
_ASSETS = st.one_of(
    st.builds(AssetKey, _SYMBOLS, st.sampled_from(["stock", "index", "cont_future"])),
    st.builds(
        AssetKey, _SYMBOLS, st.sampled_from(["crypto", "forex", "crypto_future"]), st.sampled_from(["USD", "BTC"])
    ),
    st.builds(
        AssetKey,
        _SYMBOLS,
        st.just("option"),
        expiration=st.dates(dt.date(1990, 1, 1), dt.date(2060, 1, 1)),
        strike=st.integers(1, 10**8).map(lambda thousandths: thousandths / 1000),
        right=st.sampled_from(["CALL", "PUT"]),
        multiplier=st.sampled_from([100.0, 10.0, 1.0]),
    ),
    st.builds(
        AssetKey,
        _SYMBOLS,
        st.just("future"),
        expiration=st.dates(dt.date(1990, 1, 1), dt.date(2060, 1, 1)),
        multiplier=st.sampled_from([1.0, 50.0, 0.1]),
    ),
    st.builds(AssetKey, _SYMBOLS, st.just("future"), auto_expiry=st.sampled_from(["front_month", "auto"])),
)


@given(_ASSETS)
def test_the_published_name_of_an_asset_names_it(asset: AssetKey) -> None:
    assert asset_of_published_name(published_name(asset), asset.asset_type, asset.exchange) == asset


@pytest.mark.parametrize("name", ["", "SPY 2024-13-40"])
def test_what_is_no_published_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"ohlcv_data|not a date"):
        asset_of_published_name(name, "future", "")
