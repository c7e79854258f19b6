"""Files of the shared folder that were once imported wrongly or refused without a way forward, with what is right."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from cli.files import Command

FAULTS = Path(__file__).parents[3] / "shared" / "faults" / "import"

pytestmark = pytest.mark.skipif(not FAULTS.exists(), reason="the shared faults are not here")


def first_bar(command: Command, asset: str, timeframe: str) -> tuple[str, float, float, float]:
    """The time in UTC, open, close and volume of the first bar."""
    bars = command.bars(asset, timeframe)
    bar = bars.iloc[0]
    return f"{bars.index[0].tz_convert('UTC'):%Y-%m-%d %H:%M}", bar["open"], bar["close"], bar["volume"]


@pytest.mark.parametrize(
    ("file", "options", "asset", "timeframe", "rows", "bar"),
    [
        ("GMT2.csv", [], "GMT2", "minute", 2, ("2024-07-02 07:30", 1, 1.5, 10)),
        ("databento_raw.csv", [], "ESH2", "minute", 2, ("2022-01-03 00:00", 4773.75, 4773.5, 120)),
        ("UNQ500.csv", [], "UNQ500", "day", 500, ("2020-01-01 05:00", 1, 1.5, 100)),
        ("BTCUSDT-1M.csv", [], "BTC/USDT", "month", 3, ("2021-01-01 00:00", 1, 1.5, 10)),
        ("FRIMON.csv", [], "FRIMON", "day", 2, ("2024-01-05 05:00", 1, 1.5, 10)),
        ("NANS.csv", [], "NANS", "minute", 2, ("2011-12-31 07:52", 4.39, 4.39, 0.45)),
        ("NSE.csv", [], "NSE", "day", 2, ("2024-01-04 05:00", 2586.7, 2596.65, 5478912)),
        ("SWISS.csv", [], "SWISS", "day", 2, ("2024-01-02 05:00", 1234.5, 1235.5, 1000)),
        ("yf_multi1.parquet", [], "AAPL", "day", 4, ("2024-01-02 05:00", 10, 10.5, 100)),
        ("yf_old.csv", [], "AAPL", "day", 2, ("2020-08-12 04:00", 107.6, 110.05, 165598000)),
        ("cdd_ampm.csv", ["--timezone", "UTC"], "BTCUSD", "hour", 3, ("2019-04-22 21:00", 5365, 5384.93, 396.26)),
        ("barchart8.csv", ["--date-order", "mdy"], "AAPL", "day", 8, ("2024-01-02 05:00", 181.99, 181.18, 62303300)),
        ("daily-KO.csv", [], "KO", "day", 2, ("1997-01-02 05:00", 52.5, 51.875, 7161800)),
        (
            *("mt5_tickvol.csv", ["--timezone", "UTC", "--timeframe", "9h", "--symbol", "EURUSD"]),
            *("EURUSD", "9hour", 2, ("2015-01-02 00:00", 1.20565, 1.20001, 93697)),
        ),
        (
            "backtrader_hdr7_rows8.txt",
            ["--timezone", "UTC", "--symbol", "FDAX", "--header", "Date,Time,Open,High,Low,Close,Volume,"],
            *("FDAX", "minute", 2, ("2006-01-02 09:01", 3602, 3599, 5699)),
        ),
        (
            *("lean_minute.csv", ["--symbol", "SPY", "--date", "2013-10-07", "--timezone", "America/New_York"]),
            *("SPY", "minute", 2, ("2013-10-07 13:30", 168.74, 168.71, 123456)),
        ),
    ],
    ids=lambda value: value if isinstance(value, str) and "." in value else "",
)
def test_a_file_is_imported_as_what_it_is(
    command: Command,
    file: str,
    options: list[str],
    asset: str,
    timeframe: str,
    rows: int,
    bar: tuple[str, float, float, float],
) -> None:
    ended = command("import", FAULTS / file, *options)
    assert ended.code == 0, ended.out
    assert len(command.bars(asset, timeframe)) == rows
    assert first_bar(command, asset, timeframe) == bar


def test_hive_partitions_are_symbols_of_their_own(command: Command) -> None:
    assert command("import", FAULTS / "hive", "--timezone", "UTC").code == 0
    first_opens = {symbol: command.bars(symbol)["open"].iloc[0] for symbol in ("AAPL", "MSFT", "NVDA")}
    assert first_opens == {"AAPL": 190.0, "MSFT": 370.0, "NVDA": 480.0}
    assert len(command.storage().list_series()) == 3


@pytest.mark.parametrize(
    ("file", "options", "message"),
    [
        ("GMT2.csv", ["--timezone", "Asia/Tokyo"], "says UTC+02:00, which contradicts --timezone Asia/Tokyo"),
        (
            "lean_minute.csv",
            [],
            "34200000 ms since midnight), and neither its name nor its folder has a date: give",
        ),
        ("barchart8.csv", [], "01/11/2024 may be two days, and no date in the file decides it: give --date-order"),
        ("backtrader_hdr7_rows8.txt", [], "its header in line 1 has 7 names, but most rows have 8 fields"),
    ],
)
def test_what_is_uncertain_is_asked(command: Command, file: str, options: list[str], message: str) -> None:
    ended = command("import", FAULTS / file, *options)
    assert ended.code == 1
    assert message in ended.out
    assert not command.store.exists()


def test_the_hours_with_am_and_pm_follow_each_other(command: Command) -> None:
    assert command("import", FAULTS / "cdd_ampm.csv", "--timezone", "UTC").code == 0
    expected = pd.date_range("2019-04-22 21:00", periods=3, freq="h", tz="UTC")
    assert list(command.bars("BTCUSD", "hour").index.tz_convert("UTC")) == list(expected)
