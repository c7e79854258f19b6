"""`ohlcv_data` is a contract: anyone's DuckDB reads it, and filters on it read no more than needed."""

from __future__ import annotations

import datetime as dt
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import pytest

from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.storage.api import CorporateAction
from storage.frames import minute_bars
from templates import template

pytestmark = pytest.mark.older_duckdb

COLUMNS = {
    "asset_symbol": "VARCHAR",
    "asset_type": "VARCHAR",
    "exchange": "VARCHAR",
    "timestamp": "TIMESTAMP",
    "timeframe": "VARCHAR",
    "source": "VARCHAR",
    "open": "DOUBLE",
    "high": "DOUBLE",
    "low": "DOUBLE",
    "close": "DOUBLE",
    "volume": "DOUBLE",
    "adj_close": "DOUBLE",
    "dividend": "DOUBLE",
    "split_ratio": "DOUBLE",
    "metadata": "VARCHAR",
    "created_at": "TIMESTAMP",
}


@template
def several(storage: DuckDBDataStorage) -> None:
    frame = minute_bars(rows=30).assign(dividends=0.25, stock_splits=2, adj_close=1.5, odd=1)
    storage.store_ohlcv_data("AAPL", frame, "yahoo", "minute", metadata={"file": "a.csv"})
    storage.store_ohlcv_data("AAPL", minute_bars(rows=3), "alpaca", "minute", adjustment="split")
    storage.store_ohlcv_data(("BTC", "USDT"), minute_bars(rows=4), "ccxt", "hour", exchange="kraken")


@pytest.fixture
def file(storage: DuckDBDataStorage) -> Path:
    several(storage.path)
    return storage.path


def test_its_columns_their_order_and_types(file: Path) -> None:
    with duckdb.connect(str(file), read_only=True) as connection:
        described = connection.execute("DESCRIBE ohlcv_data").fetchall()
    assert {name: kind for name, kind, *_ in described} == COLUMNS
    assert [name for name, *_ in described] == list(COLUMNS)


def test_the_view_of_labels(storage: DuckDBDataStorage) -> None:
    storage.store_ohlcv_data("AAPL", minute_bars(rows=3), "test", "minute")
    storage.label("AAPL", "index", ["S&P 500", "Dow"])
    storage.close()
    with duckdb.connect() as connection:
        connection.execute(f"ATTACH '{storage.path}' AS \"a name\" (READ_ONLY)")
        described = connection.execute('DESCRIBE "a name".asset_labels').fetchall()
        rows = connection.execute('FROM "a name".asset_labels ORDER BY value').fetchall()
    assert {name: kind for name, kind, *_ in described} == dict.fromkeys(
        ["asset_symbol", "asset_type", "exchange", "name", "value"], "VARCHAR"
    )
    assert rows == [("AAPL", "stock", "", "index", "Dow"), ("AAPL", "stock", "", "index", "S&P 500")]


@pytest.mark.parametrize("attached", [False, True])
def test_a_plain_duckdb_reads_it_under_any_name(file: Path, attached: bool) -> None:
    name = '"a name".ohlcv_data' if attached else "ohlcv_data"
    with duckdb.connect() if attached else duckdb.connect(str(file), read_only=True) as connection:
        if attached:
            connection.execute(f"ATTACH '{file}' AS \"a name\" (READ_ONLY)")
        rows = connection.execute(
            "SELECT asset_symbol, asset_type, exchange, timeframe, source, count(*) "
            f"FROM {name} GROUP BY ALL ORDER BY ALL"
        ).fetchall()
        first = connection.execute(
            'SELECT "timestamp", adj_close, dividend, split_ratio, metadata, created_at '
            f"FROM {name} WHERE source = 'yahoo' ORDER BY \"timestamp\" LIMIT 1"
        ).fetchone()
    assert rows == [
        ("AAPL", "stock", "", "minute", "alpaca:split", 3),
        ("AAPL", "stock", "", "minute", "yahoo", 30),
        ("BTC/USDT", "crypto", "kraken", "hour", "ccxt", 4),
    ]
    assert first is not None
    assert first[:5] == (dt.datetime(2024, 1, 2, 14, 30), 1.5, 0.25, 2.0, '{"file": "a.csv"}')
    assert abs(first[5] - dt.datetime.now(dt.timezone.utc).replace(tzinfo=None)) < dt.timedelta(minutes=5)


def test_it_shows_current_versions_only(storage: DuckDBDataStorage) -> None:
    frame = minute_bars(rows=10)
    storage.store_ohlcv_data("X", frame, "test", "minute")
    frame["close"] += 1
    storage.store_ohlcv_data("X", frame, "test", "minute")
    shown = storage.sql('SELECT close FROM ohlcv_data ORDER BY "timestamp"')["close"].to_pylist()
    assert shown == frame["close"].tolist()


def test_one_bar_a_time_for_every_name_type_exchange_timeframe_and_source(file: Path) -> None:
    with duckdb.connect(str(file), read_only=True) as connection:
        doubled = connection.execute(
            'SELECT 1 FROM ohlcv_data GROUP BY asset_symbol, asset_type, exchange, timeframe, source, "timestamp" '
            "HAVING count(*) > 1"
        ).fetchall()
    assert doubled == []


