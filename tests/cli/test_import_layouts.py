"""What folders, partitions and file names tell, and tables with the prices of several symbols side by side."""

from __future__ import annotations

import datetime as dt
import io
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import quote

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.files import Command, csv_of, minutes
from hypothesis_settings import examples
from lumibot_duckdb.importing.errors import FileRefusedError
from lumibot_duckdb.importing.paths import NamePattern, date_of_name, facts_of_path
from lumibot_duckdb.importing.vocabulary import FILE_NAME_WORDS
from lumibot_duckdb.storage.api import AssetKey

Write = Callable[..., Path]

DAYS = ["2024-01-02", "2024-01-03", "2024-01-04"]
UTC_MINUTES = minutes("2024-01-02 14:30", 4, zone="UTC")


def assets(command: Command) -> list[str]:
    return sorted(info.key.asset.label() for info in command.storage().list_series())


@pytest.mark.parametrize(
    ("path", "symbol", "timeframe", "day"),
    [
        ("symbol=AAPL/data_0.parquet", None, None, None),
        ("AAPL/M1.csv", "AAPL", "minute", None),
        ("AAPL/daily.csv", "AAPL", "day", None),
        ("AAPL/2024/01.csv", "AAPL", None, None),
        ("AAPL/part-0.parquet", "AAPL", None, None),
        ("AAPL/part-00000-c4a1e7b2-snappy.parquet", "AAPL", None, None),
        ("BTC-USD/1h/data.csv", "BTC-USD", None, None),
        ("stocks/AAPL/minute/2024-01-02.csv", "AAPL", None, dt.date(2024, 1, 2)),
        ("600519/day.csv", "600519", "day", None),
        ("minute/aapl/20240102_trade.csv", "AAPL", None, dt.date(2024, 1, 2)),
        ("20240102_aapl_minute_trade.csv", "AAPL", "minute", dt.date(2024, 1, 2)),
        ("whatever/M1.csv", None, "minute", None),
        ("stocks/MIN.csv", "MIN", None, None),
        ("my downloads/data.csv", None, None, None),
        ("AAPL/report of today.csv", None, None, None),
        ("daily-KO.csv", "KO", "day", None),
        ("daily-KO-2024.csv", "KO", "day", None),
        ("DATA-USD.csv", "DATA-USD", None, None),
        ("ADA_BTC-5m.csv", "ADA-BTC", "5minute", None),
        ("BTCUSDT-1M.csv", "BTCUSDT", "month", None),
        ("EURUSD_15M.csv", "EURUSD", "15minute", None),
        ("data_0.parquet", None, None, None),
    ],
)
def test_what_a_path_tells(path: str, symbol: str | None, timeframe: str | None, day: dt.date | None) -> None:
    facts = facts_of_path(Path(path))
    assert (facts.symbol, facts.timeframe, facts.date) == (symbol, timeframe, day)


_TICKERS = st.from_regex(r"[A-Z]{2,5}", fullmatch=True).filter(
    lambda text: text.lower() not in FILE_NAME_WORDS and facts_of_path(Path(f"{text}/data.csv")).symbol == text
)
_FILES = st.sampled_from(
    ["data.csv", "M1.csv", "1min.parquet", "2024-01.csv", "data_0.parquet", "part-3.csv", "01.csv"]
)
_BETWEEN = st.lists(
    st.sampled_from(["minute", "2024", "01", "daily", "csv"]).filter(lambda name: name != "csv"), max_size=2
)


@examples(100)
@given(_TICKERS, st.sampled_from(["stocks", "data", "us", "1min"]), _BETWEEN, _FILES)
def test_a_folder_of_each_symbol_names_the_symbol(ticker: str, above: str, between: Sequence[str], file: str) -> None:
    assert facts_of_path(Path(above, ticker, *between, file)).symbol == ticker


@examples(100)
@given(
    st.from_regex(r"[A-Z^][A-Z0-9.\-/=^]{0,9}", fullmatch=True),
    st.sampled_from(["symbol", "ticker", "Symbol", "sym"]),
    st.permutations(["year=2024", "month=1"]),
    st.integers(0, 2),
    _FILES,
)
def test_a_hive_partition_names_the_symbol(symbol: str, key: str, others: list[str], place: int, file: str) -> None:
    folders = [*others[:place], f"{key}={quote(symbol, safe='')}", *others[place:]]
    assert facts_of_path(Path("root", *folders, file)).partitions[key] == symbol


