"""What macros return for missing values, flat prices, no volume, few bars, and for wrong arguments."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hypothesis_settings import examples
from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.storage import macros, migrations
from storage.macros.bars import utc, walk
from storage.macros.comparison import call

pytestmark = pytest.mark.older_duckdb

CROSS_ASSET = {
    *("correlation", "rolling_correlation", "beta", "rolling_beta", "spread"),
    *("joined_closes", "joined_changes", "paired_changes", "paired_windows", "by_label"),
}
"""Macros on several assets, which `test_cross_asset.py` and `test_by_label.py` test."""
HELPERS = {"chosen_series", "numbered_bars", "ranged_bars", "repeated_averages"}
INDICATORS = sorted(
    name
    for kind, _, name in (macro.rpartition(" ") for macro in macros.defined())
    if kind == "MACRO TABLE"
    if name not in {*HELPERS, *CROSS_ASSET, "resample"}
)
NO_NUMBERS = ("obv", "drawdown", "pivot_points", "vwap_session")
ZERO = (
    "rsi",
    "cci",
    "williams_r",
    "mfi",
    "roc",
    "momentum",
    "trix",
    "atr",
    "natr",
    "volatility",
    "parkinson",
    "drawdown",
)


@pytest.mark.parametrize("name", INDICATORS)
def test_one_row_for_each_bar_even_if_these_are_few(client: duckdb.DuckDBPyConnection, name: str) -> None:
    found = call(client, name, "SHORT", "minute")
    assert len(found) == 3
    if name not in ("obv", "drawdown", "vwap_session"):
        assert found.drop(columns=["asset_symbol", "timestamp", "close"]).isna().all(axis=None)


@pytest.mark.parametrize("name", INDICATORS)
def test_flat_prices_without_volume(client: duckdb.DuckDBPyConnection, name: str) -> None:
    found = call(client, name, "FLAT", "minute").drop(columns=["asset_symbol", "timestamp"])
    assert not np.isinf(found.to_numpy(np.float64)).any()
    last = found.iloc[-1].to_dict()
    assert last.pop("close") == 0.1
    if name in ZERO:
        assert last == pytest.approx({name: 0.0}, abs=1e-12)
    if name in ("stochastic", "fast_stochastic", "stoch_rsi"):
        assert last == {"k": 0.0, "d": 0.0}
    if name in ("vwap", "vwap_session", "zscore"):
        assert np.isnan(last[name])
    if name == "bollinger":
        assert last["lower"] == last["middle"] == last["upper"] == pytest.approx(0.1)
        assert np.isnan(last["percent_b"])
        assert last["bandwidth"] == 0
    if name == "adx":
        assert last == {"adx": 0.0, "plus_di": 0.0, "minus_di": 0.0}
    if name == "aroon":
        assert last == {"down": 100.0, "up": 100.0, "oscillator": 0.0}


@pytest.fixture(scope="module")
def gappy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a store with the same bars, with a few that have no close (X), and without those (Y)."""
    bars = walk(400)
    closed = np.arange(400) % 97 != 5
    missing = bars.assign(close=bars.close.where(closed), volume=bars.volume.where(np.arange(400) % 50 != 7))
    partial = missing.assign(high=missing.high.where(np.arange(400) % 60 != 9))
    filled = missing.assign(high=partial.high.fillna(missing.close))[closed]
    no_volume = bars.drop(columns="volume")
    impossible = bars.assign(close=bars.close * np.where(np.arange(400) % 80 == 3, -1, 1), low=0.0)
    with DuckDBDataStorage(tmp_path_factory.mktemp("gappy")) as storage:
        for symbol, frame in {"X": partial, "Y": filled, "NOVOLUME": no_volume, "BELOW": impossible}.items():
            storage.store_ohlcv_data(symbol, frame, "test", "minute")
    return storage.path


@pytest.mark.parametrize("name", INDICATORS)
def test_a_bar_without_a_close_is_missing_and_a_missing_high_is_the_close(gappy: Path, name: str) -> None:
    with duckdb.connect(str(gappy), read_only=True) as connection:
        found, expected = (call(connection, name, symbol, "minute").drop(columns="asset_symbol") for symbol in "XY")
    pd.testing.assert_frame_equal(found, expected)


@pytest.mark.parametrize("name", ["vwap", "vwap_session", "mfi", "obv"])
def test_bars_that_have_no_volume(gappy: Path, name: str) -> None:
    with duckdb.connect(str(gappy), read_only=True) as connection:
        assert call(connection, name, "NOVOLUME", "minute")[name].isna().all()


@pytest.mark.parametrize("name", INDICATORS)
def test_prices_of_zero_and_below(gappy: Path, name: str) -> None:
    with duckdb.connect(str(gappy), read_only=True) as connection:
        found = call(connection, name, "BELOW", "minute")
    assert len(found) == 400
    assert not np.isinf(found.drop(columns=["asset_symbol", "timestamp"]).to_numpy(np.float64)).any()


@pytest.mark.parametrize("n", [0, -1, 2.5, 100_001, None])
@pytest.mark.parametrize("name", ["sma", "ema", "rsi", "trix", "atr", "macd"])
def test_a_length_that_is_none(client: duckdb.DuckDBPyConnection, name: str, n: Any) -> None:
    text = "NULL" if n is None else n
    query = f"FROM {name}('WALK', timeframe := 'minute', {'slow' if name == 'macd' else 'n'} := {text})"
    with pytest.raises(duckdb.InvalidInputException, match=r"must be a whole number from \d to 100000, not \["):
        client.execute(query)


