"""Puts a page together: one file that loads no other file and connects to no host."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from lumibot_duckdb.pages.bundles import plotly_code

Plot: TypeAlias = dict[str, Any]
"""`data` and `layout` of a Plotly figure. A text "--name" is the colour of that name in the page's style."""

_HERE = Path(__file__).parent


def whole_page(
    title: str,
    body: str,
    plots: Mapping[str, Plot],
    *,
    style: str = "",
    script: str = "",
    data: Mapping[str, Any] | None = None,
    traces: Collection[str] = (),
) -> str:
    """Return a page as HTML. `title` and `body` are HTML, so the caller escapes the texts in them.

    Parameters:
        title: what the browser shows as the name of the page.
        body: the contents. Each element with `data-plot="name"` gets the plot of that name.
        plots: the plots.
        style: CSS of this page, besides what all pages share.
        script: JavaScript of this page. It runs last, and `plots.js` says what it can use.
        data: what the script reads, as JSON: each value from the element with its name as id.
        traces: types of traces that `script` draws, besides those of `plots`. They decide which of Plotly's code the
            page contains.
    """
    drawn = {trace.get("type", "scatter") for plot in plots.values() for trace in plot["data"]}
    elements = [_json_element(name, value) for name, value in {"plots": plots, **(data or {})}.items()]
    filled = {
        "title": title,
        "style": _text_of("page.css") + style,
        "body": body,
        "data": "\n".join(elements),
        "script": _text_of("plots.js"),
        "own_script": script,
        "plotly": plotly_code(drawn | set(traces)),
    }
    return filled_in(_text_of("page.html"), filled)


def filled_in(template: str, values: Mapping[str, str]) -> str:
    """Return a template with a value for each `{{name}}`. Nothing in the values is taken for a placeholder."""
    first, *parts = template.split("{{")
    return first + "".join(values[name] + rest for name, rest in (part.split("}}", 1) for part in parts))


def _json_element(name: str, value: Any) -> str:
    return f'<script type="application/json" id="{name}">{_script_json(value)}</script>'


def _script_json(value: Any) -> str:
    """Return JSON that is safe inside a script element."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _text_of(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")
