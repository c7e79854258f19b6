"""The trials as columns, for the scripts of the page."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from lumibot_duckdb.comparison.trading_statistics import STYLES, style_of
from lumibot_duckdb.display import printable
from lumibot_duckdb.sweeps.report.contents import SweepReport
from lumibot_duckdb.sweeps.search.objectives import objective_names

if TYPE_CHECKING:
    import pandas as pd

_DIGITS = 6
"""Significant digits of statistics: more than the table shows."""
_LONGEST = 200


def table_data(report: SweepReport) -> dict[str, Any]:
    """Return the columns with their values, and what the scripts need to know of the sweep.

    A column has an id, which filters use; a label; a kind, which says how a value is shown; and its values. The values
    of texts are places in `texts`, so that a text is there once.
    """
    trials = report.trials
    columns = [_column("trial", "Trial", "count", [int(number) for number in trials.index])]
    columns.append(_column("status", "How the trial ended", "text", trials["status"]))
    columns.append(_objective(report))
    columns += [
        _column(str(name), f"Parameter {name}", "parameter", report.parameters[name]) for name in report.parameters
    ]
    taken = {column["id"] for column in columns}
    for name in report.statistics:
        if name != report.objective:
            label, style = STYLES.get(str(name), (str(name), "ratio"))
            ident = str(name) if name not in taken else f"statistic {name}"
            columns.append(_column(ident, label, style, report.statistics[name]))
    columns.append(_column("seconds", "Duration of the backtest in seconds", "ratio", trials["seconds"]))
    return {"columns": columns, "minimize": report.minimize, "ranking": _places(report)}


def objective_name(report: SweepReport) -> str:
    """Return the objective as people read it: "Sharpe ratio"."""
    return objective_names().get(report.objective, printable(report.objective))


def _objective(report: SweepReport) -> dict[str, Any]:
    ident = report.objective if report.objective not in report.parameters else "objective"
    column = _column(
        ident, f"{objective_name(report)}, the objective", style_of(report.objective), report.trials["objective"]
    )
    return {**column, "role": "objective"}


def _places(report: SweepReport) -> list[int]:
    """Return the rows of the complete trials that have an objective, the best one first."""
    place = {int(number): row for row, number in enumerate(report.trials.index)}
    return [place[number] for number in report.ranking]


def _column(ident: str, label: str, kind: str, values: Iterable[Any] | pd.Series[Any]) -> dict[str, Any]:
    found = [_value(value) for value in values]
    shown = {"id": printable(ident), "label": printable(label), "kind": kind}
    if kind != "parameter" and not any(isinstance(value, str) for value in found):
        return {**shown, "values": [_rounded(value) for value in found]}
    if all(value is None or _is_number(value) for value in found):
        return {**shown, "values": found}
    texts = {text: place for place, text in enumerate(dict.fromkeys(_text(value) for value in found))}
    return {**shown, "values": [texts[_text(value)] for value in found], "texts": list(texts)}


def _value(value: Any) -> Any:
    """Return a value of JSON; None for missing ones."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return str(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _rounded(value: Any) -> Any:
    return float(f"{value:.{_DIGITS}g}") if isinstance(value, float) else value


def _text(value: Any) -> str:
    """Return a value as a text: booleans and None as in Python."""
    text = printable(str(value))
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
