"""Results of a small sweep and of a recorded backtest, for the tests of commands and the pages that show these.

They are those of real backtests on the prices of the demo, in a store that `lumibot-duckdb demo --keep demo` made. Of
the traceback, only the part about the script is kept, and all backtests seem to have begun at `STARTED`:

    export LUMIBOT_DUCKDB_PATH=demo/daily
    cp tests/cli/data/swept_strategy.py my_strategy.py
    lumibot-duckdb sweep my_strategy.py --set fast=5,10,20 --set slow=20,50 --name crossover --jobs 1
    lumibot-duckdb run --record --name first-try my_strategy.py
    PYTHONPATH=tests python -m cli.sample_results demo/daily/bars-results.duckdb
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pyarrow as pa

from lumibot_duckdb.results import ResultsDatabase, SweepRecord, TrialRecord
from lumibot_duckdb.results.records import DAILY_SCHEMA, EQUITY_SCHEMA, TRADES_SCHEMA

STARTED = datetime(2024, 6, 3, 14, 0, tzinfo=timezone.utc)
ERROR = "ZeroDivisionError: float division by zero"
_FILE = Path(__file__).with_name("data") / "sample_results.json"
_SCHEMAS = {"equity": EQUITY_SCHEMA, "trades": TRADES_SCHEMA, "daily_returns": DAILY_SCHEMA}
_VERSIONS = ("python", "lumibot")
_STORED = json.loads(_FILE.read_text()) if _FILE.exists() else {}
SHARPES = [each["statistics"]["sharpe"] for each in _STORED.get("crossover", {}).get("trials", [])]
"""The Sharpe ratio of each trial of the sweep; None for the one that failed."""


def fill(path: Path) -> ResultsDatabase:
    """Store a sweep of six trials, one of which failed, and a recorded backtest."""
    results = ResultsDatabase(path)
    sweep, run = _STORED["crossover"], _STORED["first-try"]
    results.begin_sweep(SweepRecord(**sweep["record"], started=STARTED, as_of=STARTED, store=None))
    results.add_trials("crossover", list(enumerate(map(_trial, sweep["trials"]), 1)))
    results.finish_sweep("crossover")
    later = STARTED + timedelta(hours=1)
    results.add_run(SweepRecord(**run["record"], started=later, as_of=None, store=None), _trial(run["trials"][0]))
    return results


def _trial(stored: dict[str, Any]) -> TrialRecord:
    tables = {name: _table(stored[name], schema) for name, schema in _SCHEMAS.items()}
    return TrialRecord(**{**stored, **tables, "started": STARTED})


def _table(columns: dict[str, list[Any]], schema: pa.Schema) -> pa.Table:
    parse = {"time": datetime.fromisoformat, "day": date.fromisoformat}
    values = {name: [*map(parse.get(name, lambda value: value), columns[name])] for name in schema.names}
    return pa.table(values, schema=schema)


def _save(results: ResultsDatabase) -> None:
    """Write what `fill` reads."""
    stored = {}
    for name in ("crossover", "first-try"):
        record = {**asdict(results.sweep(name).record), "versions": _versions(results.sweep(name).record.versions)}
        for left_out in ("started", "as_of", "store"):
            del record[left_out]
        record["script"] = Path(record["script"]).name
        trials = [_as_json(results.trial(name, number)) for number in results.records(name)]
        stored[name] = {"record": record, "trials": trials}
    _FILE.write_text(json.dumps(stored) + "\n")


def _as_json(record: TrialRecord) -> dict[str, Any]:
    tables = {name: getattr(record, name) for name in _SCHEMAS}
    plain: dict[str, Any] = {name: value for name, value in vars(record).items() if name not in tables}
    del plain["started"]
    trace = record.traceback
    if trace is not None:
        lines = trace.partition("\n\n")[0].splitlines()
        frame = max(number for number, line in enumerate(lines) if 'my_strategy.py"' in line)
        where = lines[frame].replace(lines[frame].split('"')[1], "my_strategy.py")
        plain["traceback"] = "\n".join([lines[0], where, *lines[frame + 1 :]]) + "\n"
    return {
        **plain,
        "parameters": dict(record.parameters),
        "statistics": dict(record.statistics),
        "versions": _versions(record.versions),
        "seconds": round(record.seconds, 2),
        "cpu_seconds": round(record.cpu_seconds, 2),
        **{name: _columns(table) for name, table in tables.items()},
    }


def _columns(table: pa.Table) -> dict[str, list[Any]]:
    values = table.to_pydict()
    return {
        name: [each.isoformat() if isinstance(each, date) else each for each in column]
        for name, column in values.items()
    }


def _versions(versions: Any) -> dict[str, str]:
    return {name: versions[name] for name in _VERSIONS}


if __name__ == "__main__":
    _save(ResultsDatabase(sys.argv[1]))
