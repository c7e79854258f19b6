"""Numbers in text become exactly the doubles that Python's `float` returns."""

from __future__ import annotations

import math
import re
import struct

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hypothesis_settings import examples
from lumibot_duckdb.importing.errors import FileRefusedError
from lumibot_duckdb.importing.numbers import decimal_mark, read_numbers


def column(*texts: str | None) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array(texts, pa.string())])


def bits(number: float) -> bytes:
    return struct.pack("<d", number)


_DIGITS = st.text("0123456789", min_size=1, max_size=25)
_DECIMALS = st.builds(
    lambda sign, whole, part: f"{sign}{whole}.{part}", st.sampled_from(["", "-", "+"]), _DIGITS, _DIGITS
)
_NUMBER_TEXTS = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    _DECIMALS,
    _DIGITS,
    st.builds(lambda digits, power: f"{digits}e{power}", _DECIMALS, st.integers(-330, 280)),
)


@examples(50)
@given(st.lists(_NUMBER_TEXTS, min_size=1, max_size=30))
def test_text_is_read_as_python_float_reads_it(texts: list[str]) -> None:
    assert [bits(value) for value in read_numbers(column(*texts)).values] == [bits(float(text)) for text in texts]


@examples(50)
@given(st.lists(_NUMBER_TEXTS, min_size=1, max_size=30), st.sampled_from(["$1.50", " 7 ", "1,234.5", "x"]))
def test_one_decorated_number_among_others_changes_none_of_them(texts: list[str], odd: str) -> None:
    values = read_numbers(column(*texts, odd)).values[:-1]
    assert [bits(value) for value in values] == [bits(float(text)) for text in texts]


@examples(50)
@given(st.lists(_DECIMALS, min_size=1, max_size=30))
def test_a_decimal_comma_reads_like_a_point(texts: list[str]) -> None:
    with_comma = [text.replace(".", ",") for text in texts]
    read = read_numbers(column(*with_comma), decimal=",")
    assert [bits(value) for value in read.values] == [bits(float(text)) for text in texts]


@pytest.mark.parametrize(
    ("text", "decimal", "number"),
    [
        ("1,234.5", ".", 1234.5),
        ("1,234,567", ".", 1234567.0),
        ("1.234,5", ",", 1234.5),
        ("1.234.567", ",", 1234567.0),
        ("$189.25", ".", 189.25),
        ("45.28M", ".", 45_280_000.0),
        ("1.1K", ".", 1100.0),
        ("2,5B", ",", 2_500_000_000.0),
        ("'12.5", ".", 12.5),
        ("1,23,456", ".", 123_456.0),
        ("41,28,761", ".", 4_128_761.0),
        ("10,74,44,12,345.60", ".", 10_744_412_345.6),
        ("1'234.5", ".", 1234.5),
        ("1\u2019234.5", ".", 1234.5),
        ("5 000", ".", 5000.0),
        ("1 234,5", ",", 1234.5),
        ("1\u202f234\u202f567,25", ",", 1_234_567.25),
        ("₹234.5", ".", 234.5),
        ("₹ 2,34,567.5", ".", 234_567.5),
        ("Rs. 234.5", ".", 234.5),
        ("CHF 1'234.50", ".", 1234.5),
        ("234.5 USD", ".", 234.5),
    ],
)
def test_vendors_decorations_are_read(text: str, decimal: str, number: float) -> None:
    read = read_numbers(column(text), decimal)
    assert read.values.tolist() == [number]
    assert not read.unreadable.any()


_STYLES = [  # the decimal mark, the mark between groups, and the number of digits in all groups but the last
    *((".", mark, 3) for mark in (",", "'", "\u2019", " ", "\u00a0", "\u2009", "\u202f")),
    *((",", mark, 3) for mark in (".", "'", "\u2019", " ", "\u00a0", "\u2009", "\u202f")),
    (".", ",", 2),
]
_BEFORE, _AFTER = ("", "$", "€ ", "₹", "Rs. ", "CHF ", "USD\u00a0", "'"), ("", "$", " €", " EUR", "\u00a0USD")


def grouped(digits: str, mark: str, size: int) -> str:
    """Return digits with marks: before the last three, and before each `size` digits to their left."""
    groups, left = [digits[-3:]], digits[:-3]
    while left:
        groups.append(left[-size:])
        left = left[:-size]
    return mark.join(reversed(groups))


@st.composite
def _formatted(draw: st.DrawFn, style: tuple[str, str, int]) -> tuple[str, str]:
    """Return a number as a country writes it, and as Python writes it."""
    decimal, mark, size = style
    sign = draw(st.sampled_from(["", "-", "+"]))
    whole = str(draw(st.integers(0, 10**12)))
    fraction = draw(st.sampled_from(["", draw(_DIGITS)]))
    number = sign + grouped(whole, mark, size) + (decimal + fraction if fraction else "")
    text = draw(st.sampled_from(_BEFORE)) + number + draw(st.sampled_from(_AFTER))
    return text, f"{sign}{whole}.{fraction or 0}"


