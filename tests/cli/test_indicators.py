"""`lumibot-duckdb indicators`."""

from __future__ import annotations

import csv
import io
import json
import sys
from datetime import datetime, timezone
from pathlib import Path

import pandas as pd
import pytest

from analytics.market import frame
from cli.files import Command, no_store
from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.analytics.catalogue import CATALOGUE
from lumibot_duckdb.cli import indicator_output
from templates import template

DAYS = frame(60, freq="D", start="2024-01-02")
BASIC = ("--with", "sma(3)", "--with", "ema(5)")  # these have macros, so they need no TA-Lib


@template
def several(storage: DuckDBDataStorage) -> None:
    storage.store_ohlcv_data("AAPL", DAYS, "test", "day")
    storage.store_ohlcv_data("MSFT", DAYS * 2, "test", "day")
    storage.store_ohlcv_data(("BTC", "USD"), frame(300), "test", "minute")


@pytest.fixture
def filled(command: Command) -> Command:
    several(command.store)
    return command


def test_a_table(filled: Command) -> None:
    ended = filled("indicators", "AAPL", *BASIC, "--from", "2024-02-01", "--to", "2024-02-02")
    lines = ended.out.splitlines()
    assert (ended.code, ended.err) == (0, "")
    assert lines[0].split() == ["asset_symbol", "timestamp", "close", "sma_3", "ema_5"]
    assert [line.split()[1] for line in lines[2:4]] == ["2024-02-01", "2024-02-02"]
    assert lines[-1] == "Times are New York time."
    expected = filled.storage().indicators("AAPL", ["sma(3)", "ema(5)"])
    assert float(lines[2].split()[4]) == pytest.approx(expected["ema_5"].loc["2024-02-01"], rel=1e-7)
    first = filled("indicators", "AAPL", *BASIC).out.splitlines()[2]
    assert first.split() == ["AAPL", "2024-01-02", str(DAYS["close"].iloc[0])]


def test_a_table_has_an_end(filled: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indicator_output, "TABLE_ROWS", 70)
    ended = filled("indicators", "AAPL", "MSFT", *BASIC)
    assert len(ended.out.splitlines()) == 70 + 4
    assert "The first 70 rows." in ended.err
    assert filled("indicators", "AAPL", *BASIC).err == ""


def test_csv_and_json(filled: Command) -> None:
    ended = filled("indicators", "AAPL", "btc-usd", "--timeframe", "30min", "--with", "sma(3)", "--format", "csv")
    assert (ended.code, ended.out) == (1, "")  # no minutes of AAPL
    text = filled("indicators", "btc-usd", "--timeframe", "30min", "--with", "sma(3)", "--format", "csv").out
    rows = list(csv.DictReader(io.StringIO(text)))
    assert (len(rows), rows[0]["timestamp"], rows[0]["sma_3"]) == (10, "2024-01-02 14:30:00+00:00", "")
    assert filled("indicators", "btc-usd", "--timeframe", "30min", "--with", "sma(3)", "--csv").out == text
    found = json.loads(filled("indicators", "AAPL", "MSFT", *BASIC, "--format", "json").out)
    assert json.loads(filled("indicators", "AAPL", "MSFT", *BASIC, "--json").out) == found
    assert (len(found), found[1]["sma_3"]) == (120, None)
    assert found[62]["sma_3"] == pytest.approx(2 * DAYS["close"][:3].mean())


