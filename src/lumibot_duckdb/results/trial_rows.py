"""Records of trials as rows of the tables, and back."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, get_args

import pyarrow as pa

from lumibot_duckdb.results.errors import InvalidResultError
from lumibot_duckdb.results.records import (
    DAILY_SCHEMA,
    EQUITY_SCHEMA,
    TRADES_SCHEMA,
    Phase,
    Status,
    SweepRecord,
    TrialRecord,
)
from lumibot_duckdb.storage.times import aware_utc, naive_utc

STATISTICS = (
    "total_return",
    "cagr",
    "volatility",
    "sharpe",
    "sortino",
    "max_drawdown",
    "winning_days",
    "win_rate",
    "closed_trades",
    "exposure",
    "fees",
    "end_value",
)
"""The statistics that have a column in `trials`."""

CURVES = {"equity": EQUITY_SCHEMA, "trades": TRADES_SCHEMA, "daily_returns": DAILY_SCHEMA}
"""The tables of what a trial did, and the attributes of `TrialRecord` of the same names."""

_TEXT, _NUMBER, _MOMENT = pa.string(), pa.float64(), pa.timestamp("us")
TRIALS_SCHEMA = pa.schema(
    [
        ("sweep", _TEXT),
        ("number", pa.int32()),
        ("status", _TEXT),
        ("objective", _NUMBER),
        ("phase", _TEXT),
        ("window", pa.int32()),
        ("parameters", _TEXT),
        *((name, _NUMBER) for name in STATISTICS),
        ("risk_free_rate", _NUMBER),
        ("error", _TEXT),
        ("traceback", _TEXT),
        ("started", _MOMENT),
        ("seconds", _NUMBER),
        ("cpu_seconds", _NUMBER),
        ("peak_memory", pa.int64()),
        ("own_memory", pa.int64()),
        ("versions", _TEXT),
    ]
)

NumberedRecord = tuple[int, TrialRecord]


def trial_rows(sweep: str, trials: Iterable[NumberedRecord]) -> pa.Table:
    """Return the rows of the table `trials`. Raises `InvalidResultError` for a record that cannot be stored."""
    return pa.Table.from_pylist([_row(sweep, number, record) for number, record in trials], TRIALS_SCHEMA)


def curve_rows(curve: str, sweep: str, trials: Iterable[NumberedRecord]) -> pa.Table | None:
    """Return the rows of a table of `CURVES`, in the order of each trial; None if there are none."""
    found = []
    for number, record in trials:
        table: pa.Table | None = getattr(record, curve)
        if table is not None and len(table):
            found.append(keyed(table, CURVES[curve], sweep, number, f"{curve} of trial {number}"))
    return pa.concat_tables(found) if found else None


def keyed(table: pa.Table, schema: pa.Schema, sweep: str, number: int, what: str = "rows of a session") -> pa.Table:
    """Return rows as they are stored: of a schema, with the trial that they belong to, and with naive times."""
    keys = [pa.repeat(pa.scalar(sweep), len(table)), pa.repeat(pa.scalar(number, pa.int32()), len(table))]
    naive = _naive(_checked(table, schema, what))
    return pa.table([*keys, *naive.columns], ["sweep", "number", *naive.column_names])


def record_of_row(row: Mapping[str, Any], curves: Mapping[str, pa.Table] | None = None) -> TrialRecord:
    """Return the record of a row of the table `trials`."""
    return TrialRecord(
        parameters=json.loads(row["parameters"]),
        status=row["status"],
        started=aware_utc(row["started"]),
        seconds=row["seconds"],
        cpu_seconds=row["cpu_seconds"],
        peak_memory=row["peak_memory"],
        own_memory=row["own_memory"],
        statistics={name: row[name] for name in STATISTICS},
        risk_free_rate=row["risk_free_rate"],
        objective=row["objective"],
        error=row["error"],
        traceback=row["traceback"],
        versions=json.loads(row["versions"]),
        phase=row["phase"],
        window=row["window"],
        **(curves or {}),
    )


def with_zone(table: pa.Table) -> pa.Table:
    """Return rows of a table whose times, which are in UTC, state this."""
    zoned = [field.with_type(pa.timestamp("us", "UTC")) if field.type == _MOMENT else field for field in table.schema]
    return table.cast(pa.schema(zoned))


def json_text(value: Mapping[str, Any], what: str) -> str:
    """Return a value as JSON. Raises `InvalidResultError`, which names `what`, if it cannot be written as such."""
    try:
        return json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidResultError(f"{what} cannot be stored as JSON ({error}): {value!r:.200}") from None


def sweep_row(record: SweepRecord, kind: str) -> dict[str, Any]:
    """Return the row of the table `sweeps` for a sweep that begins."""
    settings = record.settings
    return {
        "sweep": record.name,
        "kind": kind,
        "status": "running",
        "strategy": record.strategy,
        "script": record.script,
        "objective_name": settings.get("objective"),
        "direction": "minimize" if settings.get("direction") == "minimize" else "maximize",
        "space": json_text(record.space, f"the space of the sweep {record.name}"),
        "settings": json_text(settings, f"the settings of the sweep {record.name}"),
        "started": _moment(record.started, f"the start of the sweep {record.name}"),
        "as_of": None if record.as_of is None else _moment(record.as_of, f"as_of of the sweep {record.name}"),
        "store": record.store,
        "versions": json_text(record.versions, f"the versions of the sweep {record.name}"),
    }


def _row(sweep: str, number: int, record: TrialRecord) -> dict[str, Any]:
    what = f"trial {number} of the sweep {sweep}"
    if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number < 2**31:
        raise InvalidResultError(f"{number!r} is not the number of a trial: pass a whole number from 1 on")
    _refuse_other(record.status, get_args(Status), f"the status of {what}")
    _refuse_other(record.phase, (None, *get_args(Phase)), f"the phase of {what}")
    if unknown := sorted(record.statistics.keys() - set(STATISTICS)):
        raise InvalidResultError(f"{what} has unknown statistics ({', '.join(unknown)}); known are {STATISTICS}")
    return {
        "sweep": sweep,
        "number": number,
        "status": record.status,
        "objective": _finite(record.objective),
        "phase": record.phase,
        "window": record.window,
        "parameters": json_text(record.parameters, f"the parameters of {what}"),
        **{name: _finite(record.statistics.get(name)) for name in STATISTICS},
        "risk_free_rate": _finite(record.risk_free_rate),
        "error": _storable(record.error),
        "traceback": _storable(record.traceback),
        "started": _moment(record.started, f"the start of {what}"),
        "seconds": float(record.seconds),
        "cpu_seconds": float(record.cpu_seconds),
        "peak_memory": int(record.peak_memory),
        "own_memory": None if record.own_memory is None else int(record.own_memory),
        "versions": json_text(record.versions, f"the versions of {what}"),
    }


def _refuse_other(value: object, known: Sequence[object], what: str) -> None:
    if value not in known:
        raise InvalidResultError(f"{what} is {value!r}; it must be one of {', '.join(map(str, known))}")


def _moment(moment: datetime, what: str) -> datetime:
    if moment.tzinfo is None:
        raise InvalidResultError(f"{what} has no time zone: {moment}; pass one with a time zone")
    return naive_utc(moment)


def _finite(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)


def _storable(text: str | None) -> str | None:
    """Return a text with escapes for half surrogate pairs, which come from bytes that are no text."""
    return None if text is None else text.encode("utf-8", "backslashreplace").decode()


def _checked(table: pa.Table, schema: pa.Schema, what: str) -> pa.Table:
    if table.schema.equals(schema):
        return table
    try:
        return table.select(schema.names).cast(schema)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, KeyError, ValueError) as error:
        raise InvalidResultError(
            f"{what} does not have the columns {', '.join(f'{each.name} {each.type}' for each in schema)}: {error}"
        ) from None


def _naive(table: pa.Table) -> pa.Table:
    naive = [field.with_type(_MOMENT) if pa.types.is_timestamp(field.type) else field for field in table.schema]
    return table.cast(pa.schema(naive))
