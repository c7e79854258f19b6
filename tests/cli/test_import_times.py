"""Times in files: zones, vendors' formats, and days with clock changes."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.files import Command, csv_of, minutes
from hypothesis_settings import examples

Write = Callable[..., Path]

NY = "America/New_York"


def utc(*texts: str) -> list[pd.Timestamp]:
    return [pd.Timestamp(text, tz="UTC") for text in texts]


def times(command: Command, timeframe: str = "minute") -> list[pd.Timestamp]:
    return list(command.bars(timeframe=timeframe).index.tz_convert("UTC"))


def test_times_of_day_without_a_zone_are_refused_with_the_way_to_give_one(command: Command, write: Write) -> None:
    ended = command("import", write("AAPL.csv", csv_of(minutes("2024-01-02 09:30", 5))))
    assert ended.code == 1
    assert "have no time zone (the first is 2024-01-02 09:30:00)" in ended.out
    assert "--timezone America/New_York" in ended.out
    assert not command.store.exists()


def test_the_zone_that_was_given_is_the_zone_of_times_without_one(command: Command, write: Write) -> None:
    write("AAPL.csv", csv_of(minutes("2024-01-02 09:30", 2)))
    assert command("import", "AAPL.csv", "--timezone", "america/new_york").code == 0
    assert times(command) == utc("2024-01-02 14:30", "2024-01-02 14:31")


def test_a_zone_in_the_data_wins_over_the_one_that_was_given(command: Command, write: Write) -> None:
    write("AAPL.csv", csv_of(minutes("2024-01-02 09:30", 2, zone="Asia/Tokyo")))
    assert command("import", "AAPL.csv", "--timezone", NY).code == 0
    assert times(command) == utc("2024-01-02 00:30", "2024-01-02 00:31")


def test_a_time_column_that_says_utc_needs_no_zone(command: Command, write: Write) -> None:
    write("AAPL.csv", csv_of(minutes("2024-01-02 09:30", 2), header="Gmt time,Open,High,Low,Close,Volume"))
    assert command("import", "AAPL.csv").code == 0
    assert times(command) == utc("2024-01-02 09:30", "2024-01-02 09:31")


def test_times_without_a_zone_among_times_with_one_are_quarantined(command: Command, write: Write) -> None:
    rows = [*minutes("2024-01-02 09:30", 4, zone="UTC"), "2024-01-02 09:34"]
    assert command("import", write("AAPL.csv", csv_of(rows))).code == 0
    assert len(times(command)) == 4
    (line,) = command.quarantined()
    assert line.startswith("5,time without a zone among times with one,2024-01-02 09:34,104.25")


def test_plain_dates_are_midnight_in_new_york(command: Command, write: Write) -> None:
    write("AAPL.csv", csv_of(["2024-01-02", "2024-01-03", "2024-07-02"]))
    assert command("import", "AAPL.csv").code == 0
    assert times(command, "day") == utc("2024-01-02 05:00", "2024-01-03 05:00", "2024-07-02 04:00")


def test_plain_dates_are_midnight_where_the_user_says(command: Command, write: Write) -> None:
    write("AAPL.csv", csv_of(["2024-01-02", "2024-01-03"]))
    assert command("import", "AAPL.csv", "--timezone", "UTC").code == 0
    assert times(command, "day") == utc("2024-01-02", "2024-01-03")


def test_a_date_whose_midnight_does_not_exist_starts_when_the_day_does(command: Command, write: Write) -> None:
    # Clocks in Sao Paulo went from 0:00 to 1:00 on 4 November 2018.
    write("AAPL.csv", csv_of(["2018-11-03", "2018-11-04", "2018-11-05"]))
    assert command("import", "AAPL.csv", "--timezone", "America/Sao_Paulo").code == 0
    assert times(command, "day") == utc("2018-11-03 03:00", "2018-11-04 03:00", "2018-11-05 02:00")


@pytest.mark.parametrize(
    "rows",
    [
        ["1704205800", "1704205860"],
        ["1704205800000", "1704205860000"],
        ["1704205800000000", "1704205860000000"],
        ["1704205800000000000", "1704205860000000000"],
        ["1704205800.0", "1704205860.0"],
        ["2024-01-02T14:30:00Z", "2024-01-02T14:31:00.000Z"],
        ["2024-01-02 09:30:00-05:00", "2024-01-02 09:31:00-0500"],
        ["20240102 09:30:00 US/Eastern", "20240102 09:31:00 America/New_York"],
        ["2024-01-02 09:30 EST", "2024-01-02 09:31 EST"],
        ["02.01.2024 15:30:00.000 GMT+0100", "02.01.2024 15:31:00.000 GMT+0100"],
        ["1/2/2024 2:30 PM UTC", "1/2/2024 2:31 PM UTC", "12/31/2024 2:31 PM UTC"],
    ],
    ids=lambda rows: rows[0],
)
def test_instants_are_read_however_they_are_written(command: Command, write: Write, rows: list[str]) -> None:
    assert command("import", write("AAPL.csv", csv_of(rows)), "--timeframe", "minute").code == 0
    assert times(command)[:2] == utc("2024-01-02 14:30", "2024-01-02 14:31")


@pytest.mark.parametrize(
    "rows",
    [
        ["2024-01-02 09:30", "2024-01-02 09:31"],
        ["2024/1/2 9:30", "2024/1/2 9:31"],
        ["2024.01.02 09:30:00", "2024.01.02 09:31:00"],
        ["20240102 093000", "20240102 093100"],
        ["20240102;0930", "20240102;0931"],
        ["20240102093000", "20240102093100"],
        ["202401020930", "202401020931"],
        ["01/02/2024 9:30 AM", "01/02/2024 9:31 AM", "12/31/2024 9:31 AM"],
        ["02-01-2024 09:30", "02-01-2024 09:31", "31-12-2024 09:31"],
        ["02.01.24 09:30", "02.01.24 09:31"],
        ["2-Jan-24 09:30", "2-Jan-24 09:31"],
        ["Jan 2 2024 09:30", "January 2 2024 09:31"],
        ["Tue 02 Jan 2024 09:30:00", "Tue 02 Jan 2024 09:31:00"],
    ],
    ids=lambda rows: rows[0],
)
def test_local_times_are_read_however_they_are_written(command: Command, write: Write, rows: list[str]) -> None:
    file = write("AAPL.csv", csv_of([f'"{row}"' for row in rows]))
    assert command("import", file, "--timezone", NY, "--timeframe", "minute").code == 0
    assert times(command)[:2] == utc("2024-01-02 14:30", "2024-01-02 14:31")


@pytest.mark.parametrize(
    ("date", "clocks"),
    [
        ("2024.01.02", ["09:30", "09:31"]),
        ("20240102", ["93000", "93100"]),
        ("20240102", ["930", "931"]),
        ("01/02/2024", ["9:30 AM", "9:31 AM"]),
        ("2024-01-02 00:00:00", ["09:30:00", "09:31:00"]),
    ],
)
def test_a_date_and_a_time_of_day_may_be_two_columns(
    command: Command, write: Write, date: str, clocks: list[str]
) -> None:
    rows = [f"{date},{clock}" for clock in clocks]
    write("AAPL.csv", csv_of(rows, header="<DATE>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>"))
    assert command("import", "AAPL.csv", "--timezone", NY, "--date-order", "mdy").code == 0
    assert times(command) == utc("2024-01-02 14:30", "2024-01-02 14:31")


def test_midnight_of_a_column_of_plain_numbers_is_midnight(command: Command, write: Write) -> None:
    rows = ["20240102,0", "20240102,100", "20240102,2300"]
    write("AAPL.csv", csv_of(rows, header="date,time,open,high,low,close,volume"))
    assert command("import", "AAPL.csv", "--timezone", "UTC", "--timeframe", "hour").code == 0
    assert times(command, "hour") == utc("2024-01-02 00:00", "2024-01-02 01:00", "2024-01-02 23:00")


def test_dates_that_may_be_two_days_are_refused_until_the_order_is_given(command: Command, write: Write) -> None:
    write("AAPL.csv", csv_of(["01/02/2024", "01/03/2024"]))
    ended = command("import", "AAPL.csv")
    assert ended.code == 1
    assert "01/02/2024 may be two days" in ended.out
    assert "--date-order" in ended.out
    assert command("import", "AAPL.csv", "--date-order", "dmy", "--timeframe", "day").code == 0
    assert times(command, "day") == utc("2024-02-01 05:00", "2024-03-01 05:00")


@examples(50)
@given(st.lists(st.dates(dt.date(1980, 1, 1), dt.date(2060, 12, 31)), min_size=1, max_size=20), st.booleans())
def test_the_order_of_day_and_month_is_never_guessed(days: list[dt.date], month_first: bool) -> None:
    import pyarrow as pa

    from lumibot_duckdb.importing.time_text import find_date_order, read_time_text

    texts = [day.strftime("%m/%d/%Y" if month_first else "%d/%m/%Y") for day in days]
    text = pa.chunked_array([texts])
    order, doubt = find_date_order(text)
    if any(day.day > 12 for day in days):
        assert order == ("mdy" if month_first else "dmy")
        read = read_time_text(text, order)
        assert read.readable.all()
        assert read.seconds.tolist() == [(day - dt.date(1970, 1, 1)).days * 86_400 for day in days]
    else:
        assert order is None
        assert doubt in texts


def test_epochs_in_two_units_are_not_mixed_up(command: Command, write: Write) -> None:
    rows = ["1704205800", *[str(1704205860000 + 60_000 * i) for i in range(3)]]
    assert command("import", write("AAPL.csv", csv_of(rows))).code == 0
    assert times(command)[0] == utc("2024-01-02 14:31")[0]
    (line,) = command.quarantined()
    assert line.startswith("1,epoch time in another unit than the others,1704205800,")


def test_epoch_seconds_before_1970_are_times(command: Command, write: Write) -> None:
    rows = [str(-252_322_200 + 86_400 * i) for i in range(3)] + ["1704205800"]
    assert command("import", write("AAPL.csv", csv_of(rows))).code == 0
    assert times(command, "day")[0] == pd.Timestamp(-252_322_200, unit="s", tz="UTC")


def test_numbers_that_are_no_times_are_not_taken_for_epochs(command: Command, write: Write) -> None:
    ended = command("import", write("AAPL.csv", csv_of(["1", "2", "3"])))
    assert ended.code == 1
    assert "cannot tell what time 3 is" in ended.out


@pytest.mark.parametrize("row", ["2024-02-30", "2024-13-01", "yesterday", "2024-01-02 25:00", "31/12", "2024"])
def test_times_that_cannot_be_are_quarantined(command: Command, write: Write, row: str) -> None:
    assert command("import", write("AAPL.csv", csv_of(["2024-01-02", "2024-01-03", row]))).code == 0
    assert len(times(command, "day")) == 2
    (line,) = command.quarantined()
    assert line.startswith(f"3,unreadable time,{row},")


@pytest.mark.parametrize("row", ["9999-12-31", "1677-12-31", "31.12.9999 23:59", "9999-12-31 00:00:00+00:00"])
def test_times_beyond_what_pandas_can_hold_are_quarantined(command: Command, write: Write, row: str) -> None:
    assert command("import", write("AAPL.csv", csv_of(["2024-01-02", "2024-01-03", row]))).code == 0
    (line,) = command.quarantined()
    assert line.startswith(f"3,time before 1678 or after 2261,{row},")


def test_fractions_of_a_second_are_quarantined_and_zero_fractions_are_none(command: Command, write: Write) -> None:
    rows = ["2024-01-02 09:30:00.000", "2024-01-02 09:31:00.000", "2024-01-02 09:32:00.500"]
    assert command("import", write("AAPL.csv", csv_of(rows)), "--timezone", NY).code == 0
    assert len(times(command)) == 2
    assert command.quarantined()[0].startswith("3,time with a fraction of a second,")


def test_local_times_that_do_not_exist_are_quarantined(command: Command, write: Write) -> None:
    rows = [*minutes("2024-03-10 01:58", 3), *minutes("2024-03-10 03:00", 2)]  # 2:00 does not exist that day
    ended = command("import", write("AAPL.csv", csv_of(rows)), "--timezone", NY)
    assert ended.code == 0
    assert times(command) == utc("2024-03-10 06:58", "2024-03-10 06:59", "2024-03-10 07:00", "2024-03-10 07:01")
    (line,) = command.quarantined()
    assert line.startswith("3,local time that does not exist (the clocks went forward),2024-03-10 02:00:00,")
    assert "does not exist (the clocks went forward): 1" in ended.out


def over_the_end_of_summer_time() -> tuple[list[str], list[pd.Timestamp]]:
    """Return two hours of minutes around the repeated hour: as New York's clocks show them, and in UTC."""
    instants = pd.date_range("2024-11-03 04:30", periods=180, freq="min", tz="UTC")
    return [time.strftime("%Y-%m-%d %H:%M") for time in instants.tz_convert(NY)], list(instants)


