"""The plots of the report."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from math import floor, log10
from typing import Any

from lumibot_duckdb.comparison import summary
from lumibot_duckdb.comparison.comparison import Result
from lumibot_duckdb.comparison.meters import PHASES, Costs
from lumibot_duckdb.comparison.outcome import Backtest
from lumibot_duckdb.comparison.page.sides import COLORS, DUCKDB, LUMIBOT
from lumibot_duckdb.pages.curves import Curve, thinned
from lumibot_duckdb.pages.page import Plot

_WIDTHS = {LUMIBOT: 6, DUCKDB: 2}
"""Lumibot's curve is wide and ours narrow on top of it, so that both are visible where they coincide."""
_MEMORY_POINTS = 1_000
_FLAT = 1e-5
"""Portfolio values that move by a smaller part are shown as flat."""
_LABELS = 6
_MARGINS = {"r": 8, "t": 30, "b": 8}
_TITLE_WIDTH, _DIGIT_WIDTH, _SHORTEST_LABEL = 32, 7, 6
"""Pixels of the title of an axis and of a digit, and the number of characters of the shortest label."""


def equity(theirs: Backtest, ours: Backtest, points: int) -> Plot:
    """Draw the portfolio values of both sides, and what the benchmark would have made of the first one."""
    curves = [_values(theirs), _values(ours)]
    plot = _curves(
        [(times, [round(each, 2) for each in values]) for times, values in curves], "portfolio value", points
    )
    benchmark = _benchmark(theirs, curves[0])
    if benchmark is not None:
        times, values = thinned(benchmark, points)
        line = {"color": "--muted", "width": 1.5, "dash": "dot"}
        name = f"benchmark {_shown(theirs.benchmark)}"
        plot["data"].append({"type": "scatter", "mode": "lines", "name": name, "x": times, "y": values, "line": line})
    plot["layout"]["yaxis"] |= _flat_axis(theirs, ours)
    return _aligned(plot, theirs, ours)


def drawdown(theirs: Backtest, ours: Backtest, points: int) -> Plot:
    """Draw how far the portfolio value is below its maximum until then."""
    plot = _curves([_drawdown(_values(backtest)) for backtest in (theirs, ours)], "drawdown, %", points)
    plot["layout"]["showlegend"] = False
    return _aligned(plot, theirs, ours)


def _aligned(plot: Plot, theirs: Backtest, ours: Backtest) -> Plot:
    """Give both plots of a backtest the same dates, at the same places, and labels that have enough space there."""
    times, values = _extent(theirs, ours)
    low, high = _flat_axis(theirs, ours).get("range", values)
    decimals = max(0, -floor(log10((high - low) / _LABELS)))
    longest = max(_SHORTEST_LABEL, *(len(f"{value:,.{decimals}f}") for value in (low, high)))
    plot["layout"]["margin"] = {**_MARGINS, "l": _TITLE_WIDTH + _DIGIT_WIDTH * longest}
    plot["layout"]["yaxis"] |= {"exponentformat": "none", "separatethousands": True}
    if times[0] < times[1]:
        plot["layout"]["xaxis"]["range"] = list(times)
    return plot


def _flat_axis(theirs: Backtest, ours: Backtest) -> dict[str, Any]:
    """Return the range of an axis for values that hardly move, for which Plotly would choose a tiny one."""
    low, high = _extent(theirs, ours)[1]
    margin = _FLAT * max(abs(low), abs(high), 1.0)
    return {"range": [low - margin, high + margin]} if high - low < margin else {}


def _extent(theirs: Backtest, ours: Backtest) -> tuple[tuple[str, str], tuple[float, float]]:
    """Return the first and the last time, and the lowest and the highest value, of the curves of portfolio values."""
    curves = [_values(theirs), _values(ours)]
    curves.append(_benchmark(theirs, curves[0]) or ([], []))
    times = [time for curve in curves for time in curve[0]] or [""]
    values = [value for curve in curves for value in curve[1]] or [0.0]
    return (min(times), max(times)), (min(values), max(values))


