"""The trading statistics of a backtest as a table: both sides, and the benchmark."""

from __future__ import annotations

from html import escape

from lumibot_duckdb.comparison.outcome import Backtest
from lumibot_duckdb.comparison.page.sides import DUCKDB, LUMIBOT, NOTHING, dot
from lumibot_duckdb.comparison.trading_statistics import (
    STYLES,
    Statistic,
    Style,
    benchmark_statistics,
    trading_statistics,
    value_text,
)

_STOPPED = "An error stopped this backtest{where}. The statistics are of the part before it."


def statistics_section(theirs: Backtest, ours: Backtest) -> str:
    """Return the table of statistics as HTML; of a backtest that failed, with a line which says so."""
    failed = [name for name, each in ((LUMIBOT, theirs), (DUCKDB, ours)) if each.failure]
    if not failed:
        return statistics_table(theirs, ours)
    where = "" if len(failed) == 2 else f" on {'Lumibot&#x27;s storage' if failed == [LUMIBOT] else DUCKDB}"
    return f'<p class="muted">{_STOPPED.format(where=where)}</p>{statistics_table(theirs, ours)}'


def statistics_table(theirs: Backtest, ours: Backtest) -> str:
    """Return the table as HTML, with the reasons for missing values below it."""
    columns = {
        f"{dot(LUMIBOT)}{LUMIBOT}": trading_statistics(theirs),
        f"{dot(DUCKDB)}{DUCKDB}": trading_statistics(ours),
    }
    if (benchmark := benchmark_statistics(theirs)) is not None:
        columns[escape(f"Benchmark {theirs.benchmark}"[:60])] = benchmark
    head = "".join(f'<th class="number">{name}</th>' for name in columns)
    body = []
    for name, (label, style) in STYLES.items():
        cells = [_cell(column.get(name), style) for column in columns.values()]
        theirs_and_ours = [column[name] for column in list(columns.values())[:2]]
        differs = ' class="differs"' if theirs_and_ours[0] != theirs_and_ours[1] else ""
        body.append(f"<tr{differs}><td>{label}</td>{''.join(cells)}</tr>")
    return (
        f'<div class="scroll"><table class="statistics"><thead><tr><th></th>{head}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table></div>{_reasons(columns)}"
    )


def _cell(statistic: Statistic | None, style: Style) -> str:
    text = "" if statistic is None else NOTHING if statistic.value is None else value_text(statistic.value, style)
    return f'<td class="number">{text}</td>'


def _reasons(columns: dict[str, dict[str, Statistic]]) -> str:
    labels: dict[str, dict[str, None]] = {}
    for column in columns.values():
        for name, statistic in column.items():
            if statistic.value is None:
                labels.setdefault(statistic.reason, {})[STYLES[name][0]] = None
    lines = "".join(f"<p>{NOTHING} {', '.join(names)}: {escape(reason)}.</p>" for reason, names in labels.items())
    return f'<div class="reasons muted">{lines}</div>' if lines else ""
