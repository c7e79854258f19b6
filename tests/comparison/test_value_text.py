"""Texts of values are equal for equal values only, and the same on another day."""

from __future__ import annotations

import copyreg
import re
from collections import deque
from copy import deepcopy
from dataclasses import dataclass
from datetime import date, datetime, timezone
from functools import partial
from threading import Lock
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lumibot.entities import Asset, Bars, Order, Quote

from hypothesis_settings import examples
from lumibot_duckdb.comparison.value_text import TIME_OF_RUN, argument_text, as_text, cell, plain_text


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
        (datetime(2024, 1, 2, tzinfo=timezone.utc), datetime(2024, 1, 3, tzinfo=timezone.utc)),
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


def test_the_time_at_which_a_quote_was_made_does_not_count_but_every_other_time_does() -> None:
    def quote(timestamp: datetime | None) -> str:
        return as_text(Quote(Asset("SPY"), price=1.5, timestamp=timestamp))

    assert quote(datetime.now(timezone.utc)) == quote(None)
    assert len({quote(datetime(2024, 1, day, tzinfo=timezone.utc)) for day in (2, 3)} | {quote(None)}) == 3


def test_orders_with_other_fields_have_other_texts() -> None:
    texts = {
        as_text(Order("s", Asset(symbol), quantity, side, limit_price=limit))
        for symbol, quantity, side, limit in (
            *(("SPY", 10, "buy", 1.0), ("SPY", 20, "buy", 1.0), ("SPY", 10, "sell", 1.0)),
            *(("SPY", 10, "buy", 2.0), ("SPY", 10, "buy", None), ("QQQ", 10, "buy", 1.0)),
        )
    }
    assert len(texts) == 6


def test_orders_with_other_related_orders_have_other_texts() -> None:
    def order(limit: float) -> Order:
        return Order("s", Asset("SPY"), 10, "sell", limit_price=limit)

    def parent(child: Order) -> str:
        whole = order(1.0)
        whole.add_child_order(child)
        return as_text(whole)

    assert parent(order(2.0)) == parent(order(2.0))
    assert parent(order(2.0)) != parent(order(3.0))
    one, other = order(1.0), order(2.0)
    one.dependent_order, other.dependent_order = other, one
    assert as_text(one) != as_text(order(1.0))


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


# -- equal for equal values only --------------------------------------------------------------------------------------


class Slotted:
    """Has no dictionary of attributes."""

    __slots__ = ("inner",)

    def __init__(self, inner: object) -> None:
        self.inner = inner


class Private:
    """Has no public attribute."""

    def __init__(self, inner: object) -> None:
        self._inner = inner


class Both(Slotted):
    """Has slots and a dictionary of attributes."""

    def __init__(self, outer: object) -> None:
        super().__init__(0)
        self.outer = outer


class Reduced:
    """Decides how it is pickled."""

    def __init__(self, reduced: object) -> None:
        self._reduced = reduced

    def __reduce__(self) -> Any:
        return self._reduced


class Unpicklable:
    """Cannot be pickled, and has one attribute, in a slot."""

    __slots__ = "inner"

    def __init__(self, inner: object) -> None:
        self.inner = inner

    def __reduce_ex__(self, protocol: object) -> Any:
        raise TypeError("cannot be pickled")


class Point(NamedTuple):
    x: object


@dataclass
class Record:
    values: object


def future(**changes: Any) -> Asset:
    return Asset("ES", **{"asset_type": "future", "expiration": date(2024, 3, 15), "multiplier": 50, **changes})


def bars_of(frame: Any, source: str = "yahoo", asset: Asset | None = None, **more: Any) -> Bars:
    return Bars(frame, source, asset or Asset("SPY"), **more)


