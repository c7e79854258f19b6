"""Sweeps and trials as tables for people, and as rows for other programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lumibot_duckdb.cli import query_output
from lumibot_duckdb.cli.indicator_output import completed
from lumibot_duckdb.cli.layout import new_york, printable, size, table, terminal_width
from lumibot_duckdb.comparison.trading_statistics import STYLES, value_text
from lumibot_duckdb.results.tables import PARAMETER

if TYPE_CHECKING:
    import pyarrow as pa

    from lumibot_duckdb.results import StoredSession, StoredSweep, TrialRecord

TABLE_ROWS = 1_000
_SHOWN = ("total_return", "cagr", "sharpe", "max_drawdown", "closed_trades")
"""The statistics in a table of trials; other formats have all."""
_LONGEST_ERROR = 60


def write_rows(rows: pa.Table, form: str, file: Path | None) -> None:
    """Print rows as CSV or JSON, or write them to a file, which may be Parquet, too. Raises `CommandError`."""
    if file is None:
        _write_text(rows, form, sys.stdout)
        return
    with completed(file) as unfinished:
        if form == "parquet":
            from pyarrow import parquet

            parquet.write_table(rows, unfinished)
        else:
            with unfinished.open("x", encoding="utf-8", newline="") as text:
                _write_text(rows, form, text)


def _write_text(rows: pa.Table, form: str, text: Any) -> None:
    columns = {name: rows[name].to_pylist() for name in rows.column_names}
    if form == "json" and "versions" in columns:
        columns["versions"] = [json.loads(versions) for versions in columns["versions"]]
    write = query_output.write_csv if form == "csv" else query_output.write_json
    write(list(columns), zip(*columns.values(), strict=True), text)


def sweeps_table(rows: pa.Table) -> str:
    """Return all sweeps, with the number of their trials and their best objective."""
    header = ["name", "kind", "status", "strategy", "trials", "not complete", "objective", "best", "started"]
    cells = [
        [
            row["sweep"],
            row["kind"],
            row["status"],
            row["strategy"],
            f"{row['trials']:,}",
            f"{row['others']:,}",
            row["objective_name"] or "",
            "" if row["best"] is None else statistic_text(row["objective_name"], row["best"]),
            moment_text(row["started"]),
        ]
        for row in rows.to_pylist()
    ]
    return table(header, cells, [name in ("trials", "not complete", "best") for name in header], terminal_width())


def sessions_table(rows: pa.Table) -> str:
    """Return all sessions of live trading, with what they have recorded and when they did so last."""
    header = ["live session", "status", "strategy", "orders", "fills", "value", "started", "last update"]
    cells = [
        [
            row["sweep"],
            row["status"],
            row["strategy"],
            f"{row['orders']:,}",
            f"{row['fills']:,}",
            "" if row["last_value"] is None else f"{row['last_value']:,.2f}",
            moment_text(row["started"]),
            moment_text(row["updated"]),
        ]
        for row in rows.to_pylist()
    ]
    return table(header, cells, [name in ("orders", "fills", "value") for name in header], terminal_width())


def session_text(session: StoredSession, tables: Mapping[str, pa.Table]) -> str:
    """Return what is stored of a session of live trading, without its requests."""
    record = session.record
    values = [value for value in tables["equity"]["value"].to_pylist() if value is not None]
    facts = [
        ("session", f"{printable(record.name)} of {printable(record.strategy)}"),
        ("status", session.status),
        ("started", moment_text(record.started)),
        ("last update", moment_text(session.updated)),
        ("broker", str(record.settings.get("broker", ""))),
        ("script", record.script or ""),
        ("store", record.store or ""),
        ("requests", f"{len(tables['live_requests']):,}"),
        ("orders", f"{len(tables['live_orders']):,}"),
        ("value", f"{values[0]:,.2f} at the beginning, {values[-1]:,.2f} now" if values else ""),
        ("lost", f"{session.lost:,} rows could not be kept" if session.lost else ""),
        ("versions", ", ".join(f"{name} {version}" for name, version in record.versions.items())),
    ]
    known = [(name, printable(text)) for name, text in facts if text]
    width = max(len(name) for name, _ in known)
    sections = ["\n".join(f"{name.ljust(width)}  {text}" for name, text in known)]
    parameters: Mapping[str, Any] = record.settings.get("parameters", {})
    sections.append(_section("parameters", [(name, _text(each)) for name, each in parameters.items()]))
    if len(tables["trades"]):
        sections.append(_trades(tables["trades"].drop_columns(["order_id"])))
    return "\n\n".join(section for section in sections if section)


def session_object(session: StoredSession, tables: Mapping[str, pa.Table]) -> dict[str, Any]:
    """Return what is stored of a session of live trading as an object for JSON, without requests and values."""
    record = session.record
    return {
        "session": record.name,
        "strategy": record.strategy,
        "script": record.script,
        "status": session.status,
        "started": record.started.isoformat(),
        "updated": session.updated.isoformat(),
        "ended": session.ended and session.ended.isoformat(),
        "settings": dict(record.settings),
        "store": record.store,
        "versions": dict(record.versions),
        "requests": len(tables["live_requests"]),
        "lost": session.lost,
        "orders": _rows(tables["live_orders"]),
        "trades": _rows(tables["trades"]),
    }


def _rows(rows: pa.Table) -> list[dict[str, Any]]:
    plain: list[dict[str, Any]] = json.loads(json.dumps(rows.to_pylist(), default=str))
    return plain


def sweep_line(sweep: StoredSweep) -> str:
    """Return what a sweep was, in a line."""
    record = sweep.record
    script = f" in {printable(record.script)}" if record.script else ""
    line = f"Sweep {printable(record.name)} of {printable(record.strategy)}{script}: {sweep.status}"
    if not (objective := record.settings.get("objective")):
        return line
    extreme = "lowest" if record.settings.get("direction") == "minimize" else "highest"
    return f"{line}; the best has the {extreme} {printable(str(objective))}"


def trials_table(rows: pa.Table, parameters: Sequence[str], objective: str | None) -> str:
    """Return trials with the given columns of parameters, the main statistics, and why some failed."""
    records = rows.slice(0, TABLE_ROWS).to_pylist()
    columns = [_Column("trial", lambda row: str(row["number"]))]
    if "rank" in rows.column_names:
        columns.insert(0, _Column("rank", lambda row: str(row["rank"])))
    columns += [_value_column(rows, name, name) for name in ("phase", "window") if rows[name].null_count < len(rows)]
    if any(row["status"] != "complete" for row in records):
        columns.append(_Column("status", lambda row: row["status"], is_text=True))
    columns += [_value_column(rows, name, name.removeprefix(PARAMETER)) for name in parameters]
    if objective is not None and objective not in _SHOWN:
        columns.append(_Column(objective, lambda row: statistic_text(objective, row["objective"])))
    columns += map(_statistic_column, _SHOWN)
    columns.append(_Column("seconds", lambda row: f"{row['seconds']:,.1f}"))
    if any(row["error"] for row in records):
        columns.append(_Column("error", lambda row: _shortened(row["error"] or ""), is_text=True))
    cells = [[column.cell(row) for column in columns] for row in records]
    return table(
        [column.title for column in columns], cells, [not column.is_text for column in columns], terminal_width()
    )


@dataclass(frozen=True)
class _Column:
    """A column of a table of trials."""

    title: str
    cell: Callable[[Mapping[str, Any]], str]
    is_text: bool = False


def _value_column(rows: pa.Table, name: str, title: str) -> _Column:
    return _Column(title, lambda row: _text(row[name]), is_text=str(rows[name].type) in ("string", "bool"))


def _statistic_column(name: str) -> _Column:
    return _Column(name, lambda row: statistic_text(name, row[name]))


def trial_text(record: TrialRecord) -> str:
    """Return all that is stored of a trial, without its equity: parameters, statistics, why it failed, and trades."""
    sections = [
        _facts(record),
        _section("parameters", [(name, _text(each)) for name, each in record.parameters.items()]),
    ]
    known = {name: value for name, value in record.statistics.items() if value is not None}
    statistics = [(STYLES[name][0], statistic_text(name, known[name])) for name in STYLES if name in known]
    sections.append(_section("statistics", statistics))
    if record.traceback:
        sections.append("\n".join(["traceback", *map(printable, record.traceback.rstrip().split("\n"))]))
    if record.trades is not None and len(record.trades):
        sections.append(_trades(record.trades))
    return "\n\n".join(section for section in sections if section)


def trial_object(record: TrialRecord) -> dict[str, Any]:
    """Return all that is stored of a trial, without its equity, as an object for JSON."""
    return {
        "status": record.status,
        "objective": record.objective,
        "phase": record.phase,
        "window": record.window,
        "parameters": dict(record.parameters),
        "statistics": dict(record.statistics),
        "error": record.error,
        "traceback": record.traceback,
        "started": record.started.isoformat(),
        "seconds": record.seconds,
        "cpu_seconds": record.cpu_seconds,
        "peak_memory": record.peak_memory,
        "own_memory": record.own_memory,
        "versions": dict(record.versions),
        "trades": [] if record.trades is None else json.loads(json.dumps(record.trades.to_pylist(), default=str)),
    }


def comparison_rows(records: Mapping[str, TrialRecord]) -> pa.Table:
    """Return the parameters and the statistics of some trials as rows, with a column of texts for each trial."""
    import pyarrow as pa

    rows = [
        {"name": name, **{trial: _plain(value) for trial, value in zip(records, values, strict=True)}}
        for name, values in _compared(records)
    ]
    return pa.Table.from_pylist(rows, pa.schema([(name, pa.string()) for name in ("name", *records)]))


def _compared(records: Mapping[str, TrialRecord]) -> Iterator[tuple[str, list[Any]]]:
    """Yield the name of each parameter and of each statistic, with its values in all trials."""
    for name in dict.fromkeys(name for record in records.values() for name in record.parameters):
        yield PARAMETER + name, [record.parameters.get(name) for record in records.values()]
    for name in STYLES:
        yield name, [record.statistics.get(name) for record in records.values()]


def comparison_table(records: Mapping[str, TrialRecord]) -> str:
    """Return the parameters and the statistics of some trials side by side."""
    cells = [["Status", *(record.status for record in records.values())]]
    for name, values in _compared(records):
        if name in STYLES:
            cells.append([STYLES[name][0], *(statistic_text(name, value) for value in values)])
        else:
            cells.append([name.removeprefix(PARAMETER), *map(_text, values)])
    cells.append(["Seconds", *(f"{record.seconds:,.1f}" for record in records.values())])
    return table(["", *records], cells, [False, *[True] * len(records)], terminal_width())


def statistic_text(name: str | None, value: float | None) -> str:
    """Return the value of a statistic as people read it; "" if it has none."""
    if value is None:
        return ""
    return value_text(value, STYLES[name][1]) if name in STYLES else f"{value:.6g}"


def moment_text(moment: datetime | None) -> str:
    """Return a moment in New York to the minute; "" for None."""
    return "" if moment is None else new_york(int(moment.timestamp()) // 60 * 60)


def differing(rows: pa.Table) -> list[str]:
    """Return the columns of parameters that are not equal in all trials; all of them for a single trial."""
    columns = [name for name in rows.column_names if name.startswith(PARAMETER)]
    if len(rows) < 2:
        return columns
    return [name for name in columns if len(rows[name].unique()) > 1]


def _facts(record: TrialRecord) -> str:
    own = "" if record.own_memory is None else f", {size(record.own_memory)} not shared"
    facts = [
        ("status", f"{record.status}{f': {record.error}' if record.error else ''}"),
        ("started", moment_text(record.started)),
        ("seconds", f"{record.seconds:,.1f} (CPU {record.cpu_seconds:,.1f})"),
        ("memory", f"{size(record.peak_memory)} at most{own}" if record.peak_memory else ""),
        ("versions", ", ".join(f"{name} {version}" for name, version in record.versions.items())),
    ]
    return "\n".join(f"{name:<10}{printable(text)}" for name, text in facts if text)


def _section(title: str, rows: Sequence[tuple[str, str]]) -> str:
    return table([title, ""], rows, [False, True]) if rows else ""


def _trades(trades: pa.Table) -> str:
    header = trades.column_names
    rows = trades.slice(0, TABLE_ROWS).to_pylist()
    cells = [[moment_text(row["time"]), *(_text(row[name]) for name in header[1:])] for row in rows]
    shown = table(header, cells, [False] * 5 + [True] * 3, terminal_width())
    more = (
        f"\nThe first {TABLE_ROWS:,} of {len(trades):,}; --format csv prints all." if len(trades) > TABLE_ROWS else ""
    )
    return f"{shown}{more}"


def _text(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.8g}" if isinstance(value, float) else str(_plain(value))


def _plain(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value)


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_ERROR else f"{text[: _LONGEST_ERROR - 1]}…"