def test_partitions_are_symbols_of_their_own(command: Command, write: Write) -> None:
    for symbol in ("AAPL", "MSFT", "BTC%2FUSD"):
        write(f"hive/symbol={symbol}/year=2024/month=1/data_0.csv", csv_of(UTC_MINUTES))
    ended = command("import", "hive")
    assert ended.code == 0, ended.out
    assert assets(command) == ["AAPL stock", "BTC/USD crypto", "MSFT stock"]
    assert "left out" not in ended.out


def test_partitions_name_exchange_timeframe_and_date(command: Command, write: Write) -> None:
    clocks = csv_of(["09:30:00", "09:40:00"], header="time,open,high,low,close,volume")
    for exchange in ("kraken", "binance"):
        write(f"x/exchange={exchange}/timeframe=5m/symbol=ETH-BTC/date=2024-01-02/part-0.csv", clocks)
    ended = command("import", "x", "--timezone", "UTC")
    assert ended.code == 0, ended.out
    assert assets(command) == ["ETH/BTC crypto on binance", "ETH/BTC crypto on kraken"]
    (series, _) = command.storage().list_series()
    assert series.key.timeframe == "5minute"
    assert series.first == pd.Timestamp("2024-01-02 09:30", tz="UTC").timestamp()


def test_a_folder_of_each_symbol_is_imported_as_such(command: Command, write: Write) -> None:
    for symbol in ("AAPL", "MSFT"):
        write(f"bars/{symbol}/M1.csv", csv_of(UTC_MINUTES))
    ended = command("import", "bars")
    assert ended.code == 0
    assert assets(command) == ["AAPL stock", "MSFT stock"]
    assert "and 1 more: its symbol is the name of its folder" in ended.out


def test_a_folder_in_small_letters_may_be_anything_and_is_asked(command: Command, write: Write) -> None:
    write("things/aapl/M1.csv", csv_of(UTC_MINUTES))
    ended = command("import", "things")
    assert ended.code == 1
    assert "give --symbol, or --symbol-column if a column has it, or --name-pattern if its path has it" in ended.out
    assert command("import", "things", "--name-pattern", "{symbol}/{timeframe}.csv").code == 0
    assert assets(command) == ["AAPL stock"]


@pytest.mark.parametrize(
    ("pattern", "path", "found"),
    [
        ("{symbol}/*.csv", "a/msft/x.csv", ("MSFT", None, None)),
        ("export-{symbol}-*_{timeframe}.csv", "export-KO-all_5m.csv", ("KO", "5minute", None)),
        ("{symbol}/{date}.csv", "spy/20240102.csv", ("SPY", None, dt.date(2024, 1, 2))),
        ("{timeframe}/*", "1h/AAPL.csv", ("AAPL", "hour", None)),
    ],
)
def test_a_pattern_states_what_is_where_in_a_path(pattern: str, path: str, found: tuple[object, ...]) -> None:
    facts = facts_of_path(Path(path), NamePattern(pattern))
    assert (facts.symbol, facts.timeframe, facts.date) == found


def test_a_path_that_does_not_fit_the_pattern_is_refused() -> None:
    with pytest.raises(FileRefusedError, match=r"does not end as --name-pattern \{symbol\}/\*\.csv says"):
        facts_of_path(Path("x/AAPL.parquet"), NamePattern("{symbol}/*.csv"))
    with pytest.raises(FileRefusedError, match=r"'soon', where --name-pattern has \{timeframe\}, is not a"):
        facts_of_path(Path("AAPL/soon.csv"), NamePattern("{symbol}/{timeframe}.csv"))


@pytest.mark.parametrize("pattern", ["*.csv", "{ticker}.csv", "{symbol}/{symbol}.csv"])
def test_a_pattern_without_known_places_is_wrong_usage(command: Command, write: Write, pattern: str) -> None:
    ended = command("import", write("AAPL.csv", csv_of(DAYS)), "--name-pattern", pattern)
    assert ended.code == 2
    assert "must have {symbol}, {timeframe} or {date}" in ended.err