FRAME = pd.DataFrame({"close": [1.0, 2.0]}, pd.date_range("2024-01-02", periods=2, tz="UTC", name="datetime"))
LONG, OTHER_LONG = list(range(5_000)), [*range(2_500), -1, *range(2_501, 5_000)]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        # long values, which `repr` shortens
        (pl.DataFrame({"a": LONG}), pl.DataFrame({"a": OTHER_LONG})),
        (pl.Series("a", LONG), pl.Series("a", OTHER_LONG)),
        (pl.Series("a", LONG), pl.Series("b", LONG)),
        (pl.Series([1]), pl.Series([1.0])),
        (pl.DataFrame({"a": [[1, 2], LONG]}), pl.DataFrame({"a": [[1, 2], OTHER_LONG]})),
        (pl.DataFrame({"a": [{"b": LONG}]}), pl.DataFrame({"a": [{"b": OTHER_LONG}]})),
        (pl.LazyFrame({"a": LONG}), pl.LazyFrame({"a": OTHER_LONG})),
        (pl.lit(1) + pl.col("a"), pl.lit(2) + pl.col("a")),
        (
            pl.Series([1_700_000_000_000_000_001], dtype=pl.Datetime("ns")),
            pl.Series([1_700_000_000_000_000_002], dtype=pl.Datetime("ns")),
        ),
        (pa.table({"a": LONG}), pa.table({"a": OTHER_LONG})),
        (pa.array(LONG), pa.array(OTHER_LONG)),
        (pl.Series(["a"], dtype=pl.Enum(["a", "b"])), pl.Series(["a"], dtype=pl.Enum(["a", "c"]))),
        (pa.array([date(2024, 1, 2)]), pa.array([date(2024, 1, 3)])),
        (pa.array([1], pa.time64("ns")), pa.array([2], pa.time64("ns"))),
        (deque([np.array(LONG)]), deque([np.array(OTHER_LONG)])),
        (Record(np.array(LONG)), Record(np.array(OTHER_LONG))),
        ([np.array(LONG)], [np.array(OTHER_LONG)]),
        (np.zeros((0, 2)), np.zeros((0, 3))),
        (np.ma.masked_array([1, 2], [True, False]), np.ma.masked_array([1, 2], [False, True])),
        (pd.Categorical(["a"], ["a", "b"]), pd.Categorical(["a"], ["a", "c"])),
        (pd.Series(["a"], dtype=pd.CategoricalDtype(["a", "b"])), pd.Series(["a"], dtype="category")),
        (FRAME, FRAME.set_axis(pd.Index(["close"], name="of"), axis=1)),
        (FRAME.set_axis([1], axis=1), FRAME.set_axis(["1"], axis=1)),
        (
            pd.MultiIndex.from_tuples([("a", 1)], names=["x", "y"]),
            pd.MultiIndex.from_tuples([("a", 1)], names=["x", "z"]),
        ),
        # objects
        (Slotted(1), Slotted(2)),
        (Private(1), Private(2)),
        (Plain(Plain(1)), Plain(Plain(2))),
        ([Private([np.array(LONG)])], [Private([np.array(OTHER_LONG)])]),
        (Plain(1), Private(1)),
        (Both(1), Both(2)),
        (Reduced("name"), Reduced("other")),
        (Reduced((int, ())), Reduced((float, ()))),
        (Reduced((copyreg.__newobj__, (Reduced, 1))), Reduced((copyreg.__newobj__, (Reduced, 2)))),  # type: ignore[attr-defined]
        (object(), "object"),
        (deque([1]), deque([2])),
        (deque([1]), [1]),
        (SimpleNamespace(a=1), SimpleNamespace(a=2)),
        (partial(int, base=2), partial(int, base=3)),
        (lambda: 1, lambda: 2),
        (re.compile("a" * 300 + "b"), re.compile("a" * 300 + "c")),
        (re.compile("a"), re.compile("a", re.IGNORECASE)),
        (Asset.AssetType, Asset.OptionRight),
        (ValueError("a"), ValueError("b")),
        (Unpicklable(1), Unpicklable(2)),
        (Reduced("the name of one"), Reduced("the name of two")),
        # Lumibot's entities
        (future(), future(multiplier=5)),
        (future(), future(leverage=2)),
        (future(), future(expiration=date(2024, 6, 21))),
        (Asset("ES", "future", auto_expiry="front_month"), Asset("ES", "future", auto_expiry="next_quarter")),
        (Asset("ES", "future"), Asset("ES", "cont_future")),
        (future(underlying_asset=Asset("SPY")), future(underlying_asset=Asset("SPX"))),
        (Asset("BTC", "crypto", precision="0.1"), Asset("BTC", "crypto")),
        ({Asset("SPY"): 1}, {"SPY": 1}),
        ([Asset("SPY")], ["SPY"]),
        (Asset("BTC/USD"), "BTC/USD"),
        (Asset("SPY"), Asset("SPY", strike=5.0)),
        (Asset("SPY"), Asset("SPY", expiration=date(2024, 1, 19))),
        (Asset("NONE"), None),
        (Asset("1"), 1),
        (Asset("BTC", "crypto"), "BTC crypto"),
        (bars_of(FRAME), bars_of(FRAME, asset=Asset("QQQ"))),
        (bars_of(FRAME), bars_of(FRAME, "alpaca")),
        (bars_of(FRAME), bars_of(FRAME, quote=Asset("USD", "forex"))),
        (bars_of(FRAME), bars_of(FRAME.reset_index(), return_polars=True)),
        (bars_of(FRAME), FRAME),
        # numbers
        (0.0, -0.0),
        (np.float64(0.0), np.float64(-0.0)),
        (np.array([0.0]), np.array([-0.0])),
        (np.float32(0.1), 0.1),
        (2j, "2j"),
        ([10**5_000], [10**5_000 + 1]),
        (timezone.utc, "datetime.timezone.utc"),
        (TIME_OF_RUN, datetime.now(timezone.utc)),
    ],
)
def test_values_with_unlike_parts_have_other_texts(one: Any, other: Any) -> None:
    assert as_text(one) != as_text(other)
    assert as_text([one]) != as_text([other])
    assert cell(one) != cell(other)


