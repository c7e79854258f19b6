"""Damaged and hostile files: an error that names value, column and line, with a way forward; the run goes on."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cli.files import Command, csv_of, minutes
from lumibot_duckdb.importing import importer, text_stream

Write = Callable[..., Path]

DAYS = [f"2024-01-{day:02}" for day in range(2, 12)]
HEADER = "Date,Open,High,Low,Close,Volume"


def csv_rows(*rows: str, header: str = HEADER) -> str:
    return "\n".join([header, *rows]) + "\n"


GOOD = [f"{day},10,12,9,11,100" for day in DAYS]


@pytest.mark.parametrize(
    ("rows", "options", "message", "way"),
    [
        (
            [row.replace(",100", ",lots") for row in GOOD],
            [],
            'the first is row 1 (line 2): Volume "lots"; state --decimal, or name another column (--columns '
            "close=Last) or none (--columns volume=)",
            ["--columns", "volume="],
        ),
        (
            [*GOOD[:2], *[row.replace("2024-", "anno ") for row in GOOD[2:]]],
            [],
            'the first is row 3 (line 4): Date "anno 01-04"; name the right column with --time-column',
            ["--max-bad-rows", "80"],
        ),
        (
            [row.replace(",12,", ",8,") for row in GOOD[1:]] + GOOD[:1],
            [],
            'the first is row 1 (line 2): High "8", Low "9"; name the columns of prices with --columns',
            ["--max-bad-rows", "100"],
        ),
        (
            [*GOOD[:4], *[f"{row},x,y" for row in GOOD[4:]]],
            ["--delimiter", ","],
            "its header in line 1 has 6 names, but most rows have 8 fields (2024-01-06,10,12,9,11,100,x,y): name all 8",
            ["--header", "date,open,high,low,close,volume,,", "--max-bad-rows", "40"],
        ),
        (
            [row.replace(",100", ",-100") for row in GOOD],
            [],
            'Volume "-100"; leave the volume out with --columns volume=',
            ["--columns", "volume="],
        ),
    ],
)
def test_an_error_names_value_column_and_line_and_an_option_helps(
    command: Command, write: Write, rows: list[str], options: list[str], message: str, way: list[str]
) -> None:
    write("AAPL.csv", csv_rows(*rows))
    ended = command("import", "AAPL.csv", *options)
    assert ended.code == 1
    assert message in ended.out
    assert command("import", "AAPL.csv", *options, *way).code == 0
    assert len(command.bars("AAPL", "day")) >= 1


def test_the_line_counts_what_is_before_the_rows_and_empty_lines(command: Command, write: Write) -> None:
    text = "made by us\n\n" + csv_rows(
        "2024-01-02,10,12,9,11,1", "", "", "2024-01-03,10,x,9,11,1", "2024-01-04,y,1,1,1,1"
    )
    ended = command("import", write("AAPL.csv", text))
    assert 'the first is row 2 (line 7): High "x"' in ended.out


def test_rows_without_prices_do_not_make_a_file_doubtful(command: Command, write: Write) -> None:
    times = minutes("2024-01-02 14:30", 20, zone="UTC")
    rows = [f"{time},1,1,1,1,1" if i % 5 == 0 else f"{time},,,,,0" for i, time in enumerate(times)]
    ended = command("import", write("AAPL.csv", csv_rows(*rows)))
    assert ended.code == 0, ended.out
    assert len(command.bars()) == 4
    assert "AAPL.csv: 16 rows (no prices: 16), kept in" in ended.out


def test_a_file_of_rows_without_prices_only_is_refused(command: Command, write: Write) -> None:
    ended = command("import", write("AAPL.csv", csv_rows(*[f"{day},,,,,5" for day in DAYS])))
    assert ended.code == 1
    assert "10 of 10 rows cannot be bars: no prices (10)" in ended.out


@pytest.mark.parametrize(
    ("row", "width", "header"),
    [
        ("2024.01.02,09:30,1,2,1,1.5,0", 7, "date,time,open,high,low,close,volume"),
        ("1704205800,1,2,1,1.5,10,3", 7, "time,open,high,low,close,volume,"),
        (
            "1704205800000,1,2,1,1.5,10,1704205859999,15,3,5,7,0",
            12,
            "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,"
            "taker_buy_quote_volume,ignore",
        ),
        ("20240102,1,2,1,1.5", 5, "time,open,high,low,close"),
        ("1704205800,1,2,1,1.5,10,1,1,1,1,1", 11, "time,open,high,low,close,volume,,,,,"),
    ],
)
def test_a_header_of_the_right_width_is_suggested(
    command: Command, write: Write, row: str, width: int, header: str
) -> None:
    write("EURUSD.csv", f"{row}\n")
    ended = command("import", "EURUSD.csv")
    assert ended.code == 1
    assert (
        f"it has no header line (it starts with {row}): name its {width} columns, e.g. --header {header}" in ended.out
    )
    options = ("--header", header, "--timezone", "UTC", "--timeframe", "minute")
    assert command("import", "EURUSD.csv", *options).code == 0
    assert command.bars("EURUSD")["close"].tolist() == [1.5]


def test_a_header_replaces_the_one_in_the_file(command: Command, write: Write) -> None:
    write("AAPL.csv", csv_rows(*GOOD, header="when,a,b,c,d,e"))
    assert command("import", "AAPL.csv").code == 1
    assert command("import", "AAPL.csv", "--header", "date,open,high,low,close,volume").code == 0
    assert len(command.bars("AAPL", "day")) == len(GOOD)


def test_a_header_that_does_not_fit_the_rows_is_refused(command: Command, write: Write) -> None:
    write("AAPL.csv", "\n".join(GOOD))
    ended = command("import", "AAPL.csv", "--header", "date,open,high,low,close")
    assert "--header names 5 columns, but line 1 has 6: 2024-01-02,10,12,9,11,100" in ended.out


def test_a_first_row_that_the_header_does_not_fit_is_quarantined(command: Command, write: Write) -> None:
    write("AAPL.csv", "\n".join(["2024-01-01,1,1,1", *GOOD]))
    assert command("import", "AAPL.csv", "--header", "date,open,high,low,close,volume").code == 0
    assert command.quarantined() == ["1,wrong number of fields,2024-01-01,1,1,1"]


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sets(st.integers(0, 199), min_size=1, max_size=5), st.sampled_from(['"bad', 'bad"', 'b"ad', '"']))
@pytest.mark.long
def test_a_quote_that_is_not_closed_swallows_nothing(command: Command, places: set[int], note: str) -> None:
    days = pd.date_range("2020-01-01", periods=200, freq="D")
    rows = [f"{day:%Y-%m-%d},1,2,0.5,1.5,{i},{note if i in places else ''}" for i, day in enumerate(days)]
    file = command.folder / "AAPL.csv"
    file.write_text(csv_rows(*rows, header=f"{HEADER},Note"))
    source = f"run{abs(hash((tuple(places), note)))}"
    ended = command("import", file, "--source", source)
    assert ended.code == 0
    assert command.bars("AAPL", "day", source)["volume"].tolist() == list(range(200))
    assert f"a quote is not closed in line{'s' if len(places) > 1 else ''} {min(places) + 2}" in ended.out


def test_quotes_around_fields_stay_what_they_are(command: Command, write: Write) -> None:
    rows = [f'"{day}","1,010.5","1,012","1,009","1,011","1,00{i}"' for i, day in enumerate(DAYS)]
    rows[3] = rows[3].replace('"1,009"', '"1,009')
    ended = command("import", write("AAPL.csv", csv_rows(*rows)))
    assert ended.code == 0
    assert command.bars("AAPL", "day")["volume"].tolist() == [1000, 1001, 1002, *range(1004, 1010)]
    assert command.quarantined() == ["4,wrong number of fields,2024-01-05,1,010.5,1,012,1,009,1,011,1,003"]


def _long_field() -> str:
    return csv_rows(*GOOD, f"2024-01-20,1,1,1,1,{'9' * 200_000}")


ODD: dict[str, str | bytes] = {
    "a field of 200,000 characters": _long_field(),
    "a field of 200,000 characters too many": csv_rows(*GOOD, f"2024-01-20,1,1,1,1,1,{'x' * 200_000}"),
    "a note of 200,000 characters in the first row": csv_rows(
        f"2024-01-01,1,1,1,1,1,{'x' * 200_000}", *[f"{row}," for row in GOOD], header=f"{HEADER},Note"
    ),
    "a stray quote in the header": csv_rows(*GOOD, header=HEADER.replace("Low", 'L"ow')),
    "a header of 300,000 characters": csv_rows(*GOOD, header=",".join([HEADER, *(f"c{i}" for i in range(50_000))])),
    "a line of 10 MB": csv_rows(*GOOD) + "x" * 10_000_000,
    "no line ends": ",".join(["1"] * 5_000_000),
    "nested JSON": json.dumps({"chart": {"result": [{"timestamp": [1, 2], "open": [1.0, 2.0]}]}}),
    "a JSON list": json.dumps([{"time": 1704205800, "open": 1.0}]),
    "JSON as deep as can be": "[" * 100_000,
    "zeros": bytes(100_000),
    "quotes": '"' * 100_001,
    "a lone carriage return": csv_rows(*GOOD).replace("\n2024-01-05", "\r2024-01-05"),
    "NUL in a row": csv_rows(*GOOD[:5], "2024-01-20,1,1\x00,1,1,1", *GOOD[5:]),
}


@pytest.mark.parametrize("name", ODD)
def test_one_file_never_keeps_the_others_from_being_imported(command: Command, write: Write, name: str) -> None:
    write("A.csv", csv_of(DAYS))
    write("B.csv", ODD[name])
    write("C.csv", csv_of(DAYS))
    ended = command("import", "A.csv", "B.csv", "C.csv")
    assert ended.err == ""
    assert len(command.bars("A", "day")) == len(command.bars("C", "day")) == len(DAYS)
    assert ended.code == (1 if "B.csv: " in ended.out.partition("Not imported:")[2] else 0)
    assert "please report" not in ended.out
    if ended.code == 0:
        assert len(command.bars("B", "day")) + len(command.quarantined()) >= len(GOOD)


def test_nested_columns_of_parquet_are_no_obstacle(command: Command) -> None:
    table = pa.table(
        {
            "time": pa.array([1704205800, 1704205860, 1704205920], pa.timestamp("s", "UTC")),
            **{price: [1.0, 2.0, 3.0] for price in ("open", "high", "low", "close")},
            "venues": [[{"name": "a", "size": 1}], [], None],
        }
    )
    pa.parquet.write_table(table, command.folder / "AAPL.parquet")
    assert command("import", "AAPL.parquet").code == 0
    nested = table.set_column(1, "open", pa.array([[1.0], [2.0], [3.0]]))
    pa.parquet.write_table(nested, command.folder / "MSFT.parquet")
    assert "its column open: prices and volumes must be numbers, not list" in command("import", "MSFT.parquet").out
    bad = table.set_column(2, "high", pa.array([1.0, 0.5, 3.0]))
    pa.parquet.write_table(bad, command.folder / "KO.parquet")
    ended = command("import", "KO.parquet")
    assert ended.code == 0, ended.out
    assert len(command.bars("KO", "minute")) == 2


def test_a_fault_of_ours_is_reported_and_the_run_goes_on(
    command: Command, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> None:
        raise KeyError("x")

    write("A.csv", csv_of(DAYS))
    monkeypatch.setattr(importer, "find_scale", fail)
    ended = command("import", "A.csv")
    assert ended.code == 1
    assert "A.csv: it cannot be understood (KeyError: 'x'): please report this" in ended.out


def zip_of(text: bytes) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as written:
        written.writestr("B.csv", text)
    return archive.getvalue()


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, zip_of])
def test_a_bomb_is_refused_until_the_limit_is_raised(
    command: Command, write: Write, monkeypatch: pytest.MonkeyPatch, compress: Callable[[bytes], bytes]
) -> None:
    monkeypatch.setattr(text_stream, "_ALWAYS_ALLOWED_BYTES", 1 << 20)
    text = csv_rows(*GOOD, *[f"2024-02-01,1,1,1,1,1{'0' * 200}"] * 40_000)
    (command.folder / "B.csv.gz").write_bytes(compress(text.encode()))
    ended = command("import", "B.csv.gz", write("C.csv", csv_of(DAYS)))
    assert ended.code == 1
    assert "B.csv.gz: it unpacks to more than 100 times its size" in ended.out
    assert "allow more with --max-expansion" in ended.out
    assert len(command.bars("C", "day")) == len(DAYS)
    assert command("import", "B.csv.gz", "--max-expansion", "100000").code == 0


def test_a_parquet_file_of_endless_repetition_is_refused_until_the_limit_is_raised(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lumibot_duckdb.importing.columnar._ALWAYS_ALLOWED_BYTES", 1 << 20)
    rows = 400_000
    columns = {name: np.ones(rows) for name in ("open", "high", "low", "close")}
    table = pa.table({"time": pa.array(np.full(rows, 1704205800), pa.timestamp("s", "UTC")), **columns})
    pa.parquet.write_table(table, command.folder / "AAPL.parquet", compression="zstd")
    ended = command("import", "AAPL.parquet", "--timeframe", "minute")
    assert ended.code == 1
    assert "its 400,000 rows unpack to more than 100 times its size" in ended.out
    assert command("import", "AAPL.parquet", "--timeframe", "minute", "--max-expansion", "100000").code == 0


def test_a_well_compressed_file_of_bars_is_no_bomb(command: Command, write: Write) -> None:
    assert command("import", write("AAPL.csv.gz", csv_of(minutes("2024-01-02 09:30", 20_000, zone="UTC")))).code == 0
