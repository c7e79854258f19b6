"""Names and patterns of stored assets."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hypothesis_settings import examples
from lumibot_duckdb.storage.api import AssetKey, SeriesKey
from lumibot_duckdb.storage.name_patterns import name_matches
from lumibot_duckdb.storage.upkeep.prune_rule import PruneRule, unreachable_rule

CALL = AssetKey("SPY", "option", expiration=date(2024, 1, 19), strike=470.0, right="CALL")
ASSETS = {
    "SPY": AssetKey("SPY"),
    "SPYG": AssetKey("SPYG"),
    "call": CALL,
    "BTC": AssetKey("BTC", "crypto", "USD"),
    "ETH": AssetKey("ETH", "crypto", "BTC"),
    "A*": AssetKey("A*"),
    "AAPL": AssetKey("AAPL"),
    "A[B]": AssetKey("A[B]"),
}


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("spy", {"SPY", "call"}),
        ("SPY*", {"SPY", "SPYG", "call"}),
        ("SPY stock", {"SPY"}),
        ("spy* STOCK", {"SPY", "SPYG"}),
        ("* option", {"call"}),
        ("SPY 2024-01-?? * call", {"call"}),
        ("SPY 2024-01-19 470 CALL option", {"call"}),
        ("BTC/USD", {"BTC"}),
        ("*/usd", {"BTC"}),
        ("*/*", {"BTC", "ETH"}),
        ("*usd", set()),
        ("*k", set()),
        ("[B-E]??", {"BTC", "ETH"}),
        ("A*", {"A*", "AAPL", "A[B]"}),
        ("A[*]", {"A*"}),
        ("A[B]", {"A[B]"}),
        ("A[[]B]", {"A[B]"}),
        ("*", set(ASSETS)),
        ("", set()),
        ("[", set()),
    ],
)
def test_what_a_name_matches(name: str, found: set[str]) -> None:
    assert {each for each, asset in ASSETS.items() if name_matches(name, asset)} == found


SYMBOLS = ("A", "AB", "B", "A*", "[A]")
KEYS = [
    SeriesKey(AssetKey(symbol, "crypto" if quote else "stock", quote), source, timeframe, adjustment)
    for symbol in SYMBOLS
    for quote in (None, "B")
    for source, timeframe, adjustment in (("x", "day", ""), ("x", "minute", "all"), ("y", "day", "all"))
]
NAMES = st.text("AB*?[]/ ", min_size=1, max_size=4) | st.sampled_from(SYMBOLS)
RULES = st.builds(
    PruneRule,
    st.none(),
    st.lists(NAMES, max_size=2).map(tuple),
    st.sampled_from((None, "x", "y")),
    st.sampled_from((None, "day", "minute")),
    st.sampled_from((None, "", "all")),
)


@given(RULES, RULES)
@examples(300)
def test_a_rule_that_another_covers_never_applies(first: PruneRule, second: PruneRule) -> None:
    if first.covers(second):
        assert all(first.matches(key) for key in KEYS if second.matches(key))


@pytest.mark.parametrize(
    ("texts", "unreachable"),
    [
        (("1d", "2d"), 1),
        (("1d symbol=S*", "2d symbol=SPY,SPX source=x"), 1),
        (("1d symbol=SPY", "2d symbol=S*"), None),
        (("1d symbol=S*", "2d symbol=SPY,AAPL"), None),
        (("1d symbol=S*", "2d"), None),
        (("1d source=x", "2d source=y", "3d source=x timeframe=day"), 2),
        (("1d adjustment=", "2d adjustment=all", "3d"), None),
        (("1d adjustment=", "2d", "3d adjustment=all"), 2),
        (("1d symbol=*B", "2d symbol=A/B"), None),
        (("1d symbol=*", "2d symbol=A/B"), 1),
        (("1d symbol=*a*", "2d symbol=[ab]"), None),
    ],
)
def test_unreachable_rules(texts: tuple[str, ...], unreachable: int | None) -> None:
    rules = tuple(map(PruneRule.parse, texts))
    assert tuple(map(str, rules)) == texts
    found = unreachable_rule(rules)
    assert (found and found[0]) == (None if unreachable is None else rules[unreachable])