@pytest.mark.parametrize("kind", ["parquet", "csv", "json"])
def test_files(filled: Command, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    file = filled.folder / f"out.{kind}"
    ended = filled("indicators", "AAPL", "MSFT", *BASIC, "--output", file)
    assert (ended.code, ended.out) == (0, f"120 rows of 2 assets written to {file}.\n")
    read = {"parquet": pd.read_parquet, "csv": pd.read_csv, "json": pd.read_json}[kind](file)
    assert read["ema_5"].notna().sum() == 112
    before = file.read_bytes()
    refused = filled("indicators", "AAPL", *BASIC, "--output", file)
    assert (refused.code, "exists. Replace it? Nothing was changed" in refused.err) == (2, True)
    assert file.read_bytes() == before
    assert filled("indicators", "AAPL", *BASIC, "--output", file, "--yes").code == 0
    assert file.read_bytes() != before
    monkeypatch.setattr(indicator_output, "_counted", None)
    assert filled("indicators", "AAPL", *BASIC, "--output", file, "--yes").code == 70
    assert [path.name for path in filled.folder.iterdir() if "out" in path.name] == [file.name]  # no part of a file


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("AAPL",), 2, 'name at least one SYMBOL and one indicator, such as --with "rsi(14)"; --list shows all'),
        (("--with", "rsi"), 2, "name at least one SYMBOL"),
        (("AAPL", "--with", "rsii"), 2, "there is no indicator 'rsii'; did you mean rsi?"),
        (("AAPL", "--with", "sma(0)"), 2, "sma(0): n must be a whole number from 1 to 100000, not 0"),
        (("AAPL", *BASIC, "--timeframe", "eon"), 2, "'eon' is not a timeframe"),
        (("AAPL", *BASIC, "--from", "monday"), 2, "--from monday: write a date"),
        (("AAPL", *BASIC, "--from", "2024-02-02", "--to", "2024-02-01"), 2, "is not after"),
        *(
            (("AAPL", "MSFT", *BASIC, "--from", "2030-01-01", *form), 2, "MSFT: no day bars from 2030-01-01; there are")
            for form in ((), ("--format", "csv"))
        ),
        (("APL", *BASIC), 1, "no bars of APL; did you mean AAPL?"),
        (("AAPL", *BASIC, "--timeframe", "hour"), 1, "no hour bars of AAPL stock"),
        (("AAPL", *BASIC, "--source", "other"), 1, "no day bars of AAPL stock from other"),
        (("AAPL", *BASIC, "--format", "parquet"), 2, "--format parquet needs --output FILE"),
        (("AAPL", *BASIC, "--output", "a.txt"), 2, "a.txt: add --format csv, parquet or json"),
        (("AAPL", *BASIC, "--output", "a.txt", "--format", "table"), 2, "a file is csv, parquet or json"),
        (("AAPL", *BASIC, "--output", "nowhere/a.csv"), 2, "name a file in an existing folder"),
        (("AAPL", *BASIC, "--csv", "--format", "json"), 2, "argument --format: not allowed with argument --csv"),
        (("--list", "--csv"), 2, "--list takes --with and --format table or json, and nothing else"),
        (("AAPL", *BASIC, "--fromat", "csv"), 2, "did you mean --format?"),
        (("AAPL", "--list"), 2, "--list takes --with and --format table or json, and nothing else"),
        (("--list", "--with", "rsii"), 2, "did you mean rsi?"),
    ],
)
def test_mistakes(filled: Command, arguments: tuple[str, ...], code: int, message: str) -> None:
    ended = filled("indicators", *arguments)
    assert (ended.code, ended.out) == (code, "")
    assert message in ended.err
    assert ended.err.count("\n") == 1
    assert not list(filled.folder.glob("a.*"))


def test_several_sources(filled: Command) -> None:
    filled.storage().store_ohlcv_data("AAPL", DAYS, "other", "day")
    ended = filled("indicators", "AAPL", *BASIC)
    assert (ended.code, "; add --source, one of other, test" in ended.err) == (1, True)
    assert filled("indicators", "AAPL", *BASIC, "--source", "other").code == 0


def test_what_needs_ta_lib_says_so(filled: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lumibot_duckdb.analytics.computation.engine.ta_lib", lambda: None)
    ended = filled("indicators", "AAPL", "--with", "psar", "--with", "kama")
    assert (ended.code, "psar, kama need TA-Lib" in ended.err) == (1, True)
    assert "pip install 'lumibot-duckdb[analytics]'" in ended.err
    assert filled("indicators", "AAPL", "--with", "sma(3)").code == 0


def test_there_is_no_store(command: Command) -> None:
    ended = command("indicators", "AAPL", *BASIC)
    assert (ended.code, ended.err) == (1, no_store(command))


def test_the_catalogue_is_listed(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "talib", None)
    table = command("indicators", "--list").out
    listed = json.loads(command("indicators", "--list", "--format", "json").out)
    assert [each["name"] for each in listed] == list(CATALOGUE)
    assert all(f"{each.usage()}  " in table for each in CATALOGUE.values())
    described = command("indicators", "--list", "--with", "ema(50)", "--with", "psar").out
    for text in (
        "ema(n=20): Exponential moving average",
        "source: TA-Lib EMA",
        "layers: Python\n",
        "limit: a number from",
    ):
        assert text in described
    assert not Path(command.store).exists()


@pytest.mark.parametrize("which", ["snapshot", "time"])
def test_an_earlier_version(filled: Command, which: str) -> None:
    storage = filled.storage()
    before = storage.indicators("AAPL", "sma(3)")["sma_3"].dropna()
    storage.snapshot("before")
    moment = datetime.now(timezone.utc).isoformat()
    storage.store_ohlcv_data("AAPL", DAYS * 3, "test", "day")
    storage.close()
    options = ("indicators", "AAPL", "--with", "sma(3)", "--format", "json")
    now, then = (
        [row["sma_3"] for row in json.loads(filled(*options, *more).out)][2:]
        for more in ((), ("--as-of", "before" if which == "snapshot" else moment))
    )
    assert then == pytest.approx(before.tolist())
    assert now == pytest.approx((before * 3).tolist())


def test_a_version_that_is_not_there(filled: Command) -> None:
    filled.storage().snapshot("before")
    ended = filled("indicators", "AAPL", "--with", "sma(3)", "--as-of", "befor")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err == "lumibot-duckdb: the store has no snapshot 'befor'; did you mean 'before'?\n"
    ended = filled("indicators", "AAPL", "--with", "sma(3)", "--as-of", "2020-01-31")
    assert (ended.code, ended.out) == (1, "")
    assert "AAPL stock, day bars from test were not stored yet as of 2020-01-31" in ended.err
    ended = filled("indicators", "--list", "--as-of", "before")
    assert ended.code == 2