@pytest.mark.parametrize("k", ["0", "-2", "1001", "'nan'::DOUBLE", "'inf'::DOUBLE", "NULL"])
@pytest.mark.parametrize("name", ["bollinger", "keltner"])
def test_a_factor_that_is_none(client: duckdb.DuckDBPyConnection, name: str, k: str) -> None:
    with pytest.raises(duckdb.InvalidInputException, match=r"k must be a number from 0\.0001 to 1000, not"):
        client.execute(f"FROM {name}('WALK', timeframe := 'minute', k := {k})")


@pytest.mark.parametrize(
    "symbols", ["NULL", "[]", "NULL::VARCHAR[]", "(SELECT list(name) FROM asset WHERE name = '?')"]
)
@pytest.mark.parametrize(
    "call", ["rsi({})", "resample({}, 'day')", "correlation({})", "resample({}, 'day', session := '9:30-16:00')"]
)
def test_no_symbol(client: duckdb.DuckDBPyConnection, call: str, symbols: str) -> None:
    with pytest.raises(duckdb.InvalidInputException, match="no symbol is given: write one, or a list"):
        client.execute(f"FROM {call.format(symbols)}")


@pytest.mark.parametrize(
    "call", ["rsi('DAILY', timeframe := NULL)", "resample('DAILY', NULL)", "correlation(['DAILY', 'WALK'], NULL)"]
)
def test_no_timeframe(client: duckdb.DuckDBPyConnection, call: str) -> None:
    with pytest.raises(duckdb.InvalidInputException, match="'NULL' is not a timeframe"):
        client.execute(f"FROM {call}")


def test_a_series_that_is_not_there(client: duckdb.DuckDBPyConnection) -> None:
    with pytest.raises(
        duckdb.InvalidInputException, match="the store has no bars of NONE of which bars of 'day' can be"
    ):
        client.execute("FROM rsi(['DAILY', 'NONE'])")
    with pytest.raises(
        duckdb.InvalidInputException, match="of DAILY of which bars of 'hour' can be made in the source x"
    ):
        client.execute("FROM rsi('DAILY', timeframe := 'hour', source := 'x')")


def test_several_series_of_one_symbol(client: duckdb.DuckDBPyConnection) -> None:
    expected = (
        r"TWICE has several series with bars of 'minute': one \(stock\), two \(stock\). Choose one with source :="
    )
    with pytest.raises(duckdb.InvalidInputException, match=expected):
        client.execute("FROM sma('TWICE', timeframe := '5 minutes')")
    found = client.execute("FROM sma('TWICE', timeframe := 'minute', source := 'two', asset_type := 'stock')").df()
    assert len(found) == 30


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in ("adx", "cci", "pivot_points", "trix") else pytest.mark.long)
        for name in INDICATORS
    ],
)
def test_several_symbols_in_one_call(client: duckdb.DuckDBPyConnection, name: str) -> None:
    query = f"FROM {name}(['WALK', 'HALTED'], timeframe := '3 minutes') ORDER BY asset_symbol, \"timestamp\""
    each = [call(client, name, symbol, "3 minutes") for symbol in ("HALTED", "WALK")]
    pd.testing.assert_frame_equal(client.execute(query).df(), pd.concat(each, ignore_index=True))


ROWS = st.lists(st.sampled_from([0.1, 1.0, 2.0, 3.0]), min_size=2, max_size=60)


@given(closes=ROWS, cut=st.integers(1, 59), name=st.sampled_from(INDICATORS))
@examples(30)
def test_no_value_depends_on_a_later_bar(closes: list[float], cut: int, name: str) -> None:
    cut = min(cut, len(closes) - 1)
    bars = walk(len(closes)).assign(close=closes)
    bars = bars.assign(high=bars[["open", "close"]].max(axis=1), low=bars[["open", "close"]].min(axis=1))
    changed = bars.copy()
    changed.iloc[cut:] = 7 - changed.iloc[cut:]
    short = (
        ""
        if name in NO_NUMBERS
        else {"macd": ", fast := 2, slow := 4, signal := 3", "ichimoku": ", conversion := 2, base := 3, span := 5"}.get(
            name, ", n := 3"
        )
    )
    query = f"FROM {name}('X', timeframe := 'minute'{short}) ORDER BY \"timestamp\" LIMIT {cut}"
    found = []
    for frame in (bars, changed, bars.iloc[:cut]):
        fill(scratch(), frame)
        found.append(scratch().execute(query).df())
    assert len(found[0]) == cut
    for other in found[1:]:
        pd.testing.assert_frame_equal(found[0], other, rtol=1e-12, atol=1e-12)


@cache
def scratch() -> duckdb.DuckDBPyConnection:
    """Return a database in memory with the tables and macros of a store, and a series."""
    connection = duckdb.connect(config={"threads": 1})
    for script in (*(script for _, script in migrations.scripts()), macros.definitions()):
        connection.execute(script.replace("{db}", "memory"))
    connection.execute("INSERT INTO asset VALUES (1, 'X', 'X', 'stock', NULL, '', NULL, NULL, NULL, 1, NULL)")
    connection.execute("INSERT INTO series VALUES (1, 1, 'test', 'minute', '', 1, TIMESTAMP '2024-01-01')")
    return connection


def fill(connection: duckdb.DuckDBPyConnection, bars: pd.DataFrame) -> None:
    """Replace the bars of the series."""
    connection.execute("DELETE FROM bar")
    connection.register("rows", bars.reset_index(drop=True).assign(ts=utc(bars)))
    connection.execute(
        "INSERT INTO bar BY NAME SELECT 1 AS version_id, CAST(CAST(ts AS TIMESTAMP) AS TIMESTAMP_S) AS ts, "
        "open, high, low, close, volume, 1 AS ingest_id FROM rows"
    )
