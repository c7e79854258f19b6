"""The texts of `--set`, and Python's spaces."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from hypothesis_settings import examples
from lumibot_duckdb.sweeps.search.dimensions import Interval, Steps
from lumibot_duckdb.sweeps.search.errors import SearchError
from lumibot_duckdb.sweeps.search.set_option import parsed_option
from lumibot_duckdb.sweeps.search.space import Space


def values_of(text: str) -> list[Any]:
    _, values = parsed_option(f"x={text}")
    assert not isinstance(values, Interval)
    return list(values)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("5:20:5", [5, 10, 15, 20]),
        ("5:22:5", [5, 10, 15, 20]),
        ("20:5:-5", [20, 15, 10, 5]),
        ("-2:2:2", [-2, 0, 2]),
        ("7:7:3", [7]),
        ("3:6", [3, 4, 5, 6]),
        ("0.1:0.5:0.1", [0.1, 0.2, 0.3, 0.4, 0.5]),
        ("0.5:0.1:-0.2", [0.5, 0.3, 0.1]),
        ("1:2:0.5", [1.0, 1.5, 2.0]),
        ("1e3:3e3:1e3", [1000.0, 2000.0, 3000.0]),
        (" 20 , 50,100 ", [20, 50, 100]),
        ("0:10:5,50", [0, 5, 10, 50]),
        ("sma,ema", ["sma", "ema"]),
        ("true,FALSE,null", [True, False, None]),
        ("None", [None]),
        ("1,1.0,true,'1'", [1, 1.0, True, "1"]),
        ("'a,b',\"it's\",'it''s too',''", ["a,b", "it's", "it's too", ""]),
        ("O'Neil", ["O'Neil"]),
        ("2024-01-31,2024-02-29", ["2024-01-31", "2024-02-29"]),
        ("'09:30','10:30'", ["09:30", "10:30"]),
        ("'true','5'", ["true", "5"]),
        ("-5,+5,.5,5.,1_000,-1E-3", [-5, 5, 0.5, 5.0, 1000, -0.001]),
    ],
)
def test_values_of_texts(text: str, expected: list[Any]) -> None:
    found = values_of(text)
    assert found == expected
    assert [type(value) for value in found] == [type(value) for value in expected]


def test_floats_print_as_they_were_written() -> None:
    assert ",".join(map(str, values_of("0.05:0.35:0.05"))) == "0.05,0.1,0.15,0.2,0.25,0.3,0.35"


def test_two_decimals_are_an_interval() -> None:
    assert parsed_option("stop=0.01:0.2") == ("stop", Interval(0.01, 0.2))
    assert parsed_option("stop=0:1.0") == ("stop", Interval(0.0, 1.0))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fast", "expected NAME=VALUES"),
        ("=5", "expected NAME=VALUES"),
        ("x=", "there is no value; give one or more, or '' for an empty text"),
        ("x=5,,6", "there is no value at position 3"),
        ("x=5,", "there is no value at position 3"),
        ("x=5:50:0", "the step is 0"),
        ("x=50:5:5", "a step of 5 leads away from 5; use -5"),
        ("x=5:0.5", "the low end must be below the high end"),
        ("x=50:5", "leads away from 5; use -1"),
        ("x=1:2:3:4", "1:2:3:4 has 4 parts"),
        ("x=5:fifty:5", "'fifty' in 5:fifty:5 is not a number"),
        ("x=09:30", "put a text that has a colon in quotes: '09:30'"),
        ("x=5::5", "'' in 5::5 is not a number"),
        ("x=0.1:0.2,5", "the interval 0.1:0.2 cannot be part of a list"),
        ("x=0:1000000:1,5", "1,000,001 values"),
        ("x=01", "write 1 or, for a text, '01'"),
        ("x=00", "write 0 or, for a text, '00'"),
        ("x=nan,5", "nan is not a finite number"),
        ("x=-Inf", "-Inf is not a finite number"),
        ("x=1e999", "1e999 is too large for a float"),
        ("x=1:2:1e-20", "more values than can be counted"),
        ("x=1:1.0000000000000003:1e-17", "the step is too small to change a float"),
        ("x=" + "9" * 5000, "more than 300 digits"),
        ("x=20,50,20", "20 is given twice"),
        ("x=a,'a'", "'a' is given twice"),
        ("x=5:10:5,10", "10 is given twice"),
        ("x='a", "the quote at position 1 must end"),
        ("x=b, 'a'b", "the quote at position 4 must end"),
    ],
)
def test_what_is_wrong_is_said(text: str, message: str) -> None:
    with pytest.raises(SearchError) as raised:
        parsed_option(text)
    assert str(raised.value).startswith(f"{text}: ")
    assert message in str(raised.value)


@examples(200)
@given(st.integers(-(10**6), 10**6), st.integers(1, 10**5), st.integers(0, 40), st.integers(0, 6), st.booleans())
def test_steps_are_the_decimals_of_a_plain_loop(start: int, step: int, count: int, places: int, falls: bool) -> None:
    first, width = Decimal(start).scaleb(-places), Decimal(-step if falls else step).scaleb(-places)
    last = first + width * count
    expected = [float(first + width * position) for position in range(count + 1)]
    steps = Steps(*(float(each) for each in (first, last, width)))
    assert list(steps) == expected
    assert len(steps) == count + 1
    assert [steps.position(value) for value in expected] == list(range(count + 1))
    assert steps.position(float(last + width)) is None
    assert float(first + width / 2) not in steps
    assert steps[1:] == expected[1:]
    assert steps[-1] == expected[-1]


@examples(200)
@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=6), min_size=1, max_size=5, unique=True))
def test_quoted_texts_come_back(texts: list[str]) -> None:
    for quote in "'\"":
        quoted = ",".join(f"{quote}{text.replace(quote, quote * 2)}{quote}" for text in texts)
        assert values_of(quoted) == texts


@examples(300)
@given(st.text(st.sampled_from("0159.:,'\"-+eE_ truenaifx"), max_size=12))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        _, values = parsed_option(f"x={text}")
    except SearchError:
        return
    assume(not isinstance(values, Interval))
    assert len(values) > 0  # type: ignore[arg-type]


def test_long_ranges_need_no_memory() -> None:
    space = Space.of_options(["x=0:1000000000000:1", "y=0.0:1e9:0.1"])
    assert space.size == (10**12 + 1) * (10**10 + 1)
    assert space.at(space.size - 1) == {"x": 10**12, "y": 1e9}
    assert space.at((10**10 + 1) + 3) == {"x": 1, "y": 0.3}


@pytest.mark.parametrize(
    ("given_values", "expected"),
    [
        (range(5, 21, 5), [5, 10, 15, 20]),
        (range(20, 4, -5), [20, 15, 10, 5]),
        ([20, 50.5, "a", None, True], [20, 50.5, "a", None, True]),
        ((1, 2), [1, 2]),
        (np.arange(3), [0, 1, 2]),
        (np.array([0.1, 0.2], dtype="float64"), [0.1, 0.2]),
        ([np.int64(3), np.float64(0.5), np.bool_(True), np.str_("a")], [3, 0.5, True, "a"]),
        (pd.Series([1, 2]), [1, 2]),
        (pd.Index(["a", "b"]), ["a", "b"]),
        (pl.Series([1.5, None]), [1.5, None]),
        (np.int64(7), [7]),
        ("SPY", ["SPY"]),
        (None, [None]),
        (False, [False]),
        (Steps(0.1, 0.3, 0.1), [0.1, 0.2, 0.3]),
        (Steps(np.float64(0.1), np.float64(0.3), np.float64(0.1)), [0.1, 0.2, 0.3]),
    ],
)
def test_values_of_python_objects(given_values: Any, expected: list[Any]) -> None:
    values = Space.of_values({"x": given_values}).parameters["x"]
    assert not isinstance(values, Interval)
    assert list(values) == expected
    assert [type(value) for value in values] == [type(value) for value in expected]


@pytest.mark.parametrize(
    ("given_values", "message"),
    [
        ([], "x: there is no value"),
        (range(5, 5), "x: range(5, 5) has no values"),
        ({5, 6}, "x: a set has no order"),
        ({"low": 5}, "x: a mapping has no values to try"),
        ([1, 1], "x: 1 is given twice"),
        ([float("nan")], "x: nan is not a finite number"),
        (np.array([[1, 2], [3, 4]]), "x: [1, 2] (list) is no number"),
        (pd.Timestamp("2024-01-31"), "give a date as a text"),
        ([object], "is no number, text, bool or None"),
    ],
)
def test_what_is_wrong_in_python_is_said(given_values: Any, message: str) -> None:
    with pytest.raises(SearchError) as raised:
        Space.of_values({"x": given_values})
    assert message in str(raised.value)


@pytest.mark.parametrize("ends", [(1, 1), (2, 1), (0, float("inf")), (-1.7e308, 1.7e308), ("a", 2), (True, 2)])
def test_intervals_need_two_numbers_in_order(ends: tuple[Any, Any]) -> None:
    with pytest.raises(SearchError):
        Interval(*ends)


def test_a_space_needs_parameters_with_different_names() -> None:
    with pytest.raises(SearchError, match="there is no parameter to search"):
        Space.of_options([])
    with pytest.raises(SearchError, match="x=6: x is given twice"):
        Space.of_options(["x=5", "x=6"])
    with pytest.raises(SearchError, match="the name of a parameter must be a text, not 5"):
        Space.of_values({5: [1]})  # type: ignore[dict-item]


def test_the_same_space_has_the_same_json_however_it_was_given() -> None:
    texts = Space.of_options(["fast=5:50:5", "slow=20,50", "stop=0.1:0.2"], ["fast < slow"])
    objects = Space.of_values(
        {"fast": range(5, 51, 5), "slow": np.array([20, 50]), "stop": Interval(0.1, 0.2)}, "fast < slow "
    )
    assert texts.as_json() == objects.as_json()
    assert texts.as_json() == {
        "parameters": {
            "fast": {"start": 5, "stop": 50, "step": 5},
            "slow": {"values": [20, 50]},
            "stop": {"low": 0.1, "high": 0.2},
        },
        "conditions": ["fast < slow"],
    }
