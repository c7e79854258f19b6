"""Delimited text in many dialects: the store has exactly what the file has."""

from __future__ import annotations

import bz2
import io
import math
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from cli.files import Command, csv_of, minutes
from hypothesis_settings import examples

Write = Callable[..., Path]

NY = "America/New_York"
DAYS = ["2024-01-02", "2024-01-03", "2024-01-04"]
OPENS = [100.25, 101.25, 102.25]


def opens(command: Command, asset: str = "AAPL", timeframe: str = "day") -> list[float]:
    return command.bars(asset, timeframe)["open"].tolist()


def test_a_plain_csv_goes_in_with_its_values_and_types(command: Command, write: Write) -> None:
    ended = command("import", write("AAPL.csv", csv_of(DAYS)))
    assert ended.code == 0
    bars = command.bars("AAPL", "day")
    assert bars.reset_index(drop=True).to_dict("list") == {
        "open": OPENS,
        "high": [101.5, 102.5, 103.5],
        "low": [99.125, 100.125, 101.125],
        "close": [100.75, 101.75, 102.75],
        "volume": [1000, 1001, 1002],
    }
    assert bars["volume"].dtype == "int64"
    assert bars.index.name == "datetime"
    assert str(bars.index.dtype) == f"datetime64[ns, {NY}]"


_PRICES = st.one_of(
    st.floats(1e-9, 1e12).map(repr),
    st.decimals("0.00000001", "99999999", places=8).map(str),
    st.builds("{}.{}".format, st.integers(1, 10**9), st.text("0123456789", min_size=1, max_size=25)),
)


@examples(10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(prices=st.lists(_PRICES, min_size=1, max_size=40))
def test_what_is_read_back_is_pythons_float_of_each_text(command: Command, prices: list[str]) -> None:
    times = minutes("2024-01-02 09:30", len(prices), zone="UTC")
    rows = [f"{time},{price},{price},{price},{price}" for time, price in zip(times, prices, strict=True)]
    file = command.folder / "EXACT.csv"
    file.write_text("\n".join(["time,open,high,low,close", *rows]))
    assert command("import", file, "--timeframe", "minute", "--source", f"run_{len(prices)}").code == 0
    bars = command.bars("EXACT", source=f"run_{len(prices)}").tail(len(prices))
    expected = [float(price) for price in prices]
    assert all(bars[column].tolist() == expected for column in ("open", "high", "low", "close"))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("AAPL.csv", lambda text: "\ufeff" + text),
        ("AAPL.csv", lambda text: text.replace("\n", "\r\n")),
        ("AAPL.csv", lambda text: text.replace("\n", "\r")),
        ("AAPL.csv", lambda text: text.replace("\n", "\n\n") + "\n\n"),
        ("AAPL.csv", lambda text: text + "   \n\x1a"),
        ("AAPL.csv", lambda text: text + ",,,,,\n,,,,,\n"),
        ("AAPL.csv", lambda text: text.rstrip("\n")),
        ("AAPL.csv", lambda text: text.replace(",", ", ")),
        ("AAPL.csv", lambda text: text.replace(",", ";")),
        ("AAPL.csv", lambda text: "sep=;\n" + text.replace(",", ";")),
        ("AAPL.csv", lambda text: "# made by us\n\nSymbol: AAPL\n" + text),
        ("AAPL.csv", lambda text: text.replace("\n", ",\n")),
        ("AAPL.csv", lambda text: text.replace("\n", ",\n").replace(",\n", "\n", 1)),
        ("AAPL.tsv", lambda text: text.replace(",", "\t")),
        ("AAPL.txt", lambda text: text.replace(",", "|")),
        ("AAPL.csv.gz", lambda text: text),
        ("AAPL.csv", lambda text: text.encode("utf-16")),
        ("AAPL.csv", lambda text: text.replace("volume", "Volume (Stück)").encode("cp1252")),
        ("AAPL.csv", lambda text: bz2.compress(text.encode())),
        ("AAPL.dat", lambda text: '"' + text.strip().replace(",", '","').replace("\n", '"\n"') + '"\n'),
    ],
)
def test_every_way_to_write_the_same_file_gives_the_same_bars(
    command: Command, write: Write, name: str, change: Callable[[str], str | bytes]
) -> None:
    text = csv_of(DAYS)
    ended = command("import", write(name, change(text)))
    assert ended.code == 0, ended.out
    assert opens(command) == OPENS
    assert command.bars("AAPL", "day")["volume"].tolist() == [1000, 1001, 1002]
    assert command.quarantined() == []


