"""Definitions found in source text."""

from __future__ import annotations

import ast

import pytest

from lumibot_duckdb.lumibot_contract.source_text import SourceFile

SOURCE = '''
import time
from .prices import (
    History,  # of an asset
    Price as Cost,
)

LIMIT = 3
FIRST, SECOND = 1, 2


class Source(Base, metaclass=Meta):
    """A source.

class inside a docstring: not a definition, since no parenthesis follows its name
    """

    step: str = "minute"
    names = (
        "a",
    )

    def __init__(self, given, *others, key=None, **more):
        self._store = {}
        self._first, self._second = given
        self.kind: str = "day"
        if self._never_set == 3 or self._never_set_either >= 4:
            key = f"self._in_a_text = {key}"

    @property
    def now(self):
        return """
text at the margin
"""

    @now.setter
    def now(self, value):
        self.value = value

    def after(
        self,
    ):
        return 1


async def later(x): return x
'''


@pytest.mark.parametrize(
    "path",
    [
        *("time", "History", "Cost", "LIMIT", "FIRST", "SECOND", "later", "Source", "Source.now", "Source.after"),
        *("Source.step", "Source.names", "Source._store", "Source._first", "Source._second", "Source.kind"),
    ],
)
def test_names_that_are_defined(path: str) -> None:
    assert SourceFile(SOURCE).defines(path)


@pytest.mark.parametrize(
    "path",
    [
        *("Price", "prices", "inside", "Source.given", "Source.LIMIT", "Other.now", "after", "of", "key"),
        *("Source._never_set", "Source._never_set_either", "Source._in_a_text"),
    ],
)
def test_names_that_are_not_defined(path: str) -> None:
    assert not SourceFile(SOURCE).defines(path)


def test_a_property_has_all_its_methods_with_their_decorators() -> None:
    getter, setter = SourceFile(SOURCE).definitions("Source.now")
    assert isinstance(getter, ast.FunctionDef)
    assert isinstance(setter, ast.FunctionDef)
    assert [ast.unparse(each.decorator_list[0]) for each in (getter, setter)] == ["property", "now.setter"]
    assert "text at the margin" in ast.unparse(getter)


def test_a_statement_ends_where_its_block_does() -> None:
    (after,) = SourceFile(SOURCE).definitions("Source.after")
    assert ast.unparse(after) == "def after(self):\n    return 1"
    (names,) = SourceFile(SOURCE).definitions("Source.names")
    assert ast.unparse(names) == "names = ('a',)"


def test_bases_and_imports() -> None:
    source = SourceFile(SOURCE)
    assert source.bases("Source") == ["Base"]
    assert source.origin("Cost") == (".prices", "Price")
    assert source.origin("time") == ("", "time")
    assert source.origin("Base") is None
