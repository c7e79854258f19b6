"""The colours of charts, by name, for light and dark pages. In a plot, the text "--name" stands for a colour."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

Theme: TypeAlias = Literal["light", "dark"]

_LINES = {
    "light": ("#2563c9", "#d9822b", "#8b5cc7", "#c2417c", "#5b8a1f", "#0e8a9e", "#7a8496"),
    "dark": ("#6ea0f5", "#f0a04b", "#b491ea", "#ec7fb0", "#a3cc63", "#4fc3d6", "#98a2b3"),
}
LINES = len(_LINES["light"])
"""How many colours of lines there are: `c0`, `c1`, ..., and `f0`, `f1`, ... for the areas between them."""

_OWN = {
    "light": {
        "rise": "#12805c", "fall": "#c8372d", "volume": "#b6bfcd", "bought": "#2563c9", "sold": "#e0660b",
        "split": "#8b5cc7", "dividend": "#667085", "low": "#c8372d", "mid": "#f5f6f8", "high": "#2563c9",
    },
    "dark": {
        "rise": "#4cc79a", "fall": "#f5766b", "volume": "#465064", "bought": "#6ea0f5", "sold": "#ffa04d",
        "split": "#b491ea", "dividend": "#98a2b3", "low": "#f5766b", "mid": "#232a37", "high": "#6ea0f5",
    },
}  # fmt: skip
# As in the style of all pages.
_SHARED = {
    "light": {"card": "#ffffff", "text": "#1d2433", "muted": "#667085", "line": "#e3e7ee"},
    "dark": {"card": "#1a202b", "text": "#e6e9ef", "muted": "#98a2b3", "line": "#2b3444"},
}
_OPACITY = 0.12
"""Of the area between two lines."""


def palette(theme: Theme) -> dict[str, str]:
    """Return all colours by name. Raises ValueError for an unknown theme."""
    if theme not in _OWN:
        raise ValueError(f"{theme!r} is not a theme: write 'light' or 'dark'")
    return {**_SHARED[theme], **_chart_colors(theme)}


def style() -> str:
    """Return the colours of charts as CSS, light or dark as the browser is set."""
    light, dark = (_declared(_chart_colors(theme)) for theme in ("light", "dark"))
    return f":root {{ {light} }}\n@media (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}\n"


def painted(value: Any, colors: Mapping[str, str]) -> Any:
    """Return a part of a plot with colours in place of their names, as `plots.js` does for pages."""
    if isinstance(value, str) and value.startswith("--"):
        return colors[value[2:]]
    if isinstance(value, dict):
        return {key: (_scale if key == "colorscale" else painted)(each, colors) for key, each in value.items()}
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return [painted(each, colors) for each in value]
    return value


def _scale(steps: list[list[Any]], colors: Mapping[str, str]) -> list[list[Any]]:
    return [[place, painted(color, colors)] for place, color in steps]


def _chart_colors(theme: str) -> dict[str, str]:
    lines = {f"c{number}": color for number, color in enumerate(_LINES[theme])}
    areas = {f"f{number}": _translucent(color) for number, color in enumerate(_LINES[theme])}
    return {**_OWN[theme], **lines, **areas}


def _translucent(color: str) -> str:
    red, green, blue = (int(color[place : place + 2], 16) for place in (1, 3, 5))
    return f"rgba({red},{green},{blue},{_OPACITY})"


def _declared(colors: Mapping[str, str]) -> str:
    return " ".join(f"--{name}: {color};" for name, color in colors.items())
