"""The macros for several assets, against pandas and the methods of the same names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest

from lumibot_duckdb import DuckDBDataStorage
from storage.macros.bars import flat, walk

pytestmark = pytest.mark.older_duckdb

NAMES = ["SPY", "QQQ", "GAPS", "BTC/USD"]
PYTHON_NAMES = [*NAMES[:3], ("BTC", "USD")]


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DuckDBDataStorage]:
    days = walk(300, "2022-01-03", "B", 5, 1.0)
    with DuckDBDataStorage(tmp_path_factory.mktemp("cross")) as made:
        made.store_ohlcv_data("SPY", days, "test", "day")
        other = walk(300, "2022-01-03", "B", 6, 1.0)
        other.iloc[200:215, other.columns.get_loc("close")] = 0.1  # halted
        made.store_ohlcv_data("QQQ", other, "test", "day")
        gaps = walk(300, "2022-01-03", "B", 7, 1.0)
        gaps.iloc[17, gaps.columns.get_loc("close")] = np.nan
        made.store_ohlcv_data("GAPS", gaps[np.random.default_rng(1).uniform(size=300) > 0.2], "test", "day")
        exchange = walk(450, "2022-01-01", "D", 8, 1.0)
        exchange.index = exchange.index.tz_localize(None).tz_localize("UTC")
        made.store_ohlcv_data(("BTC", "USD"), exchange, "exchange", "day")
        made.store_ohlcv_data("FLAT", flat(120).set_index(days.index[:120]), "test", "day")
        for place, symbol in enumerate(("ES", "NQ")):
            made.store_ohlcv_data(symbol, walk(500, seed=place), "test", "minute")
        yield made


@pytest.fixture(scope="module")
def client(storage: DuckDBDataStorage) -> Iterator[duckdb.DuckDBPyConnection]:
    path: Path = storage.path
    storage.close()
    with duckdb.connect(str(path), read_only=True, config={"threads": 1}) as connection:
        yield connection


def new_york(column: pd.Series) -> list[pd.Timestamp]:
    return column.dt.tz_localize("UTC").dt.tz_convert("America/New_York").tolist()


@pytest.mark.parametrize("method", ["returns", "log_returns", "differences", "prices"])
def test_matrices(storage: DuckDBDataStorage, method: str) -> None:
    found = storage.sql(f"FROM correlation({NAMES}, method := '{method}')").to_pandas()
    for measure in ("correlation", "covariance"):
        wanted = getattr(storage, measure)(PYTHON_NAMES, method=method)
        matrix = found.pivot(index="asset_symbol", columns="other_symbol", values=measure).loc[NAMES, NAMES]
        np.testing.assert_allclose(matrix, wanted, rtol=1e-9)
    rows = storage.closes(PYTHON_NAMES)
    assert set(found["bars"]) == {len(rows) - (method != "prices")}


def test_beta(storage: DuckDBDataStorage) -> None:
    found = storage.sql(f"FROM beta({NAMES[1:]}, 'SPY')").to_pandas().set_index("asset_symbol").loc[NAMES[1:]]
    np.testing.assert_allclose(found, storage.beta(PYTHON_NAMES[1:], "SPY"), rtol=1e-9)
    one = storage.sql("FROM beta('SPY', 'SPY')").to_pylist()[0]
    assert (one["asset_symbol"], one["beta"], one["bars"]) == ("SPY", pytest.approx(1), 299)


def test_windows(storage: DuckDBDataStorage) -> None:
    for other, python_other in (("QQQ", "QQQ"), ("BTC/USD", ("BTC", "USD"))):
        found = storage.sql(f"FROM rolling_correlation('SPY', '{other}', n := 10) ORDER BY ALL").to_pandas()
        wanted = storage.correlation(["SPY", python_other], window=10)
        assert new_york(found["timestamp"]) == wanted["timestamp"].tolist()
        np.testing.assert_allclose(found["correlation"], wanted["correlation"], rtol=1e-7)
        assert found["correlation"].isna().sum() == (5 if other == "QQQ" else 0)
        found = storage.sql(f"FROM rolling_beta('{other}', 'SPY', n := 10) ORDER BY ALL").to_pandas()
        wanted = storage.beta(python_other, "SPY", window=10)
        for name in ("beta", "alpha", "correlation"):
            np.testing.assert_allclose(found[name], wanted[name], rtol=1e-7, atol=1e-12)


def test_spread(storage: DuckDBDataStorage) -> None:
    found = storage.sql("FROM spread('SPY', 'GAPS', n := 15, hedge_ratio := 0.7) ORDER BY ALL").to_pandas()
    wanted = storage.spread("SPY", "GAPS", window=15, hedge_ratio=0.7)
    assert new_york(found["timestamp"]) == wanted.index.tolist()
    np.testing.assert_allclose(found.drop(columns="timestamp"), wanted, rtol=1e-8, atol=1e-9)


def test_minutes_and_larger_bars(storage: DuckDBDataStorage) -> None:
    for timeframe in ("minute", "5 minutes", "hour"):
        found = storage.sql(f"FROM correlation(['ES', 'NQ'], timeframe := '{timeframe}')").to_pylist()
        python = storage.correlation(["ES", "NQ"], timeframe.removesuffix("s").replace(" ", ""))
        values = [row["correlation"] for row in found if row["asset_symbol"] != row["other_symbol"]]
        assert values == pytest.approx([python.loc["ES", "NQ"]] * 2, rel=1e-9)


def test_what_does_not_change(storage: DuckDBDataStorage) -> None:
    found = storage.sql("FROM correlation(['SPY', 'FLAT'])").to_pylist()
    assert [row["correlation"] for row in found if "FLAT" in row.values()] == [None] * 3
    assert storage.sql("SELECT beta FROM beta('SPY', 'FLAT')").to_pylist() == [{"beta": None}]
    rolling = storage.sql("FROM rolling_correlation('SPY', 'FLAT', n := 5)")
    assert (rolling.num_rows, rolling["correlation"].null_count) == (115, 115)
    spread = storage.sql("FROM spread('FLAT', 'FLAT', n := 5)")
    assert spread["spread_zscore"].null_count == spread.num_rows == 120


def test_a_client(client: duckdb.DuckDBPyConnection) -> None:
    assert client.execute("SELECT count(*) FROM rolling_correlation('SPY', 'QQQ')").fetchall() == [(200,)]
    for query, message in (
        ("FROM correlation(['SPY', 'NONE'])", "the store has no bars of NONE"),
        ("FROM correlation(['SPY', 'QQQ'], method := 'x')", "'x' is not a method: write 'returns', 'log_returns', "),
        ("FROM rolling_correlation('SPY', 'QQQ', n := 1)", "must be a whole number from 2"),
        ("FROM rolling_beta('SPY', 'QQQ', n := 1.5)", "must be a whole number from 2"),
        ("FROM spread('SPY', 'QQQ', n := 0)", "must be a whole number from 2"),
    ):
        with pytest.raises(duckdb.InvalidInputException, match=message):
            client.execute(query)
    assert client.execute("FROM correlation(['SPY', 'ES'], timeframe := 'day')").fetchall() == []