def test_whole_numbers_beyond_floating_point_are_rounded_in_sql_only(storage: DuckDBDataStorage) -> None:
    frame = minute_bars(rows=3)
    frame["volume"] = 2**60 + 1
    storage.store_ohlcv_data("X", frame, "test", "minute")
    assert storage.sql("SELECT DISTINCT volume FROM ohlcv_data")["volume"].to_pylist() == [float(2**60)]
    assert storage.get_historical_prices("X")["volume"].tolist() == [2**60 + 1] * 3


DIRECT = """
SELECT sum(close) FROM bar JOIN series ON current_version = version_id JOIN asset USING (asset_id)
WHERE name = 'S3' AND timeframe = 'minute'
    AND ts >= TIMESTAMP_S '2024-03-20 00:00:00' AND ts < TIMESTAMP_S '2024-03-22 00:00:00'
"""
THROUGH_VIEW = """
SELECT sum(close) FROM ohlcv_data
WHERE asset_symbol = 'S3' AND timeframe = 'minute'
    AND "timestamp" >= TIMESTAMP '2024-03-20 00:00:00' AND "timestamp" < TIMESTAMP '2024-03-22 00:00:00'
"""


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Any:
    storage = DuckDBDataStorage(tmp_path_factory.mktemp("large"))
    for i in range(5):
        storage.store_ohlcv_data(f"S{i}", minute_bars(rows=260_000, seed=i), "test", "minute")
    storage.compact()
    yield storage
    storage.close()


def rows_scanned(storage: DuckDBDataStorage, query: str) -> int:
    """Return how many bars EXPLAIN ANALYZE says were scanned."""
    plan = storage.sql(f"EXPLAIN (ANALYZE, FORMAT JSON) {query}").to_pylist()[0]["explain_value"]
    found: list[int] = []

    def look(node: Any) -> None:
        if isinstance(node, dict):
            table = (node.get("extra_info") or {}).get("Table", "") if isinstance(node.get("extra_info"), dict) else ""
            if str(table).endswith(".bar"):
                found.append(node.get("rows_scanned", node.get("operator_rows_scanned")))
            for value in node.values():
                look(value)
        elif isinstance(node, list):
            for value in node:
                look(value)

    look(json.loads(plan))
    assert found, plan
    return sum(found)


def test_a_filter_on_symbol_and_time_scans_what_a_direct_query_scans(large: DuckDBDataStorage) -> None:
    direct, view = (rows_scanned(large, query) for query in (DIRECT, THROUGH_VIEW))
    assert large.sql(DIRECT).to_pylist()[0] == large.sql(THROUGH_VIEW).to_pylist()[0]
    assert direct <= 3 * 122_880
    if duckdb.__version__.startswith("1."):
        # There, a filter on "timestamp" does not choose row groups; docs/sql.md says what to write.
        assert view <= 4 * 122_880
    else:
        assert view == direct


def examples() -> list[str]:
    page = (Path(__file__).parents[2] / "docs" / "sql.md").read_text()
    return re.findall(r"```sql\n(.*?)```", page, re.DOTALL)


def test_the_page_on_sql_has_examples() -> None:
    assert len(examples()) >= 5


@pytest.mark.parametrize("query", examples())
def test_every_example_of_the_page_on_sql_runs(
    storage: DuckDBDataStorage, query: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for symbol in ("AAPL", "MSFT"):
        frame = minute_bars(rows=800)
        storage.store_ohlcv_data(symbol, frame, "polygon", "minute", metadata={"file": "a.csv"})
        storage.store_ohlcv_data(symbol, minute_bars(rows=60, freq="D"), "yahoo", "day")
    storage.record_corporate_actions("AAPL", [CorporateAction(dt.date(2024, 1, 12), 1, 4)], "yahoo")
    chain = {"Chains": {"CALL": {"2024-01-19": [470, 472.5]}, "PUT": {}}}
    storage.store_option_chain("SPY", chain, "polygon", dt.date(2024, 1, 16))
    storage.label(["AAPL", "MSFT"], "sector", "Technology")
    monkeypatch.chdir(tmp_path)
    Path("sectors.csv").write_text("asset_symbol,sector\nAAPL,Technology\nMSFT,Technology\n")
    reads_files = ".csv" in query
    if reads_files:
        with pytest.raises(ValueError, match="--allow-files"):
            storage.sql(query)
    assert storage.sql(query, allow_files=reads_files).num_rows > 0


def test_another_program_reads_it_once_this_process_has_let_go_of_the_file(storage: DuckDBDataStorage) -> None:
    storage.store_ohlcv_data("X", minute_bars(rows=30), "test", "minute")
    storage.close()
    query = "SELECT count(*) FROM ohlcv_data"
    code = f"import duckdb, sys; print(*duckdb.connect(sys.argv[1]).execute({query!r}).fetchone())"
    done = subprocess.run([sys.executable, "-c", code, str(storage.path)], capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr) == ("30", "")
    assert len(storage.get_historical_prices("X")) == 30
