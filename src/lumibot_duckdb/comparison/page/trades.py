"""The trades of a backtest as a table. Of a long one, the first rows are shown and the others can be unfolded."""

from __future__ import annotations

from collections.abc import Sequence

from lumibot_duckdb.comparison.outcome import DUCKDB, LUMIBOT, Backtest
from lumibot_duckdb.comparison.page import sides
from lumibot_duckdb.comparison.trades import COLUMNS, Trade, merged_trades

_OPEN = 20
"""Rows that are shown without unfolding."""
_LONGEST = 60
_NUMBERS = ("quantity", "price", "costs")
_DOTS = {LUMIBOT: sides.dot(sides.LUMIBOT), DUCKDB: sides.dot(sides.DUCKDB)}


def trades_table(theirs: Backtest, ours: Backtest, most: int) -> str:
    """Return at most some trades as HTML. Those that only one side has are marked with its colour."""
    trades = merged_trades(theirs.events, ours.events)
    if not trades:
        return "<p>No order was filled.</p>"
    only_one = any(trade.side in _DOTS for trade in trades)
    legend = (
        f"<p class=muted>{_DOTS[LUMIBOT]}only on Lumibot's storage &ensp; {_DOTS[DUCKDB]}only on lumibot-duckdb</p>"
        if only_one
        else ""
    )
    shown = _chosen(trades, max(most, _OPEN))
    rest = shown[_OPEN:]
    unfolded = f"<details><summary>{len(rest):,} more trades</summary>{_table(rest)}</details>" if rest else ""
    return f"{legend}{_table(shown[:_OPEN])}{unfolded}{_left_out(len(shown), len(trades))}"


def _chosen(trades: Sequence[Trade], most: int) -> list[Trade]:
    """Return all trades; of too many, the first ones and the first of those that only one side has."""
    if len(trades) <= most:
        return list(trades)
    only_one = [place for place, trade in enumerate(trades) if trade.side in _DOTS][: most // 2]
    first = range(most - sum(place >= most - len(only_one) for place in only_one))
    return [trades[place] for place in sorted({*first, *only_one})]


def _left_out(shown: int, count: int) -> str:
    if shown == count:
        return ""
    return (
        f"<p class=muted>{shown:,} of {count:,} trades: the first, and the first that only one side has. "
        "<code>compare --keep FOLDER</code> keeps all as CSV files, <code>FOLDER/duckdb-1/events-*.csv</code>.</p>"
    )


def _table(trades: Sequence[Trade]) -> str:
    head = "".join(f"<th{_style(name)}>{name}</th>" for name in COLUMNS)
    body = "".join(_row(trade) for trade in trades)
    return (
        f'<div class="scroll"><table class="trades"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def _row(trade: Trade) -> str:
    texts = zip(COLUMNS, trade.cells, strict=True)
    cells = [(name, sides.cut(_shown(name, text), _LONGEST)) for name, text in texts]
    cells[0] = ("time", _DOTS.get(trade.side, "") + cells[0][1])
    marked = ' class="differs"' if trade.side in _DOTS else ""
    return f"<tr{marked}>{''.join(f'<td{_style(name)}>{cell}</td>' for name, cell in cells)}</tr>"


def _style(column: str) -> str:
    return ' class="number"' if column in _NUMBERS else ""


def _shown(column: str, text: str) -> str:
    """Return a time without its zone, a number without a decimal part that is 0, and other texts unchanged."""
    if column == "time":
        return text[:19].removesuffix(":00")
    if column in _NUMBERS:
        return sides.NOTHING if text in ("nan", "None", "") else text.removesuffix(".0")
    return text
