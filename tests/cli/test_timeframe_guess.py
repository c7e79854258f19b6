"""The timeframe of bars, from their distances and from words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.files import Command, csv_of, minutes
from lumibot_duckdb.importing.timeframes import timeframe_of_gaps, timeframe_of_word
from lumibot_duckdb.storage.timeframes import bar_seconds, canonical_timeframe

Write = Callable[..., Path]

MINUTE, HOUR, DAY = 60, 3600, 86_400

_UNITS = {
    "second": ["s", "sec", "secs", "second", "seconds"],
    "minute": ["m", "min", "mins", "minute", "minutes", "T"],
    "hour": ["h", "hr", "hour", "hours"],
    "day": ["d", "day", "days"],
    "week": ["w", "wk", "week", "weeks"],
    "month": ["mo", "mon", "month", "months"],
}


@given(
    st.integers(1, 59),
    st.sampled_from([(unit, word) for unit, words in _UNITS.items() for word in words]),
    st.sampled_from([str.lower, str.upper, str.title]),
    st.sampled_from(["", " ", "-"]),
)
def test_a_unit_is_the_same_in_any_case_but_for_m(
    count: int, unit_and_word: tuple[str, str], cased: Callable[[str], str], between: str
) -> None:
    unit, word = unit_and_word
    spelling = f"{count}{between}{cased(word)}"
    if cased(word) != "M":
        assert canonical_timeframe(spelling) == (unit if count == 1 else f"{count}{unit}")
    elif count == 1:
        assert canonical_timeframe(spelling) == "month"
    else:
        with pytest.raises(ValueError, match=f'may be minutes or months: write "{count}min" or "{count}mo"'):
            canonical_timeframe(spelling)


@pytest.mark.parametrize(
    ("word", "timeframe"),
    [
        ("1M", "month"),
        ("1m", "minute"),
        ("3M", "3month"),
        ("15M", "15minute"),
        ("M1", "minute"),
        ("M15", "15minute"),
        ("H4", "4hour"),
        ("D1", "day"),
        ("W1", "week"),
        ("MN1", "month"),
        ("MN", "month"),
        ("monthly", "month"),
        ("M", None),
        ("KO", None),
    ],
)
def test_words_of_file_names(word: str, timeframe: str | None) -> None:
    assert timeframe_of_word(word) == timeframe


@pytest.mark.parametrize(
    ("gaps", "named", "timeframe"),
    [
        ({DAY: 4, 3 * DAY: 1}, None, "day"),
        ({DAY: 1}, None, "day"),
        ({3 * DAY: 1}, None, None),
        ({3 * DAY: 20}, None, "3day"),
        ({7 * DAY: 50, 6 * DAY: 1, 8 * DAY: 1}, None, "week"),
        ({31 * DAY: 7, 30 * DAY: 4, 28 * DAY: 1}, None, "month"),
        ({HOUR: 6, 30 * MINUTE: 1, 17 * HOUR: 1}, None, "hour"),
        ({5 * MINUTE: 3, 2 * MINUTE: 2, 7 * MINUTE: 2}, None, "minute"),
        ({5 * MINUTE: 78, 17 * HOUR: 1}, None, "5minute"),
        ({5 * MINUTE: 3, 10 * MINUTE: 2, 25 * MINUTE: 1}, "minute", "minute"),
        ({5 * MINUTE: 78, 17 * HOUR: 1}, "minute", "5minute"),
        ({MINUTE: 78}, "5minute", "minute"),
        ({9 * HOUR: 1}, None, None),
        ({9 * HOUR: 1}, "minute", "minute"),
        ({DAY: 1, 4 * DAY: 1}, "minute", "day"),
        ({400 * DAY: 5}, None, None),
    ],
)
def test_the_distances_show_the_timeframe_or_nothing(
    gaps: dict[int, int], named: str | None, timeframe: str | None
) -> None:
    guess = timeframe_of_gaps(gaps, named)
    assert (guess and guess.timeframe) == timeframe


@given(
    st.sampled_from(["minute", "5minute", "15minute", "hour", "4hour"]),
    st.lists(st.integers(1, 40), min_size=3, max_size=60),
)
def test_bars_with_gaps_never_seem_finer_than_they_are(timeframe: str, steps: list[int]) -> None:
    length = bar_seconds(timeframe)
    guess = timeframe_of_gaps(Counter(step * length for step in steps))
    assert guess is None or bar_seconds(guess.timeframe) % length == 0
    if steps.count(1) > len(steps) / 2:
        assert guess is not None
        assert guess.timeframe == timeframe


def test_minutes_with_gaps_are_minutes(command: Command, write: Write) -> None:
    times = [
        time for i, time in enumerate(minutes("2024-01-02 09:30", 60, zone="UTC")) if i % 5 == 0 or i in (7, 11, 33)
    ]
    ended = command("import", write("AAPL.csv", csv_of(times)))
    assert ended.code == 0
    assert command.storage().list_series()[0].key.timeframe == "minute"
    assert "its bars are unevenly far apart: imported as minute bars with gaps" in ended.out


def test_a_name_decides_where_the_distances_do_not(command: Command, write: Write) -> None:
    times = [time for i, time in enumerate(minutes("2024-01-02 09:30", 60, zone="UTC")) if i in (0, 5, 15, 20, 40)]
    assert command("import", write("AAPL_1min.csv", csv_of(times))).code == 0
    assert command.storage().list_series()[0].key.timeframe == "minute"


def test_friday_and_monday_are_days(command: Command, write: Write) -> None:
    ended = command("import", write("KO.csv", csv_of(["2024-01-05", "2024-01-08"])))
    assert command.storage().list_series()[0].key.timeframe == "day"
    assert "only two bars show that it has day bars" in ended.out


def test_two_bars_at_an_unusual_distance_are_asked(command: Command, write: Write) -> None:
    ended = command("import", write("KO.csv", csv_of(["2024-01-02", "2024-01-05"])))
    assert ended.code == 1
    assert "do not show the timeframe: give --timeframe" in ended.out


def test_a_timeframe_that_may_be_two_is_wrong_usage(command: Command, write: Write) -> None:
    ended = command("import", write("KO.csv", csv_of(["2024-01-02"])), "--timeframe", "5M")
    assert ended.code == 2
    assert '--timeframe \'5M\' may be minutes or months: write "5min" or "5mo"' in ended.err