@pytest.mark.parametrize(
    ("name", "day"),
    [
        ("AAPL_2024-01-02.csv", dt.date(2024, 1, 2)),
        ("20240102_trade.csv", dt.date(2024, 1, 2)),
        ("AAPL_2020-01-01_2023-01-01.csv", None),
        ("AAPL_20241399.csv", None),
        ("AAPL_2024-02-30.csv", None),
        ("AAPL-2024-01.csv", None),
        ("HistoricalData_1700000000000.csv", None),
    ],
)
def test_the_date_of_a_name(name: str, day: dt.date | None) -> None:
    assert date_of_name(name) == day


def test_times_of_day_get_the_date_of_the_name(command: Command, write: Write) -> None:
    clocks = csv_of(["9:30", "9:31", "9:32"], header="time,open,high,low,close,volume")
    write("AAPL_20240102.csv", clocks)
    write("MSFT.csv", clocks)
    ended = command("import", "AAPL_20240102.csv", "MSFT.csv", "--timezone", "America/New_York")
    assert ended.code == 1
    assert "MSFT.csv: its times are times of day without a date (9:30), and neither its name nor" in ended.out
    assert command("import", "MSFT.csv", "--timezone", "America/New_York", "--date", "2024-01-02").code == 0
    for symbol in ("AAPL", "MSFT"):
        assert command.bars(symbol).index[0] == pd.Timestamp("2024-01-02 09:30", tz="America/New_York")


LEAN = "34200000,1687400,1687700,1687000,1687100,123456\n34260000,1687100,1687600,1687100,1687500,23456\n"


@pytest.mark.parametrize(
    "path", ["equity/usa/minute/spy/20131007_trade.csv", "20131007_spy_minute_trade.csv", "SPY/2013-10-07.csv"]
)
def test_minutes_of_lean_are_recognised(command: Command, write: Write, path: str) -> None:
    ended = command("import", write(path, LEAN), "--timezone", "America/New_York")
    assert ended.code == 0, ended.out
    bars = command.bars("SPY")
    assert list(bars.index) == list(pd.date_range("2013-10-07 09:30", periods=2, freq="min", tz="America/New_York"))
    assert bars.iloc[0].to_dict() == {"open": 168.74, "high": 168.77, "low": 168.7, "close": 168.71, "volume": 123456}
    assert "prices were divided by 10,000 (LEAN's format)" in ended.out


def zipped(*files: tuple[str, str], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", method) as written:
        for name, text in files:
            written.writestr(name, text)
    return archive.getvalue()


def test_zip_archives_of_lean_are_read(command: Command, write: Write) -> None:
    for day in ("20131007", "20131008"):
        write(f"equity/usa/minute/spy/{day}_trade.zip", zipped((f"{day}_spy_minute_trade.csv", LEAN)))
    write("equity/usa/minute/spy/backup.zip", zipped(("a.csv", LEAN), ("b.csv", LEAN)))  # not of bars
    write("equity/usa/minute/spy/notes.zip", zipped(("notes.pdf", "no bars")))
    ended = command("import", "equity", "--timezone", "America/New_York")
    assert ended.code == 0, ended.out
    bars = command.bars("SPY")
    assert [str(time) for time in bars.index.tz_localize(None)] == [
        *("2013-10-07 09:30:00", "2013-10-07 09:31:00", "2013-10-08 09:30:00", "2013-10-08 09:31:00"),
    ]
    assert bars.iloc[0].to_dict() == {"open": 168.74, "high": 168.77, "low": 168.7, "close": 168.71, "volume": 123456}


@pytest.mark.parametrize("member", ["../../../tmp/MSFT.csv", "/etc/MSFT.csv", "folder/", "C:\\MSFT.csv"])
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_the_path_in_a_zip_archive_does_not_matter(
    command: Command, write: Write, member: str, method: int, tmp_path: Path
) -> None:
    files = [(member, ""), ("x.csv", csv_of(DAYS))] if member.endswith("/") else [(member, csv_of(DAYS))]
    path = write("folder/AAPL.csv.zip", zipped(*files, method=method))
    before = sorted(tmp_path.rglob("*"))
    assert command("import", path).code == 0
    assert len(command.bars("AAPL", "day")) == len(DAYS)
    assert [each for each in sorted(tmp_path.rglob("*")) if "store" not in each.parts] == before


def damaged(archive: bytes) -> bytes:
    """Change the contents of a member that is stored without compression."""
    return archive.replace(b"100.25", b"100.75", 1)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param(zipped(("a.csv", "x"), ("b.csv", "x")), "does not hold a single text file", id="two files"),
        pytest.param(zipped(("folder/", "")), "does not hold a single text file", id="a folder"),
        pytest.param(zipped(("a.csv", ""))[:40], "does not hold a single text file", id="cut off"),
        pytest.param(
            damaged(zipped(("a.csv", csv_of(DAYS)), method=zipfile.ZIP_STORED)),
            "cannot be unpacked (Bad CRC",
            id="damaged",
        ),
        pytest.param(
            zipped(("a.csv", csv_of(DAYS)), method=zipfile.ZIP_LZMA), "not compressed by the usual method", id="LZMA"
        ),
        pytest.param(zipped(("a.zip", "PK\x03\x04\x00\x01")), "neither text nor Parquet", id="a zip archive"),
    ],
)
def test_other_zip_archives_are_refused(command: Command, write: Write, content: bytes, reason: str) -> None:
    ended = command("import", write("AAPL.zip", content))
    assert ended.code == 1
    assert reason in ended.out
    assert not command.store.exists()


