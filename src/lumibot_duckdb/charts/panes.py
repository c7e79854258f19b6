"""Where the parts of a chart are, and how they are drawn: prices on top, the volume and oscillators below."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any, TypeAlias

import numpy as np

from lumibot_duckdb.analytics.bars import FloatArray
from lumibot_duckdb.charts.candles import PRICES, Candles
from lumibot_duckdb.charts.colors import LINES
from lumibot_duckdb.charts.overlays import Drawn
from lumibot_duckdb.charts.stacked import Pane, axis_name, height_of, stacked_layout

Trace: TypeAlias = "dict[str, Any]"

PRICE_HEIGHT, VOLUME_HEIGHT, PANE_HEIGHT = 400, 80, 120
"""In pixels of a wide window."""

# Values at which an oscillator has grid lines, and the range of its axis if that is fixed.
_LEVELS = {
    "rsi": ((30, 50, 70), (0, 100)),
    "mfi": ((20, 50, 80), (0, 100)),
    "stochastic": ((20, 50, 80), (0, 100)),
    "fast_stochastic": ((20, 50, 80), (0, 100)),
    "stoch_rsi": ((20, 50, 80), (0, 100)),
    "williams_r": ((-80, -50, -20), (-100, 0)),
}
# Outputs between which the area is filled.
_AREAS = {"upper": "lower", "span_b": "span_a"}
_DOTS = ("psar",)
_STEPS = ("pivot_points",)


class Panes:
    """The panes of a chart from top to bottom, and the traces in them."""

    def __init__(self, candles: Candles, names: Sequence[str]) -> None:
        self._candles, self._names = candles, names
        self._panes = [Pane("", PRICE_HEIGHT, {"nticks": 8})]
        self._lines = 0 if candles.has_range else 1
        self.traces: list[Trace] = [_prices(candles, names)]

    @property
    def height(self) -> int:
        """The height of all panes in pixels of a wide window."""
        return height_of(self._panes)

    def add_volume(self) -> None:
        """Add a pane with the volume, if there is any."""
        volume = self._candles.columns["volume"]
        if not (np.nan_to_num(volume) > 0).any():
            return
        axis = self._pane("volume", VOLUME_HEIGHT, {"nticks": 3, "exponentformat": "B", "rangemode": "tozero"})
        bars = {"type": "bar", "name": "volume", "marker": {"color": "--volume", "line": {"width": 0}}}
        self.traces.append(self._trace(volume, axis, **bars, showlegend=False, hovertemplate="%{y:,}"))

    def add_indicator(self, drawn: Drawn) -> None:
        """Add an indicator: on the prices, or in a new pane below."""
        axis = "y" if drawn.on_price else self._pane(drawn.name, PANE_HEIGHT, _axis_of(drawn))
        single = len(drawn.outputs) == 1
        for output, values in drawn.outputs.items():
            name = drawn.name if single else f"{drawn.name} {output}"
            self.traces.append(
                self._trace(
                    values, axis, name=name, **self._look(drawn, output), showlegend=drawn.on_price or not single
                )
            )
            if output in _AREAS:  # the area ends at this line
                self.traces[-1].update(fill="tonexty", fillcolor=f"--f{(self._lines - 1) % LINES}")
        if drawn.on_price and not single:
            self._group(drawn)

    def layout(self) -> dict[str, Any]:
        """Return the axes and titles."""
        return stacked_layout(self._panes, self._names)

    def _pane(self, title: str, height: int, axis: dict[str, Any]) -> str:
        self._panes.append(Pane(title, height, axis))
        return axis_name(len(self._panes))

    def _trace(self, values: FloatArray, axis: str, **further: Any) -> Trace:
        return {"x": list(self._names), "y": numbers(values), "yaxis": axis, **further}

    def _look(self, drawn: Drawn, output: str) -> Trace:
        kind = drawn.request.indicator.name
        if output == "histogram":
            return {"type": "bar", "marker": {"color": "--volume"}}
        if not (_is_band(drawn) and output != next(iter(drawn.outputs))):
            self._lines += 1
        color = f"--c{(self._lines - 1) % LINES}"
        if kind in _DOTS:
            return {"type": "scatter", "mode": "markers", "marker": {"color": color, "size": 3}}
        line = {"color": color, "width": 1.5}
        if kind in _STEPS:
            line |= {"shape": "hv", "width": 1}
        return {"type": "scatter", "mode": "lines", "line": line}

    def _group(self, drawn: Drawn) -> None:
        """Show lines that belong together as one entry of the legend, which switches all of them."""
        first, *others = self.traces[-len(drawn.outputs) :]
        first.update(hovertemplate=f"%{{y}}<extra>{first['name']}</extra>", name=drawn.name, legendgroup=drawn.name)
        for trace in others:
            trace.update(legendgroup=drawn.name, showlegend=False)


def numbers(values: FloatArray) -> list[float | None]:
    """Return numbers for JSON, missing ones as None."""
    return [float(value) if finite else None for value, finite in zip(values, np.isfinite(values), strict=True)]


def _prices(candles: Candles, names: Sequence[str]) -> Trace:
    common: Trace = {"x": list(names), "yaxis": "y", "name": escape(candles.series.symbol, quote=False)}
    if not candles.has_range:
        line = {"color": "--c0", "width": 1.5}
        return {**common, "type": "scatter", "mode": "lines", "line": line, "y": numbers(candles.columns["close"])}
    common["showlegend"] = False
    sides = {
        f"{side}creasing": {"line": {"color": f"--{color}", "width": 1}, "fillcolor": f"--{color}"}
        for side, color in (("in", "rise"), ("de", "fall"))
    }
    prices = {name: numbers(candles.columns[name]) for name in PRICES}
    return {**common, "type": "candlestick", **prices, **sides, "whiskerwidth": 0}


def _is_band(drawn: Drawn) -> bool:
    """Return whether the lines are those of one band, which have one colour."""
    return drawn.on_price and "upper" in drawn.outputs


def _axis_of(drawn: Drawn) -> dict[str, Any]:
    levels = _LEVELS.get(drawn.request.indicator.name)
    if levels is None:
        return {"nticks": 4}
    values, ends = levels
    return {"tickmode": "array", "tickvals": list(values), "range": list(ends)}