@pytest.mark.parametrize(
    "value",
    [
        pl.DataFrame({"a": LONG, "b": [[1]] * 5_000}),
        pa.table({"a": LONG}),
        deque([np.array(LONG)]),
        Slotted([1]),
        Private({"a": {1, 2, 3}}),
        Record(np.array(LONG)),
        partial(int, base=2),
        future(),
        bars_of(FRAME),
        np.array([np.nan, -0.0]),
        Point(1.5),
    ],
)
def test_copies_have_the_same_text(value: Any) -> None:
    assert as_text(value) == as_text(deepcopy(value))


@pytest.mark.parametrize("text", ["M'1", "BRK'A", 'a "b" c', "l'", 'x"'])
def test_quotes_within_a_string_are_written_as_they_are(text: str) -> None:
    assert cell(text) == text


@pytest.mark.parametrize("text", ["'1'", '"1"', "'", "b'a'", "<b'a'>", repr("M'1"), repr(repr("1"))])
def test_a_string_that_looks_like_the_cell_of_another_value_has_another_cell(text: str) -> None:
    others = ["1", 1, b"a", "M'1", "'1'", '"1"', "'", "b'a'"]
    assert all(cell(text) != cell(other) for other in others if other != text)
    assert cell(cell(text)) != cell(text) or cell(text) == text


def test_what_contains_itself_is_written() -> None:
    values: list[Any] = [1]
    values.append(values)
    mapping: dict[str, Any] = {"a": 1}
    mapping["b"] = mapping
    assert as_text(values) == "[1, [...]]"
    assert as_text(mapping) == "{a: 1, b: {...}}"


def test_what_has_no_value_is_its_type() -> None:
    generator = (number for number in range(3))
    assert as_text([generator, Lock(), object(), re]) == "[<generator>, <lock>, <object>, <re>]"


def test_symbols_and_stocks_are_the_same_only_as_arguments() -> None:
    assert argument_text("SPY") == argument_text(Asset("SPY")) == "SPY"
    assert argument_text(["SPY"]) == "['SPY']"
    assert argument_text("NONE") != argument_text(None)
    assert argument_text("NaN") == "'NaN'"