@pytest.mark.parametrize(
    ("folder", "timeframe", "times"),
    [
        ("daily", "day", ("20240102 00:00", "20240103 00:00", "20240104 00:00")),
        ("hour", "hour", ("20240102 09:00", "20240102 10:00", "20240102 11:00")),
    ],
)
def test_hours_and_days_of_lean_are_recognised(
    command: Command, write: Write, folder: str, timeframe: str, times: tuple[str, ...]
) -> None:
    text = "".join(f"{time},4720000,4730000,4710000,47250{i}0,1234{i}\n" for i, time in enumerate(times))
    write(f"equity/usa/{folder}/spy.zip", zipped(("spy.csv", text)))
    ended = command("import", "equity", "--timezone", "America/New_York")
    assert ended.code == 0, ended.out
    bars = command.bars("SPY", timeframe)
    assert bars["close"].tolist() == [472.5, 472.501, 472.502]
    assert bars["volume"].tolist() == [12340, 12341, 12342]
    assert [f"{time:%Y%m%d %H:%M}" for time in bars.index] == list(times)
    assert "prices were divided by 10,000 (LEAN's format)" in ended.out


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("20240103 00:00,1,1,1,1,5\n20240102 00:00,1,1,1,1,5\n", id="not in order"),
        pytest.param("20240102 00:00,1,1,1,1\n20240103 00:00,1,1,1,1\n", id="without a volume"),
        pytest.param("2024-01-02 00:00,1,1,1,1,5\n2024-01-03 00:00,1,1,1,1,5\n", id="another form of dates"),
    ],
)
def test_what_is_not_certainly_of_lean_asks_for_a_header(command: Command, write: Write, text: str) -> None:
    ended = command("import", write("equity/usa/daily/spy.csv", text))
    assert ended.code == 1
    assert "it has no header line" in ended.out


def test_prices_of_lean_with_a_fraction_are_not_divided(command: Command, write: Write) -> None:
    text = "34200000,1.1001,1.1002,1.1,1.1001,5\n34260000,1.1001,1.1002,1.1,1.1002,6\n"
    assert command("import", write("20240102_eurusd_minute_trade.csv", text), "--timezone", "UTC").code == 0
    assert command.bars("EURUSD")["close"].tolist() == [1.1001, 1.1002]


def test_quotes_of_lean_are_imported_with_the_suggested_header(command: Command, write: Write) -> None:
    text = "34200000,1687400,1687700,1687000,1687100,5,1687500,1687800,1687100,1687200,7\n"
    write("20131007_spy_minute_quote.csv", text)
    header = "time,open,high,low,close,bid_size,,,,,ask_size"
    options = ("--timezone", "America/New_York", "--timeframe", "minute")
    assert f"--header {header}\n" in command("import", "20131007_spy_minute_quote.csv", *options).out
    assert command("import", "20131007_spy_minute_quote.csv", *options, "--header", header).code == 0
    assert command.bars("SPY")[["close", "bid_size", "ask_size"]].iloc[0].tolist() == [168.71, 5, 7]


