"""Digests of source code: what counts and what does not."""

from __future__ import annotations

import ast

import pytest

from lumibot_duckdb.lumibot_contract.digest import digest

SOURCE = '''
def price(self, asset, day=1):
    """Return a price."""
    if day > 1:
        asset = None
        self.log(f"{asset} on {day:>3}: {'none'}")  # a comment
    return self.prices[asset]
'''


def _digest(source: str) -> str:
    return digest(ast.parse(source).body)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('    """Return a price."""\n', ""),
        ("Return a price", "Return the price"),
        ("  # a comment", ""),
        ("self.prices[asset]", "(\n        self.prices[\n            asset\n        ]\n    )"),
        ("asset = None", "asset=(None)"),
        ("asset, day=1", "asset: Asset, day: int=1"),
        (':\n    """', ' -> float:\n    """'),
        ("    ", "  "),
    ],
)
def test_layout_comments_docstrings_and_annotations_do_not_count(old: str, new: str) -> None:
    changed = SOURCE.replace(old, new)
    assert changed != SOURCE
    assert _digest(changed) == _digest(SOURCE)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("day=1", "day=2"),
        ("day=1", "day"),
        ("day > 1", "day >= 1"),
        ("on {day", "at {day"),
        (":>3", ":>4"),
        ("        self.log", "    self.log"),
        ("def price", "@cached\ndef price"),
        ("self, asset, day=1", "self, asset, *, day=1"),
        ("asset = None", "asset = 0"),
    ],
)
def test_what_code_does_counts(old: str, new: str) -> None:
    changed = SOURCE.replace(old, new)
    assert changed != SOURCE
    assert _digest(changed) != _digest(SOURCE)


def test_a_digest_is_the_same_on_every_version_of_python() -> None:
    """It was computed on Python 3.11; the test suite runs on the others as well."""
    assert _digest(SOURCE) == "fdf94939b323b47b"


def test_texts_of_an_f_string_count_as_one_however_python_splits_them() -> None:
    whole = ast.JoinedStr([ast.Constant("ab"), ast.FormattedValue(ast.Name("x"), -1)])
    split = ast.JoinedStr([ast.Constant("a"), ast.Constant(""), ast.Constant("b"), whole.values[1], ast.Constant("")])
    assert digest([split]) == digest([whole])