@pytest.mark.parametrize("backwards", [False, True])
def test_a_repeated_hour_is_recognised_by_the_order_of_the_file(
    command: Command, write: Write, backwards: bool
) -> None:
    shown, instants = over_the_end_of_summer_time()
    rows = csv_of(shown).splitlines()
    body = rows[:0:-1] if backwards else rows[1:]
    ended = command("import", write("AAPL.csv", "\n".join([rows[0], *body])), "--timezone", NY)
    assert ended.code == 0
    assert times(command) == instants
    assert command.bars()["open"].tolist() == [100.25 + i for i in range(180)]
    assert command.quarantined() == []


def test_repeated_hours_are_distinguished_with_bars_missing(command: Command, write: Write) -> None:
    shown, instants = over_the_end_of_summer_time()
    kept = [i for i in range(180) if i % 7 and not 60 <= i < 75 and not 100 <= i < 120]
    write("AAPL.csv", csv_of([shown[i] for i in kept]))
    assert command("import", "AAPL.csv", "--timezone", NY).code == 0
    assert times(command) == [instants[i] for i in kept]


def test_an_hour_that_comes_once_only_is_the_first_of_the_two_and_said_so(command: Command, write: Write) -> None:
    ended = command("import", write("AAPL.csv", csv_of(minutes("2024-11-03 00:30", 60))), "--timezone", NY)
    assert ended.code == 0
    assert times(command) == list(pd.date_range("2024-11-03 04:30", periods=60, freq="min", tz="UTC"))
    assert "30 bars of an hour that came twice" in ended.out


