"""Parameters are shown without keys, wherever these are in them."""

from __future__ import annotations

from typing import Any

import pytest

from lumibot_duckdb.comparison.parameters import parameter_texts

KEY = "pk_live_0123456789"


@pytest.mark.parametrize(
    "parameters",
    [
        {"api_key": KEY},
        {"accounts": {"paper": {"SECRET": KEY}}},
        {"accounts": [{"my_token": KEY}]},
        {"header": f"Authorization: Bearer {KEY}"},
        {"url": f"https://example.com/?apiKey={KEY}&symbol=SPY"},
        {"note": f"known {KEY}"},
        {f"for {KEY}": 1},
        {"deep": {"a": {"b": {"c": {"d": {"e": {"f": {"g": {"h": {"i": {"api_key": KEY}}}}}}}}}}},
        {"tuple": ("x", {"password": KEY})},
    ],
)
def test_keys_are_hidden(parameters: dict[Any, Any]) -> None:
    known = frozenset([KEY]) if "known" in str(parameters) or "for " in str(parameters) else frozenset()
    texts = parameter_texts(parameters, known)
    assert KEY not in str(texts)
    assert "[hidden]" in str(texts)


def test_everything_else_is_shown() -> None:
    endless: list[Any] = [1]
    endless.append(endless)
    texts = parameter_texts(
        {"symbols": ["SPY", "QQQ"], "length": 20, 5: None, "max_tokens": 1000, "long": "x" * 2_000, "endless": endless},
        frozenset(),
    )
    assert texts["symbols"] == "['SPY', 'QQQ']"
    assert (texts["length"], texts["5"], texts["max_tokens"]) == ("20", "None", "1000")
    assert texts["long"].endswith("(1,400 more characters)")
    assert texts["endless"].startswith("[1, [1, ")
    assert parameter_texts({"many": list(range(5_000))}, frozenset())["many"].endswith("more characters)")
