"""Rows that cannot be bars: not stored, kept beside the store with the reason, counted."""

from __future__ import annotations

import csv
import datetime as dt
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from cli.files import Command, csv_of

Write = Callable[..., Path]

HEADER = "date,open,high,low,close,volume"
GOOD = [f"2024-01-{day:02},10,12,9,11,100" for day in range(2, 12)]


def with_rows(*rows: str) -> str:
    return "\n".join([HEADER, *GOOD, *rows]) + "\n"


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("2024-01-20,10,8,9,10,100", "high below low"),
        ("2024-01-20,0,12,9,11,100", "price not above zero"),
        ("2024-01-20,10,12,-9,11,100", "price not above zero"),
        ("2024-01-20,,,,,100", "no prices"),
        ("2024-01-20,nan,NaN,null,-,", "no prices"),
        ("2024-01-20,10,inf,9,11,100", "price or volume is infinite"),
        ("2024-01-20,10,12,9,11,inf", "price or volume is infinite"),
        ("2024-01-20,10,12,9,11,-1", "volume below zero"),
        ("2024-01-20,10,12,9,x,100", "unreadable number"),
        ("2024-01-20,10,12,9,11,many", "unreadable number"),
        (",10,12,9,11,100", "no time"),
        ("soon,10,12,9,11,100", "unreadable time"),
        ("2024-01-20,10,12,9,11", "wrong number of fields"),
        ("2024-01-20,10,12,9,11,100,7", "wrong number of fields"),
        ("Total of all rows", "wrong number of fields"),
    ],
)
def test_a_row_that_cannot_be_a_bar_is_kept_aside_as_it_is(
    command: Command, write: Write, row: str, reason: str
) -> None:
    ended = command("import", write("AAPL.csv", with_rows(row)))
    assert ended.code == 0
    assert len(command.bars(timeframe="day")) == len(GOOD)
    (file,) = command.quarantine.glob("*.csv")
    assert file.name == f"AAPL.csv-{dt.date.today().isoformat()}.csv"
    with file.open(newline="") as lines:
        header, kept = csv.reader(lines)
    assert header == ["row", "reason", *HEADER.split(",")]
    assert kept == ["11", reason, *row.split(",")]
    assert f"1 row ({reason}: 1), kept in {file}" in ended.out
    assert "11 rows = 10 new + 0 changed + 0 unchanged + 0 repeated + 1 quarantined" in ended.out


@pytest.mark.parametrize(
    "row",
    [
        "2024-01-20,10,10,10,10,0",
        "2024-01-20,10,12,9,11,",
        "2024-01-20,,12,9,11,100",
        "2024-01-20,13,12,9,8,100",
        "2024-01-20,0.000000001,0.000000001,0.000000001,0.000000001,1e15",
    ],
)
def test_odd_bars_that_can_be_are_stored(command: Command, write: Write, row: str) -> None:
    assert command("import", write("AAPL.csv", with_rows(row))).code == 0
    assert len(command.bars(timeframe="day")) == len(GOOD) + 1
    assert not command.quarantine.exists()


def test_identical_rows_become_one_and_are_counted(command: Command, write: Write) -> None:
    ended = command("import", write("AAPL.csv", with_rows(GOOD[0], GOOD[0], GOOD[3])))
    assert ended.code == 0
    assert len(command.bars(timeframe="day")) == len(GOOD)
    assert "13 rows = 10 new + 0 changed + 0 unchanged + 3 repeated + 0 quarantined" in ended.out
    assert "AAPL.csv: 3 rows repeated, each stored once" in ended.out
    assert not command.quarantine.exists()


def test_different_bars_of_one_time_are_all_kept_aside(command: Command, write: Write) -> None:
    other = GOOD[0].replace("100", "101")
    ended = command("import", write("AAPL.csv", with_rows(other, GOOD[1])))
    assert ended.code == 0
    assert len(command.bars(timeframe="day")) == len(GOOD) - 1
    assert command.quarantined() == [
        f"1,other bars with the same time,{GOOD[0]}",
        f"11,other bars with the same time,{other}",
    ]
    assert "12 rows = 9 new + 0 changed + 0 unchanged + 1 repeated + 2 quarantined" in ended.out