def test_an_hour_that_comes_twice_in_no_order_is_quarantined(command: Command, write: Write) -> None:
    shown, instants = over_the_end_of_summer_time()
    order = [(i * 77) % 180 for i in range(180)]
    write("AAPL.csv", csv_of([shown[i] for i in order] + minutes("2024-11-04 09:30", 120)))
    assert command("import", "AAPL.csv", "--timezone", NY).code == 0
    unclear = [line for line in command.quarantined() if "came twice (the clocks went back)" in line]
    assert len(unclear) == 120
    outside = [
        time for time in instants if not pd.Timestamp("2024-11-03 05:00Z") <= time < pd.Timestamp("2024-11-03 07:00Z")
    ]
    assert times(command)[:60] == outside


def test_each_symbol_of_a_file_has_its_own_hour_that_comes_twice(command: Command, write: Write) -> None:
    shown, instants = over_the_end_of_summer_time()
    rows = [line.split(",", 1) for line in csv_of(shown).splitlines()[1:]]
    both = [f"{time},{symbol},{rest}" for time, rest in rows for symbol in ("AAPL", "MSFT")]
    write("two.csv", "\n".join(["timestamp,symbol,open,high,low,close,volume", *both]))
    assert command("import", "two.csv", "--timezone", NY).code == 0
    assert times(command) == instants
    assert list(command.bars("MSFT").index) == list(command.bars("AAPL").index)
