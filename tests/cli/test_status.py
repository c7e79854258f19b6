"""`status`: what is in the store, for people and for scripts."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from cli.files import Command, csv_of, minutes, no_store
from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.cli.main import main
from lumibot_duckdb.storage.api import TimeRange
from lumibot_duckdb.storage.connection.lock import StoreLock
from lumibot_duckdb.storage.connection.store_connection import StoreConnection
from lumibot_duckdb.storage.errors import StoreBusyError
from storage.frames import minute_bars
from templates import template

Write = Callable[..., Path]


@template
def imported(storage: DuckDBDataStorage) -> None:
    stock, coin = (storage.path.with_name(name) for name in ("AAPL.csv", "BTC-USD.csv"))
    stock.write_text(csv_of(minutes("2024-01-02 09:30", 1_000, zone="America/New_York")))
    coin.write_text(csv_of(["2024-01-02", "2024-01-03"]))
    options = ["--asset-type", "crypto", "--timezone", "UTC", "--source", "kraken"]
    for words in ([str(stock)], [str(coin), *options]):
        assert main(["--store", str(storage.path), "import", *words]) == 0


@pytest.fixture
def filled(command: Command) -> Command:
    imported(command.store)
    return command


def test_an_absent_store_is_no_error_and_says_how_to_fill_it(command: Command) -> None:
    ended = command("status")
    assert (ended.code, ended.err) == (0, "")
    assert str(command.store) in ended.out
    assert "lumibot-duckdb import" in ended.out
    assert not command.store.parent.exists()


def test_an_absent_store_in_json_is_an_empty_one(command: Command) -> None:
    assert json.loads(command("status", "--json").out) == {
        "path": str(command.store),
        "exists": False,
        "bytes": 0,
        "bars": 0,
        "spooled_bars": 0,
        "series": [],
    }


def test_a_series_without_bars_is_explained(command: Command) -> None:
    frame = minute_bars(rows=60)
    covered = TimeRange(int(frame.index[0].timestamp()), int(frame.index[-1].timestamp()) + 60)
    with command.storage() as storage:
        storage.record_coverage("NONE", covered, "polygon", "minute")
        storage.store_ohlcv_data("OLD", frame, "polygon", "minute")
        storage.snapshot("kept")
        storage.rename("OLD", "NEW")
        storage.record_coverage("FORGOTTEN", covered, "polygon", "minute")
        storage.forget_coverage(storage.list_series("FORGOTTEN")[0].key, covered)
        storage.forget_coverage(storage.list_series("NEW")[0].key, covered)
    assert "\n3 series without bars: `lumibot-duckdb status SYMBOL` says why.\n" in command("status").out
    assert "\nNEW stock, minute bars from polygon: nothing is covered\n" in command("status", "NEW").out
    reasons = {
        "OLD": "no bars any more; it has 60 bars in the snapshot kept, which keeps the series in the store",
        "NONE": "no bars; its source had none in the ranges that are covered",
        "FORGOTTEN": "no bars and no coverage: the next backtest that needs it requests it; `lumibot-duckdb delete` "
        "removes it",
    }
    for symbol, reason in reasons.items():
        out = command("status", symbol).out
        assert f"\n{symbol} stock, minute bars from polygon: {reason}\n" in out
        assert (", covered:" in out) == (symbol == "NONE")


def test_every_series_has_a_line(filled: Command) -> None:
    ended = filled("status")
    assert ended.code == 0
    header, _, apple, bitcoin, _, totals = ended.out.splitlines()
    assert header.split() == [
        "asset",
        "source",
        "timeframe",
        "adjusted",
        "bars",
        *["first", "bar", "last", "bar", "coverage"],
    ]
    assert apple.split() == [
        *("AAPL", "stock", "import", "minute", "1,000", "2024-01-02", "09:30", "2024-01-03", "02:09", "whole")
    ]
    # Midnight of UTC is the evening before in New York.
    assert bitcoin.split() == [
        *("BTC/USD", "crypto", "kraken", "day", "2", "2024-01-01", "19:00", "2024-01-02", "19:00", "whole")
    ]
    assert totals.startswith(f"{filled.store}: ")
    assert totals.endswith("2 series, 1,002 bars. Times are New York time.")


def test_symbols_select_series_and_show_what_is_covered(filled: Command) -> None:
    ended = filled("status", "aapl")
    assert ended.code == 0
    assert "BTC" not in ended.out
    assert "AAPL stock, minute bars from import, covered:\n  2024-01-02 09:30 to 2024-01-03 02:10" in ended.out
    assert "BTC/USD crypto" in filled("status", "BTC/USD").out


def test_a_symbol_that_is_not_there_is_an_error(filled: Command) -> None:
    ended = filled("status", "AAPL", "NONE")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err == "lumibot-duckdb: the store has no bars of NONE; there are AAPL, BTC/USD\n"
    assert filled("status", "").code == 1


def test_json_has_everything_with_times_and_zones(filled: Command) -> None:
    status = json.loads(filled("status", "--json").out)
    assert status["bars"] == 1_002
    assert status["bytes"] == filled.store.stat().st_size
    assert status["series"][1] == {
        "symbol": "BTC",
        "asset_type": "crypto",
        "quote": "USD",
        "exchange": "",
        "expiration": None,
        "strike": None,
        "right": None,
        "multiplier": 1.0,
        "source": "kraken",
        "timeframe": "day",
        "adjustment": "",
        "bars": 2,
        "first": "2024-01-01T19:00:00-05:00",
        "last": "2024-01-02T19:00:00-05:00",
        "coverage": [{"start": "2024-01-01T19:00:00-05:00", "end": "2024-01-03T19:00:00-05:00"}],
        "provisional": [],
    }


def test_gaps_in_the_coverage_are_counted_and_listed(command: Command, write: Write) -> None:
    for day in range(1, 13):
        write(f"{day}.csv", csv_of(minutes(f"2024-01-{day:02} 09:30", 5, zone="America/New_York")))
    assert command("import", "*.csv", "--symbol", "AAPL").code == 0
    assert "12 ranges" in command("status").out
    ended = command("status", "AAPL")
    assert ended.out.count(" 09:30 to ") == 10
    assert "and 2 more (--all shows them)" in ended.out
    assert command("status", "AAPL", "--all").out.count(" 09:30 to ") == 12


def test_a_large_store_is_summed_up_until_all_is_requested(command: Command, write: Write) -> None:
    rows = [f"S{i:03},2024-01-{day:02},1,2,1,1,5" for i in range(60) for day in (2, 3)]
    write("many.csv", "\n".join(["symbol,date,open,high,low,close,volume", *rows]))
    assert command("import", "many.csv").code == 0
    ended = command("status")
    assert "S001" not in ended.out
    (line,) = [line for line in ended.out.splitlines() if line.startswith("import")]
    assert line.split() == ["import", "day", "stock", "60", "120", "2024-01-02", "2024-01-03"]
    assert "--all lists every series" in ended.out
    assert command("status", "--all").out.count(" stock ") == 60
    assert "S001 stock" in command("status", "S001").out


def test_downloads_that_wait_beside_the_store_are_reported(filled: Command) -> None:
    assert "for the next write" not in filled("status").out
    storage = filled.storage()
    storage.close()
    lock = StoreLock(storage.path)
    lock.acquire(True, float("inf"))
    connection = StoreConnection.of(storage.path)
    connection.wait_seconds = 0
    with pytest.raises(StoreBusyError):
        storage.store_ohlcv_data("X", minute_bars(), "test", "minute", covered=TimeRange(0, 60))
    lock.close()
    connection.wait_seconds = 30
    assert f"60 bars of 1 write wait in {filled.store}.spool for the next write to the store.\n" in filled("status").out
    assert json.loads(filled("status", "--json").out)["spooled_bars"] == 60
    storage.merge_spooled()
    assert "for the next write" not in filled("status").out


@template
def several_series(storage: DuckDBDataStorage) -> None:
    for source, timeframe in (("polygon", "minute"), ("alpaca", "minute"), ("polygon", "5minute")):
        storage.store_ohlcv_data("AAPL", minute_bars(), source, timeframe)
    storage.store_ohlcv_data("AAPL", minute_bars(), "polygon", "minute", adjustment="split")
    storage.store_ohlcv_data("MSFT", minute_bars(), "polygon", "minute")


@pytest.fixture
def several(command: Command) -> Command:
    several_series(command.store)
    return command


@pytest.mark.parametrize(
    ("options", "labels"),
    [
        (("--source", "Alpaca"), ["AAPL stock, minute bars from alpaca"]),
        (("--timeframe", "5min"), ["AAPL stock, 5minute bars from polygon"]),
        (("--adjustment", "split"), ["AAPL stock, minute bars from polygon (split)"]),
        (("msft",), ["MSFT stock, minute bars from polygon"]),
        (
            ("--source", "polygon", "--timeframe", "minute", "--adjustment", ""),
            ["AAPL stock, minute bars from polygon", "MSFT stock, minute bars from polygon"],
        ),
        (("aapl", "--source", "polygon", "--timeframe", "5minute"), ["AAPL stock, 5minute bars from polygon"]),
    ],
)
def test_options_select_series(several: Command, options: tuple[str, ...], labels: list[str]) -> None:
    status = json.loads(several("status", *options, "--json").out)
    found = [
        f"{each['symbol']} stock, {each['timeframe']} bars from {each['source']}"
        + (f" ({each['adjustment']})" if each["adjustment"] else "")
        for each in status["series"]
    ]
    assert found == labels
    assert status["bars"] == 60 * len(labels)
    assert f"{len(labels)} series, {60 * len(labels)} bars." in several("status", *options).out


def test_options_that_select_nothing_are_an_error(several: Command) -> None:
    ended = several("status", "--source", "yahoo")
    assert (ended.code, ended.out) == (1, "")
    assert "no series matches --source yahoo; there are AAPL stock, minute bars from alpaca" in ended.err
    assert several("status", "--timeframe", "never").code == 2


def test_the_page_is_written(several: Command) -> None:
    page = several.folder / "status.html"
    ended = several("status", "--html", page)
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.splitlines()[0] == f"The page is in {page}."
    assert "5 series, 300 bars." in ended.out
    text = page.read_text(encoding="utf-8")
    assert "Not run." in text
    assert several("status", "--html", page, "--verify", "--json", "msft").code == 0
    again = page.read_text(encoding="utf-8")
    assert "The store is sound; 0 remarks." in again
    assert "selected series only" in again
    assert "AAPL" not in again.partition('id="coverage-data">')[2].partition("</script>")[0]


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_the_page_of_a_damaged_store(several: Command, options: tuple[str, ...]) -> None:
    storage = several.storage()
    with StoreConnection.of(storage.path).write() as cursor:
        cursor.execute("UPDATE {db}.bar SET close = close + 0.01 WHERE version_id = 1")
    storage.close()
    page = several.folder / "status.html"
    ended = several("status", "--html", page, "--verify", *options)
    assert ended.code == 3
    assert "the store is damaged: 1 error, which the page and `lumibot-duckdb verify` list" in ended.err
    assert "The store is damaged: 1 finding of damage" in page.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--verify",), "--verify is for the page: name its file with --html"),
        (("--html", "no/such/folder.html"), "name a file in an existing folder"),
        (("--html", "store/lumibot.duckdb"), "exists and is not an HTML page"),
    ],
)
def test_a_wrong_call_writes_nothing(several: Command, options: tuple[str, ...], said: str) -> None:
    ended = several("status", *options)
    assert (ended.code, ended.out) == (2, "")
    assert said in ended.err
    assert len(several.storage().list_series()) == 5


def test_no_store_has_no_page(command: Command) -> None:
    ended = command("status", "--html", "status.html")
    assert (ended.code, ended.err) == (1, no_store(command))
    assert not (command.folder / "status.html").exists()