def test_the_scale_of_prices_may_be_stated(command: Command, write: Write) -> None:
    write("X.csv", "date,open,high,low,close,volume\n2024-01-02,123,150,100,125,1000\n2024-01-03,1,1,1,1,1\n")
    assert command("import", "X.csv", "--price-scale", "100").code == 0
    assert command.bars("X", "day").iloc[0].to_dict() == {
        **{"open": 1.23, "high": 1.5, "low": 1.0, "close": 1.25, "volume": 1000}
    }


DATABENTO = "ts_event,rtype,publisher_id,instrument_id,open,high,low,close,volume"


def test_fixed_point_prices_of_databento_are_recognised(command: Command, write: Write) -> None:
    none = 2**63 - 1
    write(
        "spy.ohlcv-1m.csv",
        f"{DATABENTO}\n{1704205800 * 10**9},33,1,7,{475 * 10**9},{476 * 10**9},{none},475500000000,9\n",
    )
    ended = command("import", "spy.ohlcv-1m.csv", "--symbol", "SPY", "--timeframe", "minute")
    assert ended.code == 0, ended.out
    bar = command.bars("SPY").iloc[0]
    assert (bar["open"], bar["high"], bar["close"], bar["volume"]) == (475.0, 476.0, 475.5, 9)
    assert pd.isna(bar["low"])


def test_prices_of_databento_with_a_fraction_are_as_they_are(command: Command, write: Write) -> None:
    write("SPY.csv", f"{DATABENTO}\n2024-01-02T14:30:00.000000000Z,33,1,7,475.000000000,476.0,474.0,475.5,9\n")
    assert command("import", "SPY.csv", "--timeframe", "minute").code == 0
    assert command.bars("SPY")["open"].tolist() == [475.0]


def test_numbers_of_instruments_are_not_symbols(command: Command, write: Write) -> None:
    write("data.csv", f"{DATABENTO}\n2024-01-02T14:30:00Z,33,1,7,475.0,476.0,474.0,475.5,9\n")
    assert "neither its name nor a column has a symbol" in command("import", "data.csv").out


def frame_of_yfinance(*tickers: str, by_ticker: bool = False) -> pd.DataFrame:
    fields = ["Close", "High", "Low", "Open", "Volume"]
    index = pd.DatetimeIndex(pd.to_datetime(DAYS), name="Date")
    data = {
        (field, ticker): [10.0 + 100 * t + f, 11.0 + 100 * t + f, 12.0 + 100 * t + f]
        for t, ticker in enumerate(tickers)
        for f, field in enumerate(fields)
    }
    frame = pd.DataFrame(data, index=index).rename_axis(columns=["Price", "Ticker"])
    for t, ticker in enumerate(tickers):
        frame["High", ticker], frame["Low", ticker] = 500.0, 1.0 + t
    return frame.swaplevel(axis=1).sort_index(axis=1) if by_ticker else frame


def _old_csv(frame: pd.DataFrame, path: Path) -> None:
    """Before 0.2.50, yfinance named neither level of the columns."""
    frame.rename_axis(columns=[None, None]).to_csv(path)


WRITERS: dict[str, tuple[str, Callable[[pd.DataFrame, Path], None]]] = {
    "Parquet": ("download.parquet", lambda frame, path: frame.to_parquet(path)),
    "CSV": ("download.csv", lambda frame, path: frame.to_csv(path)),
    "older CSV": ("download.csv", _old_csv),
}


@pytest.mark.parametrize("by_ticker", [False, True])
@pytest.mark.parametrize("writer", WRITERS)
def test_frames_of_yfinance_are_read_for_one_symbol(command: Command, writer: str, by_ticker: bool) -> None:
    name, write = WRITERS[writer]
    write(frame_of_yfinance("AAPL", by_ticker=by_ticker), command.folder / name)
    ended = command("import", name)
    assert ended.code == 0, ended.out
    assert command.bars("AAPL", "day")["open"].tolist() == [13.0, 14.0, 15.0]


