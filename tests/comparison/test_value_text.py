"""Texts of values are equal for equal values only, and the same on another day."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import numpy as np
import pandas as pd
import pytest
from lumibot.entities import Asset, Quote

from lumibot_duckdb.comparison.value_text import TIME_OF_RUN, as_text, cell


class Plain:
    """Has no `repr` and no attributes."""

    def __init__(self, value: object) -> None:
        self.value = value
        self._found_at = object()


def series(length: int, **changed: float) -> pd.Series[float]:
    values = pd.Series(np.arange(float(length)), pd.date_range("2024-01-01", periods=length, tz="UTC"))
    values.iloc[length // 2] = changed.get("middle", length // 2)
    return values


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1.0", 1.0),
        (["None"], [None]),
        (["a", "b"], ["a, b"]),
        ([1, 2], (1, 2)),
        ({1}, [1]),
        (set(), {}),
        ({"a": "1"}, {"a": 1}),
        ((series(300),), (series(300, middle=7.5),)),
        ({"a": series(300).to_frame()}, {"a": series(300, middle=7.5).to_frame()}),
        ([series(2).to_frame()], [series(2).astype(int).to_frame()]),
        ([series(2)], [series(2).tz_convert("Asia/Tokyo")]),
        (series(3000).to_numpy(), series(3000, middle=7.5).to_numpy()),
        (series(300).index, series(301).index),
        (Plain(1), Plain(2)),
        (np.float64(1.5), np.float32(1.5)),
    ],
)
def test_other_values_have_other_texts(one: Any, other: Any) -> None:
    assert as_text(one) != as_text(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": 1, "b": {"c": 2, "d": 3}}, {"b": {"d": 3, "c": 2}, "a": 1}),
        ({"SPY", "QQQ", "IWM"}, frozenset(("IWM", "QQQ", "SPY"))),
        ((series(300),), (series(300),)),
        (Plain([1.0]), Plain([1.0])),
        (Quote(Asset("SPY"), price=1.5), Quote(Asset("SPY"), price=1.5)),
    ],
)
def test_equal_values_have_one_text(one: Any, other: Any) -> None:
    assert as_text(one) == as_text(other)


def test_words_are_as_they_are() -> None:
    assert as_text([Asset("SPY"), "minute", "BTC/USD", 30]) == "[SPY, minute, BTC/USD, 30]"


def test_an_object_that_has_itself_in_it() -> None:
    one = Plain(None)
    one.value = one
    assert as_text(one) == "Plain {value: Plain}"


def test_a_table_distinguishes_texts_from_numbers_and_leaves_out_its_time() -> None:
    now = datetime.now(timezone.utc)
    assert [cell(value) for value in ("fill", "1.0", 1.0, None)] == ["fill", "'1.0'", "1.0", "None"]
    assert cell(now) == cell(now.isoformat()) == TIME_OF_RUN
    then = "2024-01-02T09:30:00-05:00"
    assert cell(then) == then
    assert cell(datetime.fromisoformat(then)) == "2024-01-02 09:30:00-05:00"
