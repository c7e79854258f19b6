"""Turns rows into RESULTS.md, and into lines for the terminal."""

from __future__ import annotations

from benchmarks import machine
from benchmarks.measure import Row, number

_INTRODUCTION = """\
# Results

Medians of several repeats, the lowest and the highest in brackets; every row is measured against the real opponent in
the same run. The bars are invented minute bars of 2022 and 2023 with extended hours, about 424,000 a symbol: they
follow the New York calendar with its half days, with gaps, halts and thin hours (`lumibot_duckdb/demo/market.py`).

Sections named `polygon_…`, `yahoo_…`, `alpaca_…` and `ccxt_…` are about the sources of these names: Lumibot's with
its own cache (Parquet, pickles, CSV, a DuckDB file a market), ours with a store, both warm unless a row says otherwise,
in processes that reach no other machine. The others are about bars of one's own and the storage itself.

{machine}

To do it again: `make bench`, or `python -m benchmarks NAME…` for some of them (`--list` names them, `--write` renews
this file and keeps the sections that were not measured again). Times differ between machines, ratios less so.
"""
_HEADER = "| what | against | theirs | ours | ratio | budget | |\n| --- | --- | ---: | ---: | ---: | --- | --- |"
_VERDICTS = {True: "met", False: "**short**", None: ""}


def line(row: Row) -> str:
    """Return what the terminal shows of a row."""
    parts = [f"{row.what}: {row.ours.text()} {row.unit}"]
    if row.theirs is not None:
        parts.append(f"{row.opponent}: {row.theirs.text()} {row.unit}, {_ratio(row)}")
    if row.budget:
        parts.append(f"budget: {row.budget}{'' if row.met is None else ', met' if row.met else ', SHORT'}")
    return "  " + "; ".join(parts)


def renewed(existing: str, results: dict[str, list[Row]], order: list[str]) -> str:
    """Return RESULTS.md with the sections of `results` renewed, in `order`; other sections stay as they are."""
    sections = {part.partition("\n")[0].strip(): part.partition("\n")[2] for part in existing.split("\n## ")[1:]}
    sections = {name.strip("`"): text for name, text in sections.items()}
    sections |= {name: f"\n{table(rows)}\n" for name, rows in results.items()}
    introduction = _INTRODUCTION.format(machine="\n".join(f"- {fact}" for fact in machine.describe()))
    return introduction + "".join(f"\n## `{name}`\n{sections[name].rstrip()}\n" for name in order if name in sections)


def table(rows: list[Row]) -> str:
    """Return rows as a Markdown table, with their notes under it."""
    lines = [_HEADER]
    for row in rows:
        theirs = "" if row.theirs is None else f"{row.theirs.text()} {row.unit}"
        cells = (row.what, row.opponent, theirs, f"{row.ours.text()} {row.unit}", _ratio(row), row.budget)
        lines.append(f"| {' | '.join(cells)} | {_VERDICTS[row.met]} |")
    notes = dict.fromkeys(
        f"- {note}" for row in rows for note in (row.note, row.why_short if row.met is False else "") if note
    )
    return "\n".join([*lines, "", *notes] if notes else lines)


def _ratio(row: Row) -> str:
    return "" if row.ratio is None else f"{number(row.ratio)} x"