def test_bytes_that_are_no_text_do_no_harm_to_other_rows(command: Command, write: Write) -> None:
    lines = [line.encode() for line in csv_of(minutes("2024-01-02 09:30", 10_000, zone="UTC")).splitlines()]
    lines[9_000] = b"\xff\xfe" + lines[9_000]
    lines[9_500] = b"\xe4\xf6,\xfc"
    assert command("import", write("AAPL.csv", b"\n".join(lines))).code == 0
    assert len(command.bars()) == 9_998
    unreadable, short = command.quarantined()
    assert unreadable.startswith("9000,unreadable time,\ufffd")
    assert short == "9500,wrong number of fields,\ufffd\ufffd,\ufffd"


def test_a_european_file_is_read_with_its_commas(command: Command, write: Write) -> None:
    write("SAP.csv", "Datum;Eröffnung;Hoch;Tief;Schluss;Volumen\n02.01.2024;139,5;1.140,25;138,75;1.139,1;1.234.567\n")
    columns = "time=Datum,open=Eröffnung,high=Hoch,low=Tief,close=Schluss,volume=Volumen"
    ended = command("import", "SAP.csv", "--columns", columns)
    assert ended.code == 0, ended.out
    bar = command.bars("SAP", "day").iloc[0]
    assert bar.to_dict() == {"open": 139.5, "high": 1140.25, "low": 138.75, "close": 1139.1, "volume": 1_234_567}


def test_a_comma_that_may_be_a_decimal_mark_or_not_is_refused_until_said(command: Command, write: Write) -> None:
    write("N225.tsv", "date\topen\thigh\tlow\tclose\n2024-01-02\t1,100\t1,200\t1,000\t1,150\n")
    ended = command("import", "N225.tsv")
    assert ended.code == 1
    assert 'the comma in "1,100" may be a decimal mark' in ended.out
    assert command("import", "N225.tsv", "--decimal", ".").code == 0
    assert opens(command, "N225") == [1100.0]


def test_yfinances_three_header_lines_are_read(command: Command, write: Write) -> None:
    text = "Price,Close,High,Low,Open,Volume\nTicker,MSFT,MSFT,MSFT,MSFT,MSFT\nDate,,,,,\n2024-01-02,2,3,1,1.5,10\n"
    assert command("import", write("download.csv", text)).code == 0
    assert opens(command, "MSFT") == [1.5]


def test_symbols_side_by_side_are_refused(command: Command, write: Write) -> None:
    text = "Price,Close,High,Low,Open\nTicker,MSFT,AAPL,MSFT,AAPL\nDate,,,,\n2024-01-02,2,3,1,1.5\n"
    ended = command("import", write("download.csv", text))
    assert ended.code == 1
    assert "2 symbols side by side" in ended.out


def test_a_file_without_a_header_line_is_refused_until_its_columns_are_named(command: Command, write: Write) -> None:
    write("EURUSD.csv", "2024.01.02,09:30,1.1,1.2,1.0,1.15,0\n2024.01.02,09:31,1.1,1.2,1.0,1.15,0\n")
    ended = command("import", "EURUSD.csv", "--timezone", "UTC")
    assert ended.code == 1
    assert "no header line (it starts with 2024.01.02,09:30,1.1" in ended.out
    header = "date,time,open,high,low,close,volume"
    assert command("import", "EURUSD.csv", "--timezone", "UTC", "--header", header).code == 0
    assert opens(command, "EURUSD", "minute") == [1.1, 1.1]