def test_bars_of_one_time_and_different_symbols_are_no_conflict(command: Command, write: Write) -> None:
    rows = [f"{symbol},{row}" for row in GOOD for symbol in ("AAPL", "MSFT")]
    assert command("import", write("two.csv", "\n".join([f"ticker,{HEADER}", *rows]))).code == 0
    assert len(command.bars("AAPL", "day")) == len(command.bars("MSFT", "day")) == len(GOOD)


def test_a_row_without_a_symbol_among_rows_with_one_is_kept_aside(command: Command, write: Write) -> None:
    rows = [f"AAPL,{row}" for row in GOOD] + [",2024-01-20,10,12,9,11,100"]
    assert command("import", write("one.csv", "\n".join([f"ticker,{HEADER}", *rows]))).code == 0
    assert command.quarantined() == ["11,no symbol,,2024-01-20,10,12,9,11,100"]


def test_a_file_with_more_bad_rows_than_good_is_refused_as_a_whole(command: Command, write: Write) -> None:
    bad = [f"2024-02-{day:02},10,8,9,10,100" for day in range(1, 12)]
    ended = command("import", write("AAPL.csv", with_rows(*bad)))
    assert ended.code == 1
    assert "11 of 21 rows cannot be bars: high below low (11); the first is row 11" in ended.out
    assert not command.store.exists()
    assert not command.quarantine.exists()


def test_the_same_file_again_keeps_its_quarantine_and_another_one_gets_its_own(command: Command, write: Write) -> None:
    bad, worse = "2024-01-20,10,8,9,10,100", "2024-01-20,10,7,9,10,100"
    for content in (with_rows(bad), with_rows(bad), with_rows(worse)):
        assert command("import", write("AAPL.csv", content)).code == 0
    today = dt.date.today().isoformat()
    assert sorted(file.name for file in command.quarantine.iterdir()) == [
        f"AAPL.csv-{today}-2.csv",
        f"AAPL.csv-{today}.csv",
    ]
    assert command.quarantined() == [f"11,high below low,{worse}", f"11,high below low,{bad}"]


def test_rows_of_a_parquet_file_are_kept_aside_too(command: Command) -> None:
    days = pd.date_range("2024-01-02", periods=5, freq="D", tz="UTC")
    frame = pd.DataFrame({"open": 10.0, "high": 12.0, "low": [9.0, 9.0, 13.0, 9.0, 9.0], "close": 11.0}, index=days)
    frame.to_parquet(command.folder / "AAPL.parquet")
    assert command("import", "AAPL.parquet").code == 0
    assert command.quarantined() == ["3,high below low,10,12,13,11,2024-01-04 00:00:00.000000000Z"]


def test_the_quarantine_is_not_imported_with_the_folder_it_is_in(command: Command, write: Write) -> None:
    write("store/AAPL.csv", with_rows("2024-01-20,10,8,9,10,100"))
    assert command("import", command.store.parent).code == 0
    ended = command("import", command.store.parent)
    assert ended.code == 0
    assert "1 file imported" in ended.out


def test_every_row_of_a_file_is_accounted_for(command: Command, write: Write) -> None:
    lines = csv_of([f"2024-{month:02}-{day:02}" for month in range(1, 13) for day in range(1, 29)]).splitlines()
    for number in range(5, len(lines), 17):
        lines[number] = lines[number].replace(",1", ",-1", 1)
    lines[20:20] = [lines[23], lines[24], "x,y", ""]
    ended = command("import", write("AAPL.csv", "\n".join(lines)))
    assert ended.code == 0
    stored = len(command.bars(timeframe="day"))
    quarantined = len(command.quarantined())
    repeated = 2
    assert stored + quarantined + repeated == len(lines) - 2  # the header and the blank line
    assert f"{stored} new + 0 changed + 0 unchanged + {repeated} repeated + {quarantined} quarantined" in ended.out
