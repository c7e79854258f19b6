"""The trades of a backtest as a table. Of a long one, the first rows are shown and the others can be unfolded."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal, InvalidOperation

from lumibot_duckdb.comparison.outcome import DUCKDB, LUMIBOT, Backtest
from lumibot_duckdb.comparison.page import sides
from lumibot_duckdb.comparison.trades import COLUMNS, Trade, merged_trades

_OPEN = 20
"""Rows that are shown without unfolding."""
_LONGEST = 60
_NUMBERS = ("quantity", "price", "costs")
_AMOUNTS = ("price", "costs")
_DIGITS, _CENTS = 6, 2
"""Amounts are rounded to so many significant digits, but never to less than cents."""
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
    """Return a trade as a row. Amounts are rounded if both sides have the trade; otherwise the last digit may count."""
    differs = trade.side in _DOTS
    cells = []
    for name, text in zip(COLUMNS, trade.cells, strict=True):
        exact = _shown(name, text)
        shown = exact if differs or name not in _AMOUNTS else _rounded(exact)
        title = "" if shown == exact else f' title="{sides.cut(exact, _LONGEST)}"'
        dot = _DOTS.get(trade.side, "") if name == "time" else ""
        cells.append(f"<td{_style(name)}{title}>{dot}{sides.cut(shown, _LONGEST)}</td>")
    marked = ' class="differs"' if differs else ""
    return f"<tr{marked}>{''.join(cells)}</tr>"


def _rounded(text: str) -> str:
    """Return an amount with six significant digits, or with cents if these are more; other texts unchanged.

    >>> [_rounded(text) for text in ("49.54085798737727", "67123.456", "0.00001234567", "470", "-")]
    ['49.5409', '67123.46', '0.0000123457', '470', '-']
    """
    try:
        amount = Decimal(text)
    except InvalidOperation:
        return text
    if not amount.is_finite():
        return text
    places = max(_CENTS, _DIGITS - 1 - amount.adjusted())
    shown = f"{amount:.{places}f}"
    return shown.rstrip("0").rstrip(".") if len(shown) < len(f"{amount:f}") else text


def _style(column: str) -> str:
    return ' class="number"' if column in _NUMBERS else ""


def _shown(column: str, text: str) -> str:
    """Return a time without its zone, a number without a decimal part that is 0, and other texts unchanged."""
    if column == "time":
        return text[:19].removesuffix(":00")
    if column in _NUMBERS:
        return sides.NOTHING if text in ("nan", "None", "") else text.removesuffix(".0")
    return text