def test_numbers_of_numpy_are_plain_in_tables_where_they_are_equal() -> None:
    values = [np.float64(1.5), np.int64(2), np.bool_(True), np.float32(0.1)]
    assert [cell(value) for value in values] == ["1.5", "2", "True", "np.float32(0.1)"]
    assert as_text(values) == "[np.float64(1.5), np.int64(2), np.bool(True), np.float32(0.1)]"
    assert plain_text({"a": np.float64(1.5)}) == "{a: 1.5}"


CONFUSING = (
    "SPY",
    "None",
    "1",
    "1.0",
    "2j",
    "nan",
    "[1]",
    "SPY crypto",
    "(1)",
    "<x>",
    "2024-01-02 10:00:00",
    "BTC/USD",
)


def scalars() -> st.SearchStrategy[Any]:
    return st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(allow_nan=False),
        st.text(max_size=6),
        st.sampled_from(
            ["SPY", "None", "1", "1.0", "2j", "nan", "[1]", "SPY crypto", "(1)", "<x>", "2024-01-02 10:00:00"]
        ),
        st.binary(max_size=4),
        st.complex_numbers(allow_nan=False),
        st.decimals(allow_nan=False),
        st.datetimes(),
        st.dates(),
        st.timedeltas(),
        st.sampled_from(
            [Asset("SPY"), Asset("QQQ"), Asset("SPY", "crypto"), Asset("BTC/USD"), future(), future(multiplier=5)]
        ),
    )


def values() -> st.SearchStrategy[Any]:
    keys = st.one_of(st.text(max_size=4), st.integers(), st.sampled_from([Asset("SPY"), "SPY"]))
    return st.recursive(
        scalars(),
        lambda inner: st.one_of(
            st.lists(inner, max_size=4),
            st.lists(inner, max_size=4).map(tuple),
            st.dictionaries(keys, inner, max_size=3),
            st.lists(inner, max_size=4).map(deque),
            inner.map(Record),
            st.lists(st.floats(width=32), max_size=3).map(np.array),
        ),
        max_leaves=8,
    )


def exactly(value: Any) -> Any:
    """Return what two values have in common only if they are equal, including their types and the sign of zero."""
    if isinstance(value, float):
        return "float", repr(value)
    if isinstance(value, complex):
        return "complex", repr(value)
    if isinstance(value, Asset):
        return "asset", vars(value)["symbol"], str(value.asset_type), str(value.expiration), value.multiplier
    if isinstance(value, np.ndarray):
        return "array", str(value.dtype), [repr(each) for each in value.tolist()]
    if isinstance(value, Record):
        return "record", exactly(value.values)
    if isinstance(value, list | tuple | deque):
        return type(value).__name__, [exactly(each) for each in value]
    if isinstance(value, dict):
        return "dict", sorted(([exactly(key), exactly(each)] for key, each in value.items()), key=repr)
    return type(value).__name__, repr(value)


@examples(60)
@given(values(), values())
def test_two_unequal_values_never_have_equal_text(one: Any, other: Any) -> None:
    is_same = exactly(one) == exactly(other)
    assert (as_text(one) == as_text(other)) == is_same
    if not is_same:
        assert cell(one) != cell(other)


@examples(60)
@given(scalars(), scalars())
def test_two_unequal_scalars_never_have_equal_cells(one: Any, other: Any) -> None:
    if exactly(one) != exactly(other):
        assert as_text(one) != as_text(other)
        assert cell(one) != cell(other)


@examples(100)
@given(values())
def test_no_value_has_the_text_of_a_string(value: Any) -> None:
    if not isinstance(value, str):
        assert as_text(as_text(value)) != as_text(value)
        assert cell(cell(value)) != cell(value)
        assert as_text([as_text(value)]) != as_text([value])


@examples(60)
@given(st.lists(values(), max_size=3))
def test_containers_of_other_types_have_other_texts(inner: list[Any]) -> None:
    containers = [inner, tuple(inner), deque(inner), Record(inner), dict(enumerate(inner)), Point(inner), [inner], [[]]]
    distinct = {repr(exactly(each)) for each in containers}
    assert len({as_text(each) for each in containers}) == len(distinct)
    assert len({cell(each) for each in containers}) == len(distinct)
