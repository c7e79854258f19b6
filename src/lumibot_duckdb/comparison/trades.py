"""The trades of both sides in one list, in chronological order."""

from __future__ import annotations

from collections import Counter
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
    shared = Counter(common)
    found = []
    for cells in left:
        is_shared = shared[cells] > 0
        shared[cells] -= is_shared
        found.append(Trade(BOTH if is_shared else LUMIBOT, cells))
    for cells in right:
        if common[cells] > 0:
            common[cells] -= 1
        else:
            found.append(Trade(DUCKDB, cells))
    return sorted(found, key=lambda trade: trade.cells[0])


def _fills(events: Table) -> list[tuple[str, ...]]:
    rows = (dict(zip(events.columns, row, strict=True)) for row in events.rows)
    return [_cells(row) for row in rows if row.get("status") in FILLS]


def _cells(row: dict[str, str]) -> tuple[str, ...]:
    names = ("side", "filled_quantity", "price", "trade_cost", "status")
    return row.get("time", ""), _symbol(row), *(row.get(name, "") for name in names)


def _symbol(row: dict[str, str]) -> str:
    """Return the symbol; that of a contract with what tells it apart from others."""
    parts = [row.get("symbol", "")]
    if row.get("asset.asset_type") == _OPTION:
        parts += [text for name in _CONTRACT if (text := row.get(name, "")) not in ("", "None", "nan")]
    elif (expiration := row.get("asset.expiration", "")) not in ("", "None", "nan"):
        parts.append(expiration)
    return " ".join(parts)
