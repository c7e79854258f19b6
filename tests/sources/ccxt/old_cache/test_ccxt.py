"""Lumibot's CCXT files migrated to a store: offline backtests on it equal Lumibot's on its own cache."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest
from lumibot.entities import Asset
from lumibot.tools import ccxt_data_store

from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.backtesting import CcxtBacktesting
from lumibot_duckdb.sources.ccxt.old_cache.reader import CcxtReader
from lumibot_duckdb.sources.ccxt.price_rounding import STORED
from lumibot_duckdb.sources.shared.old_cache.errors import LeftAloneError, MigrationError
from migration.moving import moved, snapshot
from parity.backtests import assert_same_result, run
from parity.harness import assert_same_frame
from parity.strategies import Crossing
from sources.ccxt.binance_server import KLINES, BinanceServer
from sources.ccxt.market import DOLLAR, moment, spring
from sources.ccxt.sides import Side, both_sides

pytestmark = [pytest.mark.older_duckdb, pytest.mark.xdist_group("ccxt")]  # what they share is made once

COINS = ["BTC", "TINY", "GAPS", "IDLE", "NULL"]
# The later days first, so that candles which are alike in both are twice in the file.
SPANS = [("2023-03-12 07:13", "2023-03-12 16:00"), ("2023-03-11 07:13", "2023-03-11 12:00")]
WHOLE = ("2023-03-11 07:13", "2023-03-12 16:00")


@pytest.fixture(scope="module")
def server() -> Iterator[BinanceServer]:
    with spring().server() as server:
        yield server


@pytest.fixture(scope="module")
def sides(server: BinanceServer, tmp_path_factory: pytest.TempPathFactory) -> tuple[Side, Side]:
    """Return Lumibot's side with a cache that it has filled itself, and ours with a store that it was migrated to."""
    theirs, ours = both_sides(tmp_path_factory.mktemp("ccxt"))
    for coin in COINS:
        for span in [*SPANS, WHOLE]:
            with theirs.entered(server):
                start, end = map(moment, span)
                source = theirs.source(start, end)
                source._datetime = end
                source.get_historical_prices(Asset(coin, "crypto"), 5, "minute", quote=DOLLAR)
    frames(theirs, server, "BTC", "hour", *WHOLE)
    frames(theirs, server, "BTC", "day", *WHOLE)
    cache = theirs.folder / "lumibot"
    before = snapshot(cache)
    assert moved(CcxtReader(cache), DuckDBDataStorage(ours.store)) == {}
    assert snapshot(cache) == before
    return theirs, ours


def frames(side: Side, server: BinanceServer, coin: str, timestep: str, start: str, end: str) -> list[Any]:
    """Return what a source over a span gives for a coin at some moments, and the last prices there."""
    with side.entered(server):
        source = side.source(moment(start), moment(end))
        asset, found = Asset(coin, "crypto"), []
        for at in pd.date_range(start, end, periods=4, tz="America/New_York"):
            source._datetime = at.to_pydatetime().replace(second=0)
            bars = source.get_historical_prices(asset, 300, timestep, quote=DOLLAR)
            found += [None if bars is None else bars.df, source.get_last_price(asset, timestep, quote=DOLLAR)]
        return found


@pytest.mark.parametrize(
    ("coin", "timestep"),
    [
        *((coin, "minute") for coin in COINS),
        ("BTC", "day"),
        pytest.param("BTC", "hour", marks=pytest.mark.long),
    ],
)
def test_frames_and_prices_are_those_of_lumibot(
    coin: str, timestep: str, sides: tuple[Side, Side], server: BinanceServer
) -> None:
    theirs, ours = sides
    before = len(server.asked(KLINES))
    expected = frames(theirs, server, coin, timestep, *WHOLE)
    asked = len(server.asked(KLINES)) - before
    before = len(server.asked(KLINES))
    actual = frames(ours, server, coin, timestep, *WHOLE)
    for left, right in zip(expected, actual, strict=True):
        if isinstance(left, pd.DataFrame):
            assert_same_frame(left, right, f"{coin} {timestep}")
        else:
            assert repr(left) == repr(right)
    # Lumibot, too, asks each time for what its file lacks: before the first candle of a day, and after the last one.
    lacking = [("IDLE", "minute"), ("GAPS", "minute"), ("NULL", "minute"), ("BTC", "day")]
    assert len(server.asked(KLINES)) - before <= (asked if (coin, timestep) in lacking else 0)


