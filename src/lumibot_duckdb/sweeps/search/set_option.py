"""The text of `--set NAME=VALUES`: steps, lists, intervals, texts, truth values and null.

values   = interval | item ("," item)*
item     = start ":" stop ":" step | number | true | false | null | text | quoted text
interval = low ":" high
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from lumibot_duckdb.sweeps.search.dimensions import Dimension, Interval, Steps, checked_choices
from lumibot_duckdb.sweeps.search.errors import SearchError

if TYPE_CHECKING:
    from lumibot_duckdb.results.records import Value

_WHOLE = re.compile(r"[+-]?(0|[1-9](_?[0-9])*)")
_DECIMAL = re.compile(r"[+-]?((0|[1-9](_?[0-9])*)(\.[0-9]*)?|\.[0-9]+)(e[+-]?[0-9]+)?", re.IGNORECASE)
_ZEROS_BEFORE = re.compile(r"[+-]?0[0-9]+(\.[0-9]*)?")
_NOT_FINITE = re.compile(r"[+-]?(nan|inf|infinity)", re.IGNORECASE)
_QUOTED = re.compile(r"""\s*(?:'((?:[^']|'')*)'|"((?:[^"]|"")*)")\s*(,|$)""")
_BARE = re.compile(r"([^,]*)(,|$)")
_WORDS: dict[str, Value] = {"true": True, "false": False, "null": None, "none": None}
_MOST_DIGITS = 300
_MOST_IN_A_LIST = 100_000


def parsed_option(text: str) -> tuple[str, Dimension]:
    """Return the name and the values of `NAME=VALUES`.

    Raises:
        SearchError: The message begins with the text.

    >>> name, values = parsed_option("fast=5:20:5")
    >>> name, list(values)
    ('fast', [5, 10, 15, 20])
    >>> parsed_option("average=sma,ema,'a, quoted',true,null,-1.5")
    ('average', ('sma', 'ema', 'a, quoted', True, None, -1.5))
    >>> parsed_option("stop=0.01:0.2")
    ('stop', Interval(low=0.01, high=0.2))
    """
    name, equals, values = text.partition("=")
    try:
        if not equals or not name.strip():
            raise SearchError("expected NAME=VALUES, such as fast=5:50:5 or slow=20,50,100")
        return name.strip(), parsed_values(values)
    except SearchError as error:
        raise SearchError(f"{text}: {error}") from None


def parsed_values(text: str) -> Dimension:
    """Return the values that a text gives."""
    items = _items(text)
    if len(items) == 1 and not items[0].is_quoted and ":" in items[0].text:
        return _range(items[0].text)
    values: list[Value] = []
    for item in items:
        if item.is_quoted or ":" not in item.text:
            values.append(item.text if item.is_quoted else parsed_value(item.text))
        else:
            values += _steps_in_a_list(item.text)
    return checked_choices(values)


def parsed_value(text: str) -> Value:
    """Return the value of a text without quotes.

    >>> parsed_value("10"), parsed_value("1e3"), parsed_value("True"), parsed_value("2024-01-31")
    (10, 1000.0, True, '2024-01-31')
    """
    if text.casefold() in _WORDS:
        return _WORDS[text.casefold()]
    number = _number(text)
    if number is not None:
        return number
    if _ZEROS_BEFORE.fullmatch(text):
        raise SearchError(f"{text} begins with a zero; write {text.lstrip('+-0') or 0} or, for a text, '{text}'")
    if _NOT_FINITE.fullmatch(text):
        raise SearchError(f"{text} is not a finite number; for a text, write '{text}'")
    return text


class _Item:
    """A part of a list."""

    def __init__(self, text: str, *, is_quoted: bool) -> None:
        self.text, self.is_quoted = text, is_quoted


def _items(text: str) -> list[_Item]:
    """Return the parts of a list that commas separate outside of quotes."""
    if not text.strip():
        raise SearchError("there is no value; give one or more, or '' for an empty text")
    items: list[_Item] = []
    position, ends = 0, ","
    while ends:
        item, position, ends = _item_at(text, position)
        items.append(item)
    return items


def _item_at(text: str, position: int) -> tuple[_Item, int, str]:
    """Return the part at a position, the position after it, and the comma that ends it."""
    if found := _QUOTED.match(text, position):
        single, double, ends = found.groups()
        content = single.replace("''", "'") if single is not None else double.replace('""', '"')
        return _Item(content, is_quoted=True), found.end(), ends
    found = _BARE.match(text, position)
    assert found is not None  # it matches anything
    content, ends = found[1].strip(), found[2]
    if not content:
        raise SearchError(f"there is no value at position {position + 1}; write '' for an empty text")
    if content[0] in "'\"":
        raise SearchError(
            f"the quote at position {text.index(content[0], position) + 1} must end before a comma or at the end; "
            f"write it twice within a text ('it''s')"
        )
    return _Item(content, is_quoted=False), found.end(), ends


def _range(text: str) -> Dimension:
    """Return the values of START:STOP:STEP or LOW:HIGH."""
    numbers = [_number_of_range(part.strip(), text) for part in text.split(":")]
    if len(numbers) == 2:
        low, high = numbers
        if isinstance(low, int) and isinstance(high, int):
            return Steps(low, high, 1)
        return Interval(low, high)
    if len(numbers) == 3:
        return Steps(*numbers)
    raise SearchError(f"{text} has {len(numbers)} parts; {_FORMS.format(text)}")


def _steps_in_a_list(text: str) -> list[int | float]:
    found = _range(text)
    if not isinstance(found, Steps):
        raise SearchError(f"the interval {text} cannot be part of a list; add a step ({text}:STEP)")
    if len(found) > _MOST_IN_A_LIST:
        raise SearchError(f"{text} has {len(found):,} values, which is too much for a part of a list")
    return found[:]


_FORMS = "ranges are START:STOP:STEP, or LOW:HIGH; put a text that has a colon in quotes: '{}'"


def _number_of_range(part: str, text: str) -> int | float:
    number = _number(part)
    if number is None:
        raise SearchError(f"{part!r} in {text} is not a number; {_FORMS.format(text)}")
    return number


def _number(text: str) -> int | float | None:
    """Return a number, as Python reads it, or None if the text is none."""
    if not _DECIMAL.fullmatch(text):
        return None
    if len(text) > _MOST_DIGITS:
        raise SearchError(f"{text[:20]}... has more than {_MOST_DIGITS} digits")
    if _WHOLE.fullmatch(text):
        return int(text)
    number = float(text)
    if not math.isfinite(number):
        raise SearchError(f"{text} is too large for a float")
    return number
