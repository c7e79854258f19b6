"""Compares Lumibot's own record of the frames that strategies and indicators received."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path

from lumibot_duckdb.comparison.differences.difference import MISSING, Difference
from lumibot_duckdb.comparison.outcome import unlimited_field_size

_SEQUENCES = ("sequence", "observedSequence")


def input_differences(backtest: str, *folders: Path) -> Iterator[Difference]:
    """Compare Lumibot's own record of the frames that indicators and strategies received, the first 4,096.

    Its rows are in the order of the requests, which threads make in any order, so they are sorted first.
    """
    observed = [_csv(folder / "market_input_observations.csv") for folder in folders]
    if observed[0] == observed[1]:
        return
    rows = [_csv(folder / "market_inputs.csv") for folder in folders]
    for theirs, ours in zip_longest(*rows):
        if theirs != ours:
            either = theirs or ours or {}
            name = next((name for name in either if (theirs or {}).get(name) != (ours or {}).get(name)), "")
            values = [MISSING if row is None else row.get(name, MISSING) for row in (theirs, ours)]
            place = f"Lumibot's own record, {either.get('timestep')} bar {either.get('barTime')}, {name}"
            yield Difference(
                "input", backtest, either.get("firstObservedAt", ""), either.get("asset", ""), place, *values
            )
            return
    for theirs, ours in zip_longest(*observed):
        if theirs != ours:
            either = theirs or ours or {}
            values = [MISSING if row is None else row.get("frameSha256", "") for row in (theirs, ours)]
            place = f"Lumibot's own record, {either.get('returnedRows')} {either.get('timestep')} bars"
            yield Difference("input", backtest, either.get("observedAt", ""), either.get("asset", ""), place, *values)
            return


def _csv(path: Path) -> list[dict[str, str]]:
    if not path.exists() or path.stat().st_size < 2:
        return []
    with unlimited_field_size(), path.open(newline="", encoding="utf-8") as file:
        rows = [{name: text for name, text in row.items() if name not in _SEQUENCES} for row in csv.DictReader(file)]
    return sorted(rows, key=lambda row: (row.get("observedAt", row.get("firstObservedAt", "")), *row.values()))
