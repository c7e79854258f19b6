"""Time zones in the headings of columns, and what `--timezone` has to do with them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import strategies as st

from cli.files import Command, csv_of, minutes
from hypothesis_settings import examples
from lumibot_duckdb.importing.columns import plain_name, recognise_columns
from lumibot_duckdb.importing.zones import same_zone, split_heading, zone_name

Write = Callable[..., Path]

_NAMES = st.sampled_from(["Time", "Date", "timestamp", "Datetime", "Open time", "Local time"])
_BRACKETS = st.sampled_from(["{} ({})", "{}({})", "{} [{}]", "{} {}", "{}_{}"])


def header_with(time: str) -> str:
    return f"{time},open,high,low,close,volume"


def stored_times(command: Command, timeframe: str = "minute") -> list[str]:
    return [f"{time.tz_convert('UTC'):%Y-%m-%d %H:%M}" for time in command.bars("AAPL", timeframe).index]


@examples(200)
@given(
    name=_NAMES,
    form=_BRACKETS,
    prefix=st.sampled_from(["GMT", "UTC", "gmt", "utc", "Utc"]),
    sign=st.sampled_from(["+", "-", "\u2212"]),
    hours=st.integers(0, 14),
    minutes_past=st.sampled_from([0, 30, 45]),
    separator=st.sampled_from([":", ""]),
    padded=st.booleans(),
    gap=st.sampled_from(["", " "]),
)
@example("Time", "{} ({})", "GMT", "+", 2, 0, ":", False, "")
@example("Date", "{}({})", "GMT", "-", 5, 0, ":", False, "")
@example("Time", "{} [{}]", "UTC", "+", 8, 0, ":", False, "")
def test_an_offset_in_a_heading_is_the_zone_of_the_column(
    name: str,
    form: str,
    prefix: str,
    sign: str,
    hours: int,
    minutes_past: int,
    separator: str,
    padded: bool,
    gap: str,
) -> None:
    offset = f"{hours:02}" if padded or minutes_past else f"{hours}"
    offset += f"{separator}{minutes_past:02}" if minutes_past else ""
    heading = form.format(name, f"{prefix}{gap}{sign}{offset}")
    layout = recognise_columns({column: ["2024-01-02 09:30"] for column in header_with(heading).split(",")})
    assert layout.time == (heading,)
    (zone,) = layout.zones
    there = pd.Timestamp("2024-07-02 09:30", tz=zone)
    ahead = pd.Timedelta(hours=hours, minutes=minutes_past)
    assert there.utcoffset() == (ahead if sign == "+" else -ahead)


@examples(200)
@given(_NAMES, st.sampled_from(["{} ({})", "{} [{}]", "{} {}"]), st.sampled_from(["America/New_York", "europe/berlin"]))
def test_the_name_of_a_zone_in_a_heading_is_the_zone_of_the_column(name: str, form: str, zone: str) -> None:
    rest, zones = split_heading(form.format(name, zone))
    assert plain_name(rest) == plain_name(name)
    assert [found.lower() for found in zones] == [zone.lower()]


@pytest.mark.parametrize("heading", ["Time", "timestamp", "Date/Time", "best", "date_close", "Price (USD)", "UTCX"])
def test_other_headings_name_no_zone(heading: str) -> None:
    assert split_heading(heading) == (heading, ())


def test_the_offset_shifts_the_times_that_are_stored(command: Command, write: Write) -> None:
    write("AAPL.csv", csv_of(minutes("2024-07-02 09:30", 3), header=header_with("Time (GMT+2)")))
    ended = command("import", "AAPL.csv")
    assert ended.code == 0, ended.out
    assert stored_times(command)[0] == "2024-07-02 07:30"
    assert "its times are in UTC+02:00 (from the heading of the times)" in ended.out


def test_a_plain_date_is_midnight_in_the_zone_of_the_heading(command: Command, write: Write) -> None:
    write("AAPL.csv", csv_of(["2024-07-01", "2024-07-02", "2024-07-03"], header=header_with("Date(GMT-5)")))
    assert command("import", "AAPL.csv").code == 0
    assert stored_times(command, "day")[0] == "2024-07-01 05:00"


def test_the_heading_of_the_clock_counts_too(command: Command, write: Write) -> None:
    rows = ["2024-07-02,09:30", "2024-07-02,09:31", "2024-07-02,09:32"]
    write("AAPL.csv", csv_of(rows, header=header_with("Date,Time [UTC+8]")))
    assert command("import", "AAPL.csv").code == 0
    assert stored_times(command)[0] == "2024-07-02 01:30"


def test_headings_that_name_different_zones_are_refused(command: Command, write: Write) -> None:
    write("AAPL.csv", csv_of(["2024-07-02,09:30"], header=header_with("Date (GMT+1),Time (GMT+2)")))
    assert "name different time zones" in command("import", "AAPL.csv").out


@pytest.mark.parametrize("zone", ["UTC+2", "+02:00", "Etc/GMT-2"])
def test_the_same_zone_may_be_stated_too(command: Command, write: Write, zone: str) -> None:
    write("AAPL.csv", csv_of(minutes("2024-07-02 09:30", 3), header=header_with("Time (GMT+2)")))
    assert command("import", "AAPL.csv", f"--timezone={zone}").code == 0
    assert stored_times(command)[0] == "2024-07-02 07:30"


@examples(20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(-12, 14), st.integers(-12, 14))
def test_a_contradicting_timezone_is_an_error_until_the_heading_is_replaced(
    command: Command, write: Write, heading: int, stated: int
) -> None:
    write("AAPL.csv", csv_of(minutes("2024-07-02 09:30", 3), header=header_with(f"Time (GMT{heading:+})")))
    source = f"run{heading}_{stated}".replace("-", "m")
    arguments = ("import", "AAPL.csv", f"--timezone=UTC{stated:+}", "--source", source)
    ended = command(*arguments)
    assert ended.code == (0 if heading == stated else 1)
    if heading != stated:
        assert "contradicts --timezone" in ended.out
    assert command(*arguments, "--header", "time,open,high,low,close,volume").code == 0
    first = command.bars("AAPL", source=source).index[0]
    assert first == pd.Timestamp("2024-07-02 09:30", tz="UTC") - pd.Timedelta(hours=stated)


def test_an_abbreviation_that_may_be_two_zones_is_asked(command: Command, write: Write) -> None:
    write("AAPL.csv", csv_of(minutes("2024-07-02 09:30", 3), header=header_with("Time (EST)")))
    ended = command("import", "AAPL.csv")
    assert ended.code == 1
    assert "may be America/New_York or UTC-05:00: state it with --timezone" in ended.out
    assert command("import", "AAPL.csv", "--timezone=UTC-5", "--source", "fixed").code == 0
    assert command("import", "AAPL.csv", "--timezone", "America/New_York").code == 0
    assert command("import", "AAPL.csv", "--timezone", "Asia/Tokyo").code == 1
    hours = [command.bars("AAPL", source=source).index[0].tz_convert("UTC").hour for source in ("import", "fixed")]
    assert hours == [13, 14]


def test_a_timezone_that_is_not_needed_is_noted(command: Command, write: Write) -> None:
    write("AAPL.csv", csv_of(minutes("2024-01-02 09:30", 3, zone="Asia/Tokyo")))
    write("MSFT.csv", csv_of(["1704205800", "1704205860", "1704205920"]))
    ended = command("import", "AAPL.csv", "MSFT.csv", "--timezone", "Europe/Paris")
    assert "AAPL.csv and 1 more: --timezone Europe/Paris was not needed: the zone of its times is known" in ended.out


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("america/new_york", "America/New_York"),
        ("UTC", "UTC"),
        ("UTC+2", "UTC+02:00"),
        ("gmt-5", "UTC-05:00"),
        ("+0530", "UTC+05:30"),
        ("-03:30", "UTC-03:30"),
        ("UTC+15", None),
        ("UTC+1:75", None),
        ("Mars/Olympus", None),
    ],
)
def test_names_of_zones(text: str, name: str | None) -> None:
    assert zone_name(text) == name


def test_zones_are_the_same_if_their_clocks_are() -> None:
    assert same_zone("US/Eastern", "America/New_York")
    assert same_zone("Asia/Tokyo", "UTC+09:00")
    assert not same_zone("Europe/Berlin", "UTC+01:00")