@examples(200)
@given(st.data(), st.sampled_from(_STYLES))
def test_numbers_of_any_country_are_read(data: st.DataObject, style: tuple[str, str, int]) -> None:
    pairs = data.draw(st.lists(_formatted(style), min_size=1, max_size=10))
    read = read_numbers(column(*(text for text, _ in pairs)), decimal=style[0])
    assert not read.unreadable.any()
    assert [bits(value) for value in read.values] == [bits(float(number)) for _, number in pairs]


@examples(200)
@given(st.data(), st.sampled_from(_STYLES), st.sampled_from(";,\t"))
def test_the_decimal_mark_of_a_country_is_found_or_left_open(
    data: st.DataObject, style: tuple[str, str, int], delimiter: str
) -> None:
    pairs = data.draw(st.lists(_formatted(style), min_size=1, max_size=10))
    texts = [text for text, _ in pairs]
    found = decimal_mark(texts, delimiter)
    with_comma = [re.sub(r"Rs\.|[^\d,.]", "", text) for text in texts if "," in text]
    if all(re.fullmatch(r"\d{1,3},\d{3}", text) for text in with_comma):
        return  # the delimiter decides, as in the cases below
    assert found in (None, style[0])
    assert found is None or not read_numbers(column(*texts), found).unreadable.any()


@examples(200)
@given(st.data(), st.sampled_from(_STYLES), st.integers(1, 6))
def test_a_number_with_groups_of_a_wrong_size_is_unreadable(
    data: st.DataObject, style: tuple[str, str, int], size: int
) -> None:
    decimal, mark, _ = style
    digits = str(data.draw(st.integers(10**size, 10 ** (size + 3) - 1)))
    text = f"{digits[:-size]}{mark}{digits[-size:]}"
    expected = size == 3
    assert read_numbers(column("1", text), decimal).unreadable.tolist() == [False, not expected]


@pytest.mark.parametrize("text", ["", "nan", "NaN", "N/A", "null", "None", "-", "--", "NA", None])
def test_words_for_nothing_are_missing_and_not_unreadable(text: str | None) -> None:
    read = read_numbers(column("1.5", text))
    assert math.isnan(read.values[1])
    assert not read.unreadable.any()


def test_marks_of_two_kinds_and_words_behind_a_number_are_unreadable() -> None:
    texts = ["1,234.5,6", "1'234,5", "5 MIO", "12MLN", "1,234 567", "USD"]
    assert read_numbers(column("1.5", *texts)).unreadable.tolist() == [False, *[True] * 6]


@pytest.mark.parametrize("text", ["abc", "1_000", "0x10", "12,34", "1,23,45", "1.2.3", "5 00", "12:30", "1,5"])
def test_what_is_no_number_is_unreadable_and_never_guessed(text: str) -> None:
    assert read_numbers(column("1.5", text)).unreadable.tolist() == [False, True]


def test_a_point_is_never_taken_for_a_decimal_mark_where_the_comma_is() -> None:
    assert read_numbers(column("1,5", "1.5"), decimal=",").unreadable.tolist() == [False, True]


@pytest.mark.parametrize(
    ("texts", "whole"),
    [(["1", "2"], True), (["1", ""], True), (["1", "2.0"], False), (["1e3"], False), (["45M"], True), (["-3"], True)],
)
def test_whole_says_how_numbers_are_written(texts: list[str], whole: bool) -> None:
    assert read_numbers(column(*texts)).whole is whole


@pytest.mark.parametrize(
    "typed",
    [
        pa.array([1, 2, None], pa.int32()),
        pa.array([1.0, 2.0, None], pa.float32()),
        pa.array(["1", "2", None]).dictionary_encode(),
        pa.array([1, 2, None], pa.decimal128(20, 4)),
        pa.array(["1", "2", None], pa.large_string()),
    ],
    ids=lambda array: str(array.type),
)
def test_typed_columns_are_read_as_they_are(typed: pa.Array) -> None:
    values = read_numbers(pa.chunked_array([typed])).values.tolist()
    assert values[:2] == [1.0, 2.0]
    assert math.isnan(values[2])


def test_decimals_of_a_typed_column_become_the_nearest_doubles() -> None:
    texts = ["0.1", "644.85", "123456.789", "0.000000001"]
    typed = pa.chunked_array([pa.array(texts).cast(pa.decimal128(30, 9))])
    assert read_numbers(typed).values.tolist() == [float(text) for text in texts]


def test_a_column_of_truth_values_is_no_price() -> None:
    with pytest.raises(FileRefusedError, match="must be numbers, not bool"):
        read_numbers(pa.chunked_array([[True]]))


@pytest.mark.parametrize(
    ("prices", "delimiter", "mark"),
    [
        (["1.5", "2"], ",", "."),
        (["1,5", "2"], ";", ","),
        (["1,234.5"], ",", "."),
        (["1.234,5"], ";", ","),
        (["1,234"], ";", ","),
        (["1,234"], ",", "."),
        (["1,234,567"], "\t", "."),
        (["1,234"], "\t", None),
        (["1,234", "1,5"], "\t", ","),
    ],
)
def test_the_decimal_mark_is_found_or_left_open(prices: list[str], delimiter: str, mark: str | None) -> None:
    assert decimal_mark(prices, delimiter) == mark
