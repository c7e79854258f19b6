"""The trades of both sides in one list: what both have once, and everything that only one has."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hypothesis_settings import examples
from lumibot_duckdb.comparison.outcome import DUCKDB, LUMIBOT, Table
from lumibot_duckdb.comparison.trades import BOTH, COLUMNS, merged_trades
from lumibot_duckdb.comparison.value_text import cell

FIELDS = [
    "time",
    "symbol",
    "side",
    "filled_quantity",
    "price",
    "trade_cost",
    "status",
    "asset.asset_type",
    "asset.strike",
]


def table(fills: list[tuple[int, str, int]]) -> Table:
    rows = [
        [f"2024-01-0{day}", symbol, "buy", "1", str(price), "0.5", "fill", "stock", "0.0"]
        for day, symbol, price in fills
    ]
    return Table(FIELDS, rows)


fills = st.lists(st.tuples(st.integers(1, 4), st.sampled_from(["SPY", "QQQ"]), st.integers(1, 2)), max_size=12).map(
    sorted
)


@examples(200)
@given(fills, fills)
def test_each_side_finds_its_trades(left: list[tuple[int, str, int]], right: list[tuple[int, str, int]]) -> None:
    theirs, ours = table(left), table(right)
    merged = merged_trades(theirs, ours)
    for side, events in ((LUMIBOT, theirs), (DUCKDB, ours)):
        mine = [trade.cells for trade in merged if trade.side in (side, BOTH)]
        expected = [(*row[:6], row[6]) for row in events.rows]
        assert Counter(mine) == Counter(expected)
        assert [cells[0] for cells in mine] == [row[0] for row in events.rows]
    only = [{trade.cells for trade in merged if trade.side == side} for side in (LUMIBOT, DUCKDB)]
    assert not only[0] & only[1]


def test_only_fills_are_trades_and_contracts_have_their_terms() -> None:
    row = ["2024-01-02", "SPY", "buy", "1", "2.5", "1", "fill", "option", "470.0"]
    new = [*row[:6], "new", *row[7:]]
    (trade,) = merged_trades(Table(FIELDS, [new, row]), Table(FIELDS, [row]))
    assert trade.side == BOTH
    assert dict(zip(COLUMNS, trade.cells, strict=True))["symbol"] == "SPY 470.0"
    assert merged_trades(Table([], []), Table([], [])) == []


@pytest.mark.parametrize("symbol", ["SPY", "M'1", "7203", "None", "'", '"A"', "BRK (B)"])
def test_a_symbol_has_no_quotes_that_are_not_part_of_it(symbol: str) -> None:
    events = Table(FIELDS, [["2024-01-02", cell(symbol), "buy", "1", "2.5", "1", "fill", "stock", "0.0"]])
    (trade,) = merged_trades(events, events)
    assert dict(zip(COLUMNS, trade.cells, strict=True))["symbol"] == symbol
    broken = Table(FIELDS, [["2024-01-02", "'\\", "buy", "1", "2.5", "1", "fill", "stock", "0.0"]])
    assert merged_trades(broken, broken)[0].cells[1] == "'\\"
