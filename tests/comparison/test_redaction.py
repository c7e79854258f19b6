"""Known keys are hidden however a program writes them, and in the names of files."""

from __future__ import annotations

import html
import json
import re
import string
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote, quote_plus, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hypothesis_settings import examples
from lumibot_duckdb.comparison.redaction import hide_in_names, redacted, without

KEY = "a/b+c=d&é 'x\" \\z"

MARK = "MARK"


def lower_hex(text: str) -> str:
    return re.sub("%..", lambda found: found[0].lower(), text)


WRITERS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "URL path": quote,
    "URL": lambda key: quote(key, safe=""),
    "URL, lower case": lambda key: lower_hex(quote(key, safe="")),
    "URL in a URL": lambda key: quote(quote(key, safe=""), safe=""),
    "form": quote_plus,
    "query": lambda key: urlencode({"x": key}),
    "JSON": json.dumps,
    "JSON, not only ASCII": lambda key: json.dumps(key, ensure_ascii=False),
    "JSON of JavaScript": lambda key: json.dumps(key).replace("/", "\\/"),
    "JSON in JSON": lambda key: json.dumps(json.dumps({"x": key})),
    "repr": repr,
    "repr of JSON": lambda key: repr(json.dumps(key)),
    "ascii": ascii,
    "repr of bytes": lambda key: repr(key.encode()),
    "HTML": html.escape,
    "HTML with numbers": lambda key: html.escape(key).replace("&#x27;", "&#39;"),
}


@pytest.mark.parametrize("key", [KEY, "tab\there\nand\rmore\b\f😀"], ids=["signs", "control characters"])
@pytest.mark.parametrize("writer", WRITERS)
def test_a_key_is_hidden_in_every_notation(writer: str, key: str) -> None:
    hidden = without(WRITERS[writer](key), frozenset([key]))
    assert hidden == WRITERS[writer](MARK).replace(MARK, "[hidden]")


@examples(100)
@given(
    st.text(st.characters(exclude_categories=["Cs", "Cn", "Co", "Zl", "Zp"]), min_size=6, max_size=24),
    st.sampled_from(sorted(WRITERS)),
)
def test_any_key_is_hidden_in_every_notation(key: str, writer: str) -> None:
    hidden, expected = without(WRITERS[writer](key), frozenset([key])), WRITERS[writer](MARK).replace(MARK, "[hidden]")
    # Python and JSON choose the quotes, and escape them in a text within a text.
    quotes = str.maketrans("", "", "'\"\\")
    assert hidden.translate(quotes) == expected.translate(quotes)


@examples(30)
@given(st.text(string.ascii_letters + string.digits, min_size=6), st.text(max_size=30))
def test_other_text_is_left_alone(key: str, text: str) -> None:
    if key not in text:
        assert without(text, frozenset([key])) == text
        assert without(f"{text}{key}{text}", frozenset([key])).count("[hidden]") >= 1


def test_the_longest_key_is_hidden_first() -> None:
    assert redacted("abcdef-ghi abcdef", frozenset(["abcdef", "abcdef-ghi"])) == "[hidden] [hidden]"


def test_a_backslash_and_a_percent_sign_are_no_escapes() -> None:
    assert without("a\\\\b and a%5Cb and a%255cb", frozenset(["a\\b"])) == "[hidden] and [hidden] and [hidden]"
    assert without("100%25 and 100%", frozenset(["100%"])) == "[hidden] and [hidden]"


def test_names_of_files_and_folders(tmp_path: Path) -> None:
    key = "secret-1"
    for name in ("logs/run secret-1/stats secret-1.csv", "logs/a secret-1.csv", "logs/a [hidden].csv", "logs/b.csv"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    hide_in_names(tmp_path, frozenset([key]))
    found = {str(path.relative_to(tmp_path)): path.read_text() for path in tmp_path.rglob("*") if path.is_file()}
    assert found == {
        "logs/run [hidden]/stats [hidden].csv": "logs/run secret-1/stats secret-1.csv",
        "logs/a [hidden] 2.csv": "logs/a secret-1.csv",
        "logs/a [hidden].csv": "logs/a [hidden].csv",
        "logs/b.csv": "logs/b.csv",
    }
