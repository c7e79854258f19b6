"""A replay as a page: one HTML file that loads no other file and connects to no host."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from lumibot_duckdb.live.replay import text
from lumibot_duckdb.live.replay.replay import Replay
from lumibot_duckdb.live.replay.requests import EXPLANATIONS, outcomes
from lumibot_duckdb.pages.curves import kept_places
from lumibot_duckdb.pages.page import Plot, whole_page
from lumibot_duckdb.storage.times import NEW_YORK

if TYPE_CHECKING:
    import pandas as pd

_STYLE = Path(__file__).with_name("page.css")
_POINTS = 2_000
"""Points of each curve."""
_OPEN, _MOST = 20, 500
"""Rows of a table that are shown without unfolding, and at most."""
_NUMBERS = ("quantity", "live price", "backtest price", "slippage")
_SIDES = {"live": "live", "backtest": "backtest"}


def replay_page(replay: Replay) -> str:
    """Return the page. All texts of the session and of the strategy are escaped."""
    title = escape(f"Live session {replay.session.record.name}, and its backtest")
    body = "".join(
        [
            f"<h1>{title}</h1>",
            f'<p class="muted">{escape(_subtitle(replay))}</p>',
            f'<div class="verdict {_mood(replay)}">{escape(text.verdict(replay))}</div>',
            _card("Portfolio value", _equity(replay)),
            _card("What the strategy saw", _outcomes(replay) + _requests(replay)),
            _card("Orders", _orders(replay)),
            _card("Notes", "".join(f"<p>{escape(note)}</p>" for note in [*replay.notes, text.EXPECTED_DIFFERENCES])),
            f"<footer>{escape(_versions(replay))}</footer>",
        ]
    )
    return whole_page(title, body, {"equity": _plot(replay)}, style=_STYLE.read_text(encoding="utf-8"))


def _mood(replay: Replay) -> str:
    return "good" if replay.saw_the_same and replay.traded_the_same else "bad"


def _subtitle(replay: Replay) -> str:
    source = ", ".join(replay.source[:3]) + (f" and {len(replay.source) - 3} more" if len(replay.source) > 3 else "")
    first, last = text.moment(replay.first), text.moment(replay.last)
    return f"{replay.session.record.strategy}, {first} to {last} in New York, backtested on {source}"


def _card(title: str, content: str) -> str:
    return f'<section class="card"><h2>{title}</h2>{content}</section>'


def _equity(replay: Replay) -> str:
    equity = replay.equity
    about = f"Return: {text.percent(equity.live_return)} live, {text.percent(equity.backtest_return)} in the backtest."
    if equity.largest_difference is not None:
        about += (
            f" The values differed most at {text.moment(equity.largest_at)}: "
            f"{equity.largest_difference:+,.2f} live against the backtest."
        )
    return f'<p>{escape(about)}</p><div class="plot" data-plot="equity"></div>'


def _outcomes(replay: Replay) -> str:
    rows = [[name, f"{number:,}", EXPLANATIONS[name]] for name, number in outcomes(replay.requests).items()]
    if not rows:
        return "<p>There was no request for bars or prices.</p>"
    return _table("outcomes", ("outcome", "requests", "what it means"), rows, ("requests",))


def _requests(replay: Replay) -> str:
    rows = text.request_rows(text.unexpected(replay))
    return f"<h3>Requests that differ</h3>{_folded('requests', text.REQUEST_COLUMNS, rows, ())}" if rows else ""


def _orders(replay: Replay) -> str:
    rows = text.order_rows(replay)
    if not rows:
        return "<p>Neither side made an order.</p>"
    costs = [pair.cost for pair in replay.orders if pair.cost is not None]
    about = f"<p>Slippage is how much worse the live price was. In all, it cost {sum(costs):,.2f}.</p>" if costs else ""
    marked = [not pair.is_equal for pair in replay.orders]
    return about + _folded("orders", text.ORDER_COLUMNS, rows, _NUMBERS, marked)


def _folded(
    kind: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    numbers: Sequence[str],
    marked: Sequence[bool] = (),
) -> str:
    """Return a table whose later rows are folded. Of a long one, the first rows are on the page."""
    first = _table(kind, columns, rows[:_OPEN], numbers, marked)
    more = rows[_OPEN:_MOST]
    rest = ""
    if more:
        table = _table(kind, columns, more, numbers, marked[_OPEN:])
        rest = f"<details><summary>{len(more):,} more</summary>{table}</details>"
    if len(rows) > _MOST:
        rest += f"<p class=muted>The first {_MOST:,} of {len(rows):,}; --json has all.</p>"
    return first + rest


def _table(
    kind: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    numbers: Sequence[str],
    marked: Sequence[bool] = (),
) -> str:
    classes = [' class="number"' if name in numbers else "" for name in columns]
    head = "".join(f"<th{kind}>{escape(name)}</th>" for name, kind in zip(columns, classes, strict=True))
    body = []
    for place, row in enumerate(rows):
        cells = "".join(f"<td{kind}>{escape(cell)}</td>" for cell, kind in zip(row, classes, strict=True))
        differs = ' class="differs"' if place < len(marked) and marked[place] else ""
        body.append(f"<tr{differs}>{cells}</tr>")
    return (
        f'<div class="scroll"><table class="{kind}"><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table></div>"
    )


def _plot(replay: Replay) -> Plot:
    axes = {
        "xaxis": {"type": "date"},
        "yaxis": {"title": {"text": "portfolio value"}, "exponentformat": "none", "separatethousands": True},
    }
    traces = [_trace(replay.equity.values[side].dropna(), name, side) for side, name in _SIDES.items()]
    return {"data": [trace for trace in traces if trace["x"]], "layout": {**axes, "hovermode": "x unified"}}


def _trace(values: pd.Series[float], name: str, side: str) -> dict[str, object]:
    import pandas as pd

    kept = values.iloc[list(kept_places(values.tolist(), _POINTS))]
    times = pd.DatetimeIndex(kept.index).tz_convert(NEW_YORK).strftime("%Y-%m-%d %H:%M:%S") if len(kept) else []
    return {
        "type": "scatter",
        "mode": "lines" if len(kept) > 1 else "markers",
        "name": name,
        "x": list(times),
        "y": [float(f"{value:.9g}") for value in kept],
        "line": {"color": f"--{side}", "width": 2},
        "marker": {"color": f"--{side}"},
    }


def _versions(replay: Replay) -> str:
    return ", ".join(f"{name} {version}" for name, version in replay.session.record.versions.items())
