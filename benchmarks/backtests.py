"""Whole backtests of the demo's strategies on your own bars, as processes; the results are compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

from benchmarks.bars import Workplace, open_store
from benchmarks.measure import Row
from benchmarks.outcomes import cost_rows, identical, memory_used, outcome_of, run_in_turn
from benchmarks.process import run_apart
from benchmarks.sides import activate_ours
from lumibot_duckdb.demo import prices
from lumibot_duckdb.demo.job import SOURCE, Job
from lumibot_duckdb.demo.market import symbol_names

_OPPONENT = "Lumibot's PandasDataBacktesting"
_REPEATS = 3
_HOURLY_SYMBOLS = 6


def hourly(workplace: Workplace) -> list[Row]:
    """An hourly backtest over two months, on six symbols with two years of minutes each; the results are compared."""
    job = Job(
        "ThreeHorizons",
        symbol_names(_HOURLY_SYMBOLS),
        "minute",
        "2023-11-01",
        "2024-01-01",
        str(workplace.parquet_folder(_HOURLY_SYMBOLS)),
    )
    what = "hourly backtest, 6 symbols x 2 years of minutes, two months traded"
    return _rows(what, job, workplace.store_path(_HOURLY_SYMBOLS))


def daily(workplace: Workplace) -> list[Row]:
    """A daily backtest over 13 years, on the real prices of four symbols; the results are compared."""
    files, store = (
        workplace.made_once("real-prices", _fill_files),
        workplace.made_once("real-prices-store", _fill_store),
    )
    job = Job("MomentumRotation", list(prices.SYMBOLS), "day", "2000-06-01", "2013-03-01", str(files))
    return _rows("daily backtest, 4 symbols x 13 years", job, store / "bars.duckdb")


def _rows(what: str, job: Job, store: Path) -> list[Row]:
    sides = {"lumibot": {}, "duckdb": {"LUMIBOT_DUCKDB_PATH": str(store)}}
    outcomes = run_in_turn(sides, _REPEATS, lambda side, settings: _backtest(side, settings, job))
    ours, theirs = (outcomes[side][0] for side in ("duckdb", "lumibot"))
    read, shown = ours["rows_read"], ours["rows_shown"]
    note = (
        f"All {identical(ours)} Lumibot loads {theirs['rows_read']:,} bars. lumibot-duckdb reads {read:,} from the "
        f"store, {read / shown:.1f} for each bar that the strategy's requests include, counted for each size of bars."
    )
    return cost_rows(what, _OPPONENT, outcomes, note)


def _backtest(side: str, settings: Mapping[str, str], job: Job) -> dict[str, Any]:
    """Run a backtest in a new process; return its outcome and costs, from the start of the process to its end."""
    started = perf_counter()
    outcome: dict[str, Any] = run_apart("backtests.run", settings=settings, side=side, job=asdict(job))
    return outcome | {"seconds": perf_counter() - started}


def run(side: str, job: dict[str, Any]) -> dict[str, Any]:
    """Run a backtest in this process."""
    activate_ours(side)
    from lumibot_duckdb.demo import backtest

    done = backtest.run(Job(**job), on_store=side == "duckdb")
    used = (_used if side == "duckdb" else _loaded)(done.broker.data_source)
    return {**used, "cpu": process_time(), **memory_used(), **outcome_of(done)}


def _used(source: Any) -> dict[str, int]:
    return {"rows_read": source.telemetry.rows_read, "rows_shown": source.telemetry.rows_shown}


def _loaded(source: Any) -> dict[str, int]:
    return {"rows_read": sum(len(data.df) for data in source.pandas_data.values())}


def _fill_files(folder: Path) -> None:
    for symbol in prices.SYMBOLS:
        prices.daily_bars(symbol).to_parquet(folder / f"{symbol}.parquet")


def _fill_store(folder: Path) -> None:
    storage = open_store(folder / "bars.duckdb")
    for symbol in prices.SYMBOLS:
        storage.store_ohlcv_data(symbol, prices.daily_bars(symbol), SOURCE, "day")
    storage.close()
