"""Returns over some bars, as features."""

from __future__ import annotations

from lumibot_duckdb.analytics.catalogue import Indicator
from lumibot_duckdb.analytics.parameters import bars
from lumibot_duckdb.analytics.warm_up import window


def _entry(name: str, title: str, formula: str) -> Indicator:
    return Indicator(
        name=name,
        title=title,
        group="returns",
        parameters=(bars("n", 1),),
        inputs=("close",),
        outputs=(name,),
        formula=formula,
        source="pandas pct_change",
        warm_up=window,
    )


RETURNS = {
    entry.name: entry
    for entry in (
        _entry("return", "Return", "close / close[n] - 1"),
        _entry("log_return", "Logarithmic return", "ln(close / close[n])"),
    )
}
"""What panels have besides the catalogue of indicators."""
