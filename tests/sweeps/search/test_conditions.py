"""Conditions mean what they mean in Python, and nothing else can be executed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hypothesis_settings import examples
from lumibot_duckdb.sweeps.search.conditions import Condition
from lumibot_duckdb.sweeps.search.errors import ConditionError

NAMES = ["fast", "slow", "average", "stop", "trailing"]
VALUES: dict[str, Any] = {"fast": 5, "slow": 20, "average": "ema", "stop": None, "trailing": True}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("fast < slow", True),
        ("fast * 4 >= slow", True),
        ("0 < fast < slow <= 19", False),
        ("average == 'ema' and trailing", True),
        ("average in ('sma', 'wma') or not trailing", False),
        ("average not in ['sma']", True),
        ("stop is None or stop < 5", True),
        ("stop is not null and stop < 5", False),
        ("slow % fast == 0 and slow // fast == 4 and slow / fast == 4", True),
        ("-fast < 0 and +fast > 0 and abs(fast - slow) == 15", True),
        ("min(fast, slow) == 5 and max(fast, slow, 30) == 30", True),
        ("trailing == true and trailing is True", True),
        ("  fast != slow  ", True),
        ("average == 'é'", False),
    ],
)
def test_answers(text: str, expected: bool) -> None:
    assert Condition(text, NAMES).holds(VALUES) is expected


def test_the_names_that_a_condition_uses() -> None:
    assert Condition("fast < slow and average != 'stop'", NAMES).names == {"fast", "slow", "average"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the condition is empty"),
        ("fast <", "fast <: something is missing at position 7"),
        ("(fast", "cannot be read at position 1"),
        ("fast < < slow", "cannot be read at position 8"),
        ("fast = 5", "unknown operator = at position 6; write =="),
        ("fast < slow && trailing", "unknown operator && at position 13; write and"),
        ("fast < 5 || trailing", "unknown operator || at position 10; write or"),
        ("fast < slow AND trailing", "unknown operator AND at position 13; write and"),
        ("fast <> slow", "unknown operator <> at position 6; write !="),
        ("fast == 5 or !trailing", "unknown operator ! at position 14; write not"),
        ("fast < slow & trailing", "unknown operator in the expression at position 8; write and for &"),
        ("fast ** 2 < slow", "unknown operator in the expression at position 1; those of numbers are"),
        ("~fast < 5", "~ cannot be used at position 1; write not"),
        ("fast < slwo", "unknown name slwo at position 8; did you mean slow?"),
        ("average == wma", "a text needs quotes: 'wma'"),
        ("'ééé' == average and fasr > 1", "unknown name fasr at position 22; did you mean fast?"),
        ("fast in average", "expected a list after in at position 9"),
        ("stop is slow", "expected null, true or false after is at position 9"),
        ("abs(fast, slow) > 1", "wrong arguments of abs at position 1; it takes one number"),
        ("max(fast) > 1", "it takes two numbers or more"),
        ("round(fast) > 1", "unknown function at position 1; there are abs, min and max"),
        ("average.upper() == 'EMA'", "unknown function at position 1"),
        ("average.__class__ == 'EMA'", "a dot cannot be used at position 1"),
        ("average[0] == 'e'", "an index cannot be used at position 1"),
        ("__import__('os').system('true')", "unknown function at position 1"),
        ("[x for x in (1, 2)]", "(ListComp) cannot be used at position 1"),
        ("(lambda: fast)() > 1", "unknown function"),
        ("fast if trailing else slow", "if cannot be used"),
        ("f'{fast}' == '5'", "cannot be used at position 1"),
        ("(fast := 5) > 1", "(NamedExpr) cannot be used"),
        ("fast < 1j", "1j cannot be used at position 8"),
        ("average == b'ema'", "b'ema' cannot be used at position 12"),
        ("fast <\nslow", r"'\n' cannot be read at position 7"),
        ("fast < \0", r"'\x00' cannot be read at position 8"),
        ("-" * 1999 + "1", "too deeply nested"),
        ("(" * 900 + "1" + ")" * 900, "position 201"),
        ("1 < " * 1000 + "2", "more than 2,000 characters"),
    ],
)
def test_what_cannot_be_read(text: str, message: str) -> None:
    with pytest.raises(ConditionError) as raised:
        Condition(text, NAMES)
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("stop < 5", "stop < 5: with stop=None, '<' not supported"),
        ("average < 5", "with average='ema'"),
        ("average * 3 == 'x'", "'ema' is not a number to calculate with"),
        ("trailing + 1 == 2", "True is not a number to calculate with"),
        ("fast / (slow - 20) > 1", "with fast=5, slow=20, division by zero"),
        ("fast % 0 == 1", "with fast=5, division by zero"),
        ("2.5 % (fast - 5) == 1", "with fast=5, division by zero"),
        ("fast", "with fast=5, 5 is neither true nor false; compare it"),
        ("fast and slow", "5 is neither true nor false"),
        ("not average", "'ema' is neither true nor false"),
        (f"{'9' * 400} / fast > 1", "too large"),
    ],
)
def test_what_has_no_answer(text: str, message: str) -> None:
    with pytest.raises(ConditionError) as raised:
        Condition(text, NAMES).holds(VALUES)
    assert message in str(raised.value)


def test_texts_are_never_executed(monkeypatch: pytest.MonkeyPatch) -> None:
    def executed(*arguments: object) -> None:
        raise AssertionError(arguments)

    for name in ("eval", "exec"):
        monkeypatch.setattr("builtins." + name, executed)
    assert Condition("fast < slow", NAMES).holds(VALUES)


NUMBERS = st.sampled_from(["fast", "slow", "0", "1", "2.5", "7"])


def arithmetic(parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    operators = st.sampled_from(["+", "-", "*", "/", "//", "%"])
    return (
        st.builds("({} {} {})".format, parts, operators, parts)
        | st.builds("-{}".format, parts)
        | st.builds("abs({})".format, parts)
        | st.builds("{}({}, {})".format, st.sampled_from(["min", "max"]), parts, parts)
    )


def logic(parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.builds("({} {} {})".format, parts, st.sampled_from(["and", "or"]), parts) | st.builds(
        "(not {})".format, parts
    )


CALCULATIONS = st.recursive(NUMBERS, arithmetic, max_leaves=5)
COMPARISONS = st.sampled_from(["<", "<=", ">", ">=", "==", "!="])
EXPRESSIONS = st.recursive(
    st.builds("{} {} {}".format, CALCULATIONS, COMPARISONS, CALCULATIONS)
    | st.builds("{} {} {} {} {}".format, CALCULATIONS, COMPARISONS, CALCULATIONS, COMPARISONS, CALCULATIONS)
    | st.builds("average {} {!r}".format, COMPARISONS, st.sampled_from(["sma", "ema", "a'b"]))
    | st.builds("{} {} ({}, {})".format, NUMBERS, st.sampled_from(["in", "not in"]), NUMBERS, NUMBERS)
    | st.sampled_from(["trailing", "stop is None", "stop is not None", "True"]),
    logic,
    max_leaves=6,
)


@examples(400)
@given(
    EXPRESSIONS,
    st.integers(-3, 9),
    st.integers(-3, 9),
    st.sampled_from(["sma", "ema"]),
    st.none() | st.just(1),
    st.booleans(),
)
def test_conditions_mean_what_they_mean_in_python(
    text: str, fast: int, slow: int, average: str, stop: int | None, trailing: bool
) -> None:
    values = {"fast": fast, "slow": slow, "average": average, "stop": stop, "trailing": trailing}
    condition = Condition(text, values)
    try:
        expected = eval(text, {}, dict(values))
    except ZeroDivisionError:
        with pytest.raises(ConditionError, match="division by zero"):
            condition.holds(values)
        return
    assert condition.holds(values) is expected