def test_further_columns_are_kept_when_they_are_named_and_listed_when_not(command: Command, write: Write) -> None:
    text = "date,open,high,low,close,Signal,Junk\n2024-01-02,1,2,1,1,0.5,x\n2024-01-03,1,2,1,1,,y\n"
    write("AAPL.csv", text)
    assert "columns left out: Signal, Junk" in command("import", "AAPL.csv").out
    ended = command("import", "AAPL.csv", "--columns", "signal=Signal", "--source", "other")
    assert "columns left out: Junk" in ended.out
    signal = command.bars("AAPL", "day", "other")["signal"].tolist()
    assert signal[0] == 0.5
    assert math.isnan(signal[1])


def test_volume_with_fractions_or_gaps_stays_floating_point(command: Command, write: Write) -> None:
    write("A.csv", "date,open,high,low,close,volume\n2024-01-02,1,2,1,1,5\n2024-01-03,1,2,1,1,0.5\n")
    write("B.csv", "date,open,high,low,close,volume\n2024-01-02,1,2,1,1,5\n2024-01-03,1,2,1,1,\n")
    assert command("import", "A.csv", "B.csv").code == 0
    assert command.bars("A", "day")["volume"].tolist() == [5.0, 0.5]
    assert command.bars("B", "day")["volume"].dtype == "float64"


def test_volumes_too_large_for_a_whole_number_of_a_double_stay_floating_point(command: Command, write: Write) -> None:
    write("A.csv", f"date,open,high,low,close,volume\n2024-01-02,1,2,1,1,{10**25}\n2024-01-03,1,2,1,1,5\n")
    assert command("import", "A.csv").code == 0
    assert command.bars("A", "day")["volume"].tolist() == [1e25, 5.0]


def test_a_file_larger_than_a_block_is_read_whole_and_in_order(
    command: Command, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lumibot_duckdb.importing.delimited._BLOCK_BYTES", 2_000)
    monkeypatch.setattr("lumibot_duckdb.importing.writing.BARS_A_WRITE", 700)
    lines = csv_of(minutes("2024-01-02 09:30", 3_000, zone="UTC")).splitlines()
    lines[1000] = "not,a,row"
    lines[2000] = lines[2000].replace(",", ",x", 1)
    assert command("import", write("AAPL.csv", "\n".join(lines))).code == 0
    kept = [100.25 + i for i in range(3_000) if i not in (999, 1999)]
    assert opens(command, timeframe="minute") == kept
    assert [line.split(",")[0] for line in command.quarantined()] == ["1000", "2000"]
    (series,) = command.storage().list_series()
    assert len(series.coverage) == 1


def test_pandas_reads_the_same_from_the_file_as_is_in_the_store(command: Command, write: Write) -> None:
    text = csv_of(minutes("2024-01-02 09:30", 500, zone="UTC"))
    assert command("import", write("AAPL.csv", text)).code == 0
    expected = pd.read_csv(io.StringIO(text), index_col=0, parse_dates=True, float_precision="round_trip")
    stored = command.bars()
    pd.testing.assert_frame_equal(stored.tz_convert("UTC"), expected, check_freq=False, check_names=False)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "the file is empty"),
        ("\n\n\n", "the file is empty"),
        (b"\x00\x01\x02\x03\x04", "neither text nor Parquet"),
        ("<html><body>503</body></html>", "no column recognised"),
        ("PK\x03\x04 something", "zip archive or an Excel file"),
        ("PAR1 and no more", "it cannot be read"),
        ("ARROW1 and no more", "it cannot be read"),
        (b"\x1f\x8b\x08\x00broken", "it cannot be read"),
        ("date,open,open,high,low,close\n2024-01-02,1,1,2,1,1\n", "several columns are called open"),
        ("date,open,high,low,close\n", None),
    ],
)
def test_files_that_are_none_are_refused_with_their_reason(
    command: Command, write: Write, content: str | bytes, reason: str | None
) -> None:
    ended = command("import", write("AAPL.csv", content))
    assert ended.code == (0 if reason is None else 1)
    assert (reason or "no bars in it") in ended.out
    assert ended.err == ""
