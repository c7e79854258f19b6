"""Whole backtests of the demo's strategies on your own bars, as processes; the results are compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from time import perf_counter, process_time
from typing import Any

from benchmarks.bars import Workplace, open_store
from benchmarks.measure import Row, against
from benchmarks.outcomes import outcome_of, run_in_turn, sample
from benchmarks.process import run_apart
from benchmarks.sides import bars_of, import_side
from lumibot_duckdb.comparison.headless import UNATTENDED
from lumibot_duckdb.comparison.memory import peak_resident_bytes
from lumibot_duckdb.demo import prices
from lumibot_duckdb.demo.job import SOURCE
from lumibot_duckdb.demo.market import symbol_names

_OPPONENT = "Lumibot's PandasDataBacktesting"
_REPEATS = 3
_COSTS = (("wall time", "s", "whole", 1.0), ("CPU time", "s", "cpu", 1.0), ("peak memory", "MB", "peak", 1e-6))


@dataclass(frozen=True)
class _Job:
    """A strategy of the demo, its symbols and timestep, and the first and last day (ISO dates)."""

    strategy: str
    symbols: Sequence[str]
    timestep: str
    start: str
    end: str


HOURLY = _Job("ThreeHorizons", symbol_names(6), "minute", "2023-11-01", "2024-01-01")
DAILY = _Job("MomentumRotation", prices.SYMBOLS, "day", "2000-06-01", "2013-03-01")


def hourly(workplace: Workplace) -> list[Row]:
    """An hourly backtest over two months, on six symbols with two years of minutes each; the results are compared."""
    bars = {
        "lumibot": str(workplace.parquet_folder(len(HOURLY.symbols))),
        "duckdb": str(workplace.store_path(len(HOURLY.symbols))),
    }
    return _rows("hourly backtest, 6 symbols x 2 years of minutes, two months traded", HOURLY, bars)


def daily(workplace: Workplace) -> list[Row]:
    """A daily backtest over 13 years, on the real prices of four symbols; the results are compared."""
    return _rows("daily backtest, 4 symbols x 13 years", DAILY, _real_prices(workplace))


def _rows(what: str, job: _Job, bars: Mapping[str, str]) -> list[Row]:
    outcomes = run_in_turn(bars, _REPEATS, lambda side, path: _backtest(side, path, job))
    ours, theirs = outcomes["duckdb"], outcomes["lumibot"]
    first = ours[0]
    read, shown = first["rows_read"], first["rows_shown"]
    note = (
        f"All {len(first['trades']):,} trade events and {len(first['values']):,} portfolio values are identical. "
        f"Lumibot loads {theirs[0]['rows_read']:,} bars. lumibot-duckdb reads {read:,} from the store, "
        f"{read / shown:.1f} for each bar that the strategy's requests include, counted for each size of bars."
    )
    return [
        against(f"{what}: {name}", unit, _OPPONENT, sample(ours, key, scale), sample(theirs, key, scale), note=note)
        for name, unit, key, scale in _COSTS
    ]


def _backtest(side: str, bars: str, job: _Job) -> dict[str, Any]:
    """Run a backtest in a new process; return its outcome and costs, from the start of the process to its end."""
    started = perf_counter()
    outcome: dict[str, Any] = run_apart("backtests.run", side=side, bars=bars, job=asdict(job))
    return outcome | {"whole": perf_counter() - started}


def run(side: str, bars: str, job: dict[str, Any]) -> dict[str, Any]:
    """Run a backtest in this process. `bars` is the folder of Parquet files, or the store."""
    import_side(side)
    from lumibot_duckdb.demo import strategies

    what = _Job(**job)
    source, frames = bars_of(side, bars, what.symbols, what.timestep)
    _, done = getattr(strategies, what.strategy).run_backtest(
        source,
        datetime.fromisoformat(what.start),
        datetime.fromisoformat(what.end),
        pandas_data=frames,
        parameters={"symbols": what.symbols},
        **UNATTENDED,
    )
    used = {"rows_read": sum(len(data.df) for data in frames.values())} if frames else _used(done.broker.data_source)
    return {**used, "cpu": process_time(), "peak": peak_resident_bytes(), **outcome_of(done)}


def _used(source: Any) -> dict[str, int]:
    return {"rows_read": source.telemetry.rows_read, "rows_shown": source.telemetry.rows_shown}


def _real_prices(workplace: Workplace) -> dict[str, str]:
    def fill_files(folder: Any) -> None:
        for symbol in prices.SYMBOLS:
            prices.daily_bars(symbol).to_parquet(folder / f"{symbol}.parquet")

    def fill_store(folder: Any) -> None:
        storage = open_store(folder / "bars.duckdb")
        for symbol in prices.SYMBOLS:
            storage.store_ohlcv_data(symbol, prices.daily_bars(symbol), SOURCE, "day")
        storage.close()

    files = workplace.made_once("real-prices", fill_files)
    return {"lumibot": str(files), "duckdb": str(workplace.made_once("real-prices-store", fill_store) / "bars.duckdb")}