def test_whole_backtests_and_their_requests_are_the_same(sides: tuple[Side, Side], server: BinanceServer) -> None:
    theirs, ours = sides
    frames(ours, server, "BTC", "day", *WHOLE)  # asks once for the days that Lumibot's file lacks
    parameters = {
        "assets": [Asset("BTC", "crypto"), Asset("TINY", "crypto")],
        "market": "24/7",
        "sleeptime": "20M",
        "length": 30,
    }
    results, requests = [], []
    for side in (theirs, ours):
        before = len(server.requests)
        with side.entered(server):
            span = ("2023-03-11 20:00", "2023-03-12 04:00")
            settings: dict[str, Any] = {"exchange_id": "binance", "quote_asset": DOLLAR}
            results.append(run(Crossing, side.source_class, side.folder / "run", *span, parameters, **settings))
        made = server.requests[before:]
        requests.append([(each.path, each.query.get("symbol"), each.query.get("startTime")) for each in made])
    assert_same_result(*results, fills=2)
    # Lumibot requests the days before its file's first again in each run, and so does ours.
    assert requests[0] == requests[1]
    assert [symbol for path, symbol, _ in requests[1] if path == KLINES] == ["BTCUSDT"]


def test_exact_prices_warn_of_three_decimals(
    sides: tuple[Side, Side], server: BinanceServer, caplog: pytest.LogCaptureFixture
) -> None:
    _, ours = sides
    with ours.entered(server):
        source = CcxtBacktesting.using(exact_prices=True)(*map(moment, WHOLE), exchange_id="binance")
        source._datetime = moment(WHOLE[1])
        bars = source.get_historical_prices(Asset("TINY", "crypto"), 5, "minute", quote=DOLLAR)
    assert "TINY/USDT on binance: candles that were imported from Lumibot's cache have three decimals" in caplog.text
    assert (bars.df["close"].round(3) == bars.df["close"]).all()


# -- one file at a time ---------------------------------------------------------------------------------------


def candle_file(folder: Path, *statements: str, name: str = "binance/AB_USDT_1m.duckdb") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True)
    with duckdb.connect(str(path)) as connection:
        for statement in statements:
            connection.execute(statement)
    return path


CANDLES = (
    "CREATE TABLE candles (datetime DATETIME, open DECIMAL, high DECIMAL, low DECIMAL, close DECIMAL, volume DECIMAL, "
    "missing INTEGER)"
)
RANGES = "CREATE TABLE cache_dt_ranges (id STRING, start_dt DATETIME, end_dt DATETIME)"
TEN = (
    "INSERT INTO candles SELECT TIMESTAMP '2024-03-01 10:00' + INTERVAL (i) MINUTE, 1.5, 2, 1, 1.25, i, (i = 4)::INT "
    "FROM range(10) t(i)"
)


def covered(folder: Path, storage: DuckDBDataStorage) -> list[list[str]]:
    assert moved(CcxtReader(folder), storage) == {}
    (series,) = storage.list_series()
    return [[str(pd.Timestamp(at, unit="s")) for at in (piece.start, piece.end)] for piece in series.coverage]


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        ("2024-03-01 10:00", "2024-03-01 10:09:59.999999", ["2024-03-01 10:00:00", "2024-03-01 10:10:00"]),
        ("2024-03-01 09:00", "2024-03-01 10:59:59.999999", ["2024-03-01 09:00:00", "2024-03-01 11:00:00"]),
        ("2024-02-27 00:00", "2024-03-04 23:59:59.999999", ["2024-03-01 10:00:00", "2024-03-01 10:10:00"]),
        ("2024-03-01 10:00", "2024-03-01 10:09:00", ["2024-03-01 10:00:00", "2024-03-01 10:10:00"]),
        ("2024-03-01 10:00", "2024-03-01 10:05:30", ["2024-03-01 10:00:00", "2024-03-01 10:05:00"]),
    ],
    ids=["just the candles", "believed", "far too long", "to the start of the last candle", "an open candle"],
)
def test_ranges_are_believed_as_far_as_lumibot_does(start: str, end: str, expected: list[str], tmp_path: Path) -> None:
    ranges = f"INSERT INTO cache_dt_ranges VALUES ('a', '{start}', '{end}')"
    candle_file(tmp_path / "cache", CANDLES, RANGES, TEN, ranges)
    storage = DuckDBDataStorage(tmp_path / "bars.duckdb")
    assert covered(tmp_path / "cache", storage) == [expected]
    (series,) = storage.list_series()
    assert series.rows == (4 if "10:05:30" in end else 9)  # the fifth is marked as missing


def test_what_lumibot_would_download_again_is_not_covered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An exchange may break off in the midst of one of Lumibot's downloads, which begin and end in mid-day."""

    def candles(_symbol: str, _timeframe: str, _limit: int, start: Any, end: Any) -> pd.DataFrame:
        times = pd.date_range(start, end, freq="min")
        times = times if start.hour else times[:-400]
        return pd.DataFrame(dict.fromkeys(STORED, 1.5), index=times).assign(volume=range(len(times))).reset_index()

    monkeypatch.setattr(ccxt_data_store, "LUMIBOT_CACHE_FOLDER", str(tmp_path / "cache"))
    cache = object.__new__(ccxt_data_store.CcxtCacheDB)  # its constructor asks the exchange
    cache.exchange_id, cache.max_download_limit, cache.logger = "coinbase", 1_000, logging.getLogger(__name__)
    monkeypatch.setattr(cache, "_get_barset_from_api", candles)
    start, end = pd.Timestamp("2023-03-01"), pd.Timestamp("2023-03-02 23:59:59.999999")
    cache.download_ohlcv("BTC/USD", "1m", start, end)
    ((gap, again),) = cache._calc_download_ranges("BTC/USD", "1m", start, end)[0]
    assert [str(gap), str(again)] == ["2023-03-01 09:59:59.999999", "2023-03-01 16:40:00"]
    assert covered(tmp_path / "cache", DuckDBDataStorage(tmp_path / "bars.duckdb")) == [
        ["2023-03-01 00:00:00", "2023-03-01 10:00:00"],
        ["2023-03-01 16:40:00", "2023-03-03 00:00:00"],
    ]


