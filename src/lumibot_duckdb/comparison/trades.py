"""The trades of both sides in one list, in chronological order."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from lumibot_duckdb.comparison.outcome import DUCKDB, FILLS, LUMIBOT, Table

COLUMNS = ("time", "symbol", "side", "quantity", "price", "costs", "status")
BOTH = "both"
_CONTRACT = ("asset.expiration", "asset.strike", "asset.right")
_OPTION = "option"


@dataclass(frozen=True)
class Trade:
    """A fill: on which side it was (`outcome.SIDES`, or `BOTH`), and the texts of `COLUMNS`."""

    side: str
    cells: tuple[str, ...]


def merged_trades(theirs: Table, ours: Table) -> list[Trade]:
    """Return the fills of two logs of trade events. A fill that is equal in both is listed once.

    Fills that only one side has are at their place in time; at the same time, Lumibot's come first.
    """
    left, right = _fills(theirs), _fills(ours)
    common = Counter(left) & Counter(right)
    marked = [Trade(BOTH if is_common else LUMIBOT, cells) for cells, is_common in _in_common(left, common)]
    only_ours = [Trade(DUCKDB, cells) for cells, is_common in _in_common(right, common) if not is_common]
    return sorted([*marked, *only_ours], key=lambda trade: trade.cells[0])


def _in_common(
    fills: list[tuple[str, ...]], common: Counter[tuple[str, ...]]
) -> Iterator[tuple[tuple[str, ...], bool]]:
    """Yield each fill with whether it is one of those that both sides have. Equal fills are counted."""
    left = Counter(common)
    for cells in fills:
        yield cells, left[cells] > 0
        left[cells] -= 1


def _fills(events: Table) -> list[tuple[str, ...]]:
    return [_cells(row) for row in events.records() if row.get("status") in FILLS]


def _cells(row: dict[str, str]) -> tuple[str, ...]:
    names = ("side", "filled_quantity", "price", "trade_cost", "status")
    return row.get("time", ""), symbol_of(row), *(row.get(name, "") for name in names)


def symbol_of(row: Mapping[str, str]) -> str:
    """Return the symbol of a trade event; that of a contract with what tells it apart from others."""
    parts = [_unquoted(row.get("symbol", ""))]
    if row.get("asset.asset_type") == _OPTION:
        parts += [text for name in _CONTRACT if (text := row.get(name, "")) not in ("", "None", "nan")]
    elif (expiration := row.get("asset.expiration", "")) not in ("", "None", "nan"):
        parts.append(expiration)
    return " ".join(parts)


def _unquoted(cell: str) -> str:
    """Return the string of a cell, which is quoted if it looks like another type, such as the symbol "7203"."""
    try:
        return str(ast.literal_eval(cell)) if cell[:1] in ("'", '"') else cell
    except (ValueError, SyntaxError):  # a key was removed from it
        return cell