@pytest.mark.parametrize("by_ticker", [False, True])
@pytest.mark.parametrize("writer", WRITERS)
def test_symbols_side_by_side_are_imported_one_at_a_time(command: Command, writer: str, by_ticker: bool) -> None:
    name, write = WRITERS[writer]
    write(frame_of_yfinance("AAPL", "MSFT", by_ticker=by_ticker), command.folder / name)
    ended = command("import", name)
    assert ended.code == 1
    assert "it has 2 symbols side by side (AAPL, MSFT): import one at a time with --symbol" in ended.out
    assert command("import", name, "--symbol", "msft").code == 0
    assert command("import", name, "--symbol", "AAPL").code == 0
    assert command.bars("AAPL", "day")["open"].tolist() == [13.0, 14.0, 15.0]
    assert command.bars("MSFT", "day")["open"].tolist() == [113.0, 114.0, 115.0]


@pytest.mark.parametrize(
    ("symbol", "asset"),
    [
        ("ETH/BTC", AssetKey("ETH", "crypto", "BTC")),
        ("EUR_USD", AssetKey("EUR", "forex", "USD")),
        ("USD-MXN", AssetKey("USD", "forex", "MXN")),
        ("X:BTCUSD", AssetKey("BTC", "crypto", "USD")),
        ("C:EURUSD", AssetKey("EUR", "forex", "USD")),
        ("I:SPX", AssetKey("SPX", "index")),
        (
            "O:SPY240119C00470000",
            AssetKey("SPY", "option", expiration=dt.date(2024, 1, 19), strike=470.0, right="CALL"),
        ),
        ("BRK-B", AssetKey("BRK-B")),
        ("BTC-PERP", AssetKey("BTC-PERP")),
    ],
)
def test_symbols_that_show_what_they_are_need_no_type(
    command: Command, write: Write, symbol: str, asset: AssetKey
) -> None:
    rows = [f"{symbol},{day}" for day in DAYS]
    write("all.csv", csv_of(rows, header="symbol,date,open,high,low,close,volume"))
    ended = command("import", "all.csv")
    assert ended.code == 0, ended.out
    assert [info.key.asset for info in command.storage().list_series()] == [asset]


@pytest.mark.parametrize(
    ("name", "asset"),
    [
        ("BTCUSDT-1d-2024-01", "BTC/USDT crypto"),
        ("SOLFDUSD", "SOL/FDUSD crypto"),
        ("DOTUSD", "DOTUSD stock"),  # DOT in USD, or DO in TUSD
        ("WIFUSDT", "WIFUSDT stock"),
    ],
)
def test_a_known_coin_in_a_stable_coin_is_a_pair(command: Command, write: Write, name: str, asset: str) -> None:
    ended = command("import", write(f"{name}.csv", csv_of(DAYS)))
    assert assets(command) == [asset]
    assert ("its symbol is a pair, so its type is crypto, not stock" in ended.out) == asset.endswith("crypto")


def test_pairs_in_file_names_are_pairs(command: Command, write: Write) -> None:
    write("ADA_BTC-5m.csv", csv_of([str(1704205800 + 300 * i) for i in range(4)]))
    ended = command("import", "ADA_BTC-5m.csv")
    assert assets(command) == ["ADA/BTC crypto"]
    assert "its symbol is a pair, so its type is crypto, not stock" in ended.out
    assert command("import", "ADA_BTC-5m.csv", "--asset-type", "stock").code == 0
    assert assets(command) == ["ADA-BTC stock", "ADA/BTC crypto"]


@pytest.mark.parametrize(
    ("name", "hint"),
    [("EURUSD", "--asset-type forex"), ("WIFUSDT", "--asset-type crypto"), ("ESH4", "--asset-type future")],
)
def test_a_symbol_that_hardly_is_a_stock_is_noted(command: Command, write: Write, name: str, hint: str) -> None:
    write(f"{name}.csv", csv_of(DAYS))
    assert f"its type is stock: state {hint}" in command("import", f"{name}.csv").out


def test_files_of_one_run_that_overwrite_each_other_are_named(command: Command, write: Write) -> None:
    write("a/AAPL.csv", csv_of(DAYS))
    write("b/AAPL.csv", csv_of(DAYS).replace("100.25", "100.5"))
    write("c/AAPL.csv", csv_of(["2024-02-01", "2024-02-02", "2024-02-05"]))
    ended = command("import", "a", "b", "c")
    assert (
        "b/AAPL.csv: bars of AAPL stock, day bars from import that it changed: 1; a/AAPL.csv had stored bars of that "
        "time in the same run"
    ) in ended.out
    assert ended.out.count("that it changed") == 1