def memory(result: Result) -> Plot:
    """Draw the memory of the last run on each side."""
    data = []
    for name, run in ((LUMIBOT, result.lumibot[-1]), (DUCKDB, result.duckdb[-1])):
        points = run.outcome.costs.memory
        kept = points[:: -(-len(points) // _MEMORY_POINTS) or 1]
        data.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": name,
                "x": [round(at, 3) for at, _ in kept],
                "y": [round(held / 1e6, 1) for _, held in kept],
                "line": {"color": COLORS[name], "width": 2},
            }
        )
    axes = {"xaxis": {"title": {"text": "seconds"}}, "yaxis": {"title": {"text": "MB"}, "rangemode": "tozero"}}
    return {"data": data, "layout": axes}


def phases(result: Result) -> Plot:
    """Draw the median duration of each phase as a bar, with the first phase at the top."""
    names = [phase for phase in PHASES if max(summary.medians(result, _phase(phase))) > 0]
    data = []
    for side, name in enumerate((LUMIBOT, DUCKDB)):
        seconds = [round(summary.medians(result, _phase(phase))[side], 3) for phase in names]
        bars = {"type": "bar", "orientation": "h", "name": name, "x": seconds, "y": [_wrapped(each) for each in names]}
        data.append({**bars, "marker": {"color": COLORS[name]}})
    axes = {"xaxis": {"title": {"text": "seconds"}}, "yaxis": {"autorange": "reversed", "tickmode": "linear"}}
    return {"data": data, "layout": {**axes, "barmode": "group", "hovermode": "closest", "bargap": 0.25}}


def _curves(curves: Sequence[Curve], title: str, points: int) -> Plot:
    data = []
    for curve, name in zip(curves, (LUMIBOT, DUCKDB), strict=True):
        times, values = thinned(curve, points)
        data.append(
            {
                "type": "scatter",
                "mode": "lines" if len(times) > 1 else "markers",  # a line needs two points
                "name": name,
                "x": times,
                "y": values,
                "line": {"color": COLORS[name], "width": _WIDTHS[name]},
                "marker": {"color": COLORS[name], "size": 2 * _WIDTHS[name] + 4},
            }
        )
    return {"data": data, "layout": {"xaxis": {"type": "date"}, "yaxis": {"title": {"text": title, "standoff": 10}}}}


def _values(backtest: Backtest) -> Curve:
    table = backtest.values
    pairs = [
        # The browser would ignore a time zone; the times are in the backtest's.
        (time[:19].removesuffix(":00"), float(value))
        for time, value in zip(table.column("datetime"), table.column("portfolio_value"), strict=False)
        if value not in ("nan", "None", "inf", "-inf")
    ]
    return [time for time, _ in pairs], [value for _, value in pairs]


def _drawdown(curve: Curve) -> Curve:
    times, values = curve
    tops = accumulate(values, max)
    below = [round(100 * (value / top - 1), 4) if top > 0 else 0.0 for value, top in zip(values, tops, strict=True)]
    return times, below


def _benchmark(backtest: Backtest, curve: Curve) -> Curve | None:
    """Return the value of the benchmark at the end of each day, beginning with the first value of a curve."""
    returns = backtest.returns.column("benchmark")
    if not returns or not curve[1]:
        return None
    days = [day[:10] for day in backtest.returns.column("day")]
    values = accumulate(map(float, returns), lambda value, rise: value * (1 + rise), initial=curve[1][0])
    return days, [round(value, 2) for value in values][1:]


def _shown(name: str) -> str:
    """Return a name for a legend, in which Plotly would interpret tags."""
    return name.replace("&", "&amp;").replace("<", "&lt;")[:40]


def _phase(name: str) -> Any:
    def seconds(costs: Costs) -> float:
        return costs.phases[name]

    return seconds


def _wrapped(phase: str, width: int = 18) -> str:
    lines = [""]
    for word in phase.split():
        if len(lines[-1]) + len(word) > width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return "<br>".join(filter(None, lines))
