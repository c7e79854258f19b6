"""Panes below each other that share a time axis with one place for each bar, so that closed markets leave no gap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

_GAP = 22
_HALF_A_LABEL = 36
"""Room at the left, which half of the first date takes."""


@dataclass(frozen=True, slots=True)
class Pane:
    """A pane: what it shows, its height in pixels of a wide window, and its vertical axis."""

    title: str
    height: int
    axis: dict[str, Any]


def height_of(panes: Sequence[Pane]) -> int:
    """Return the height of all panes in pixels of a wide window."""
    return sum(pane.height for pane in panes) + _GAP * (len(panes) - 1)


def axis_name(number: int) -> str:
    """Return what traces call the vertical axis of a pane; the first one has the number 1."""
    return "y" if number == 1 else f"y{number}"


def stacked_layout(panes: Sequence[Pane], names: Sequence[str]) -> dict[str, Any]:
    """Return the axes and titles. `names` are those of the bars."""
    whole, top = height_of(panes), 1.0
    found: dict[str, Any] = {"annotations": []}
    for number, pane in enumerate(panes, 1):
        bottom = max(0.0, top - pane.height / whole)
        key = axis_name(number).replace("y", "yaxis")
        found[key] = {"domain": [bottom, top], "side": "right", "fixedrange": False, **pane.axis}
        if pane.title:
            found["annotations"].append(_title(pane.title, top))
        top = bottom - _GAP / whole
    found["xaxis"] = {
        "type": "category",
        "categoryorder": "array",
        "categoryarray": list(names),
        "range": [-0.5, len(names) - 0.5],
        "anchor": axis_name(len(panes)),
        "rangeslider": {"visible": False},
        "showgrid": True,
        "tickangle": 0,
        "automargin": "bottom",
    }
    found["margin"] = {"l": _HALF_A_LABEL, "r": 8, "t": 30, "b": 8}
    return found | {"bargap": 0.15, "hovermode": "x unified", "hoversubplots": "axis"}


def _title(text: str, top: float) -> dict[str, Any]:
    place = {"xref": "paper", "x": 0, "xanchor": "left", "yref": "paper", "y": top, "yanchor": "bottom"}
    return {**place, "text": text, "showarrow": False, "font": {"color": "--muted", "size": 11}}
