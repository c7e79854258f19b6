"""Formats rows for RESULTS.md and for the terminal."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks import machine
from benchmarks.measure import Row, number

_INTRODUCTION = """\
# Benchmark results

Each table compares lumibot-duckdb with the named alternative, measured in the same run on the same machine. A ratio
above 1 means that lumibot-duckdb is faster or needs less. A value is the median of several repeats, with the lowest and
the highest in parentheses. Absolute times differ between machines; ratios differ less.

{machine}

What the sections have in common:

- The sections are from several days, on which the machine was not equally fast. Compare the sides of a section.
- Whole backtests come first, because they include the time and memory that Lumibot itself needs. Single requests show
  larger ratios than a backtest gains. Our sources are activated, as by `lumibot-duckdb run`.
- Sections named `polygon_…`, `yahoo_…`, `alpaca_…` and `ccxt_…` compare Lumibot's data source for that provider, on
  its own cache files, with ours on a store. Nothing has to be downloaded on either side unless the section says so.
  The other sections are about your own bars (`PandasDataBacktesting`) and the store itself.
- The bars are generated. Minute bars of stocks cover 2022 and 2023 with extended hours, about 424,000 per symbol. They
  follow the New York calendar with its half days, and have gaps, halts and hours with few trades.
- MB are millions of bytes. Memory is that of the whole process.

To repeat the measurements, run `make bench`, or `python -m benchmarks NAME…` for single sections. `--list` shows the
names. `--write` updates this file and keeps the sections that were not measured.
"""
_HEADER = "| measurement | compared with | theirs | lumibot-duckdb | ratio |\n| --- | --- | ---: | ---: | ---: |"


def line(row: Row) -> str:
    """Return the terminal's line for a row."""
    parts = [f"{row.what}: {row.ours.text()} {row.unit}"]
    if row.theirs is not None:
        parts.append(f"{row.opponent}: {row.theirs.text()} {row.unit}, {_ratio(row)}")
    if row.budget:
        parts.append(f"budget: {row.budget}{'' if row.met is None else ', met' if row.met else ', SHORT'}")
    return "  " + "; ".join(parts)


def renewed(existing: str, results: Mapping[str, list[Row]], descriptions: Mapping[str, str]) -> str:
    """Return RESULTS.md with new sections for `results`.

    Other sections keep their tables. `descriptions` has a sentence for each section, in the order of the file.
    """
    tables = {}
    for part in existing.split("\n## ")[1:]:
        name, _, text = part.partition("\n")
        tables[name.strip().strip("`")] = text[text.index(_HEADER) :].rstrip()
    tables |= {name: table(rows) for name, rows in results.items()}
    introduction = _INTRODUCTION.format(machine="\n".join(f"- {fact}" for fact in machine.describe()))
    return introduction + "".join(
        f"\n## `{name}`\n\n{description}\n\n{tables[name]}\n"
        for name, description in descriptions.items()
        if name in tables
    )


def table(rows: list[Row]) -> str:
    """Return rows as a Markdown table with their notes below it. Budgets are for the terminal only."""
    lines = [_HEADER]
    for row in rows:
        theirs = "" if row.theirs is None else f"{row.theirs.text()} {row.unit}"
        cells = (row.what, row.opponent, theirs, f"{row.ours.text()} {row.unit}", _ratio(row))
        lines.append(f"| {' | '.join(cells)} |")
    notes = dict.fromkeys(f"- {row.note}" for row in rows if row.note)
    return "\n".join([*lines, "", *notes] if notes else lines)


def _ratio(row: Row) -> str:
    return "" if row.ratio is None else f"{number(row.ratio)} x"