def test_candles_of_the_exchange_that_round_to_the_same_are_kept(tmp_path: Path) -> None:
    ranges = "INSERT INTO cache_dt_ranges VALUES ('a', '2024-03-01 10:00', '2024-03-01 10:09:59.999999')"
    path = candle_file(tmp_path / "cache", CANDLES, RANGES, TEN, ranges)
    (content,) = CcxtReader(tmp_path / "cache").read(path)
    storage = DuckDBDataStorage(tmp_path / "bars.duckdb")
    index = pd.date_range("2024-03-01 10:00", periods=3, freq="min", tz="UTC", name="datetime")
    exact = pd.DataFrame(
        {"open": 1.50004, "high": 2.0, "low": 1.0, "close": 1.25, "volume": [0.0, 1.0001, 2.0]}, index=index
    )
    pair = (Asset("AB", "crypto"), DOLLAR)
    storage.store_ohlcv_data(pair, exact, "ccxt", "minute", exchange="binance")
    assert content.store(storage, {}) == 6
    assert content.difference(storage) is None
    frame = storage.read_pandas(storage.pin(pair, "minute"))
    assert frame["open"].tolist() == [1.50004] * 3 + [1.5] * 6
    assert len(storage.coverage(pair, "minute")) == 1


@pytest.mark.parametrize(
    ("statements", "reason"),
    [
        ([], "lacks the table candles"),
        ([CANDLES], "lacks the table cache_dt_ranges"),
        ([RANGES, "CREATE VIEW candles AS SELECT * FROM read_csv('/etc/passwd')"], "lacks the table candles"),
        ([RANGES, "CREATE TABLE candles (datetime VARCHAR, open INT)"], "lacks the table candles"),
        ([CANDLES, RANGES, TEN], "has no closed candles"),
        (
            [CANDLES, RANGES, "INSERT INTO cache_dt_ranges VALUES ('a', '2024-03-01', '2024-03-02')"],
            "has no closed candles",
        ),
    ],
)
def test_a_database_of_something_else_is_left_alone(statements: list[str], reason: str, tmp_path: Path) -> None:
    try:
        path = candle_file(tmp_path, *statements)
    except duckdb.Error:
        pytest.skip("DuckDB looks at views when they are made")
    with pytest.raises(LeftAloneError, match=reason):
        CcxtReader(tmp_path).read(path)


@pytest.mark.parametrize("way", ["empty", "text", "cut", "changed"])
def test_a_damaged_file_has_a_reason_and_stays_as_it_is(way: str, tmp_path: Path) -> None:
    path = candle_file(tmp_path, CANDLES, RANGES, TEN)
    content = bytearray(path.read_bytes())
    if way == "changed":
        content[8_192:9_000] = bytes(808)
    path.write_bytes({"empty": b"", "text": b"no database" * 500, "cut": content[:5_000]}.get(way, bytes(content)))
    before = snapshot(tmp_path)
    with pytest.raises(MigrationError, match=r"damaged|it is empty|cannot be read|lacks the table"):
        CcxtReader(tmp_path).read(path)
    assert snapshot(tmp_path) == before


def test_a_file_that_another_program_has_open_is_left_alone(tmp_path: Path) -> None:
    path = candle_file(tmp_path, CANDLES, RANGES, TEN)
    program = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('open', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", program, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline()
        with pytest.raises(LeftAloneError, match="another program has it open"):
            CcxtReader(tmp_path).read(path)
        other.communicate()


def test_a_log_beside_a_file_is_read_and_left_where_it_is(tmp_path: Path) -> None:
    """A program that is killed leaves its last writes there."""
    path = candle_file(tmp_path, CANDLES, RANGES)
    program = (
        "import duckdb, os, sys; c = duckdb.connect(sys.argv[1]); c.execute(sys.argv[2]); c.execute(sys.argv[3]); "
        "os._exit(1)"
    )
    ranges = "INSERT INTO cache_dt_ranges VALUES ('a', '2024-03-01 10:00', '2024-03-01 10:09:59.999999')"
    subprocess.run([sys.executable, "-c", program, str(path), TEN, ranges], check=False)
    reader = CcxtReader(tmp_path)
    assert [log.name for log in reader.companions(path)] == ["AB_USDT_1m.duckdb.wal"]
    before = snapshot(tmp_path)
    (content,) = reader.read(path)
    assert content.rows == 9
    assert snapshot(tmp_path) == before
