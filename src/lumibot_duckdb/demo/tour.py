"""The demo: two backtests on both storages, compared, and a parameter sweep. Writes plain text to stdout."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from math import prod
from pathlib import Path
from statistics import fmean
from textwrap import fill
from time import perf_counter
from typing import TYPE_CHECKING

from tabulate import tabulate

from lumibot_duckdb.comparison import summary
from lumibot_duckdb.comparison.outcome import SIDES
from lumibot_duckdb.comparison.runner import warm_up
from lumibot_duckdb.comparison.step_display import step
from lumibot_duckdb.comparison.tables import cost_row, indented, side_by_side
from lumibot_duckdb.comparison.workspace import working_folder
from lumibot_duckdb.demo import market, prices
from lumibot_duckdb.demo.both_sides import Compared, compare_sides
from lumibot_duckdb.demo.job import SOURCE, SWEEP_NAME, Job
from lumibot_duckdb.demo.sweep_process import sweep_in_sandbox

if TYPE_CHECKING:
    import pandas as pd

    from lumibot_duckdb.duckdb_storage import DuckDBDataStorage

STORE_NAME = "bars.duckdb"
_WIDTH = 98
_LAST_DAY = date(2024, 1, 1)
_QUERY = """\
SELECT asset_symbol, count(*) AS days, min(timestamp)::DATE AS since,
       round(max_by(close, timestamp) / min_by(close, timestamp), 1) AS times_up,
       round(100 * min(close / open - 1), 1) AS worst_day_percent
FROM ohlcv_data
GROUP BY ALL
ORDER BY times_up DESC"""
_NEXT = """\
Try next
  lumibot-duckdb import 'my-bars/*.csv' --timezone America/New_York   import your own bars
  lumibot-duckdb status                                               show what is in the store
  lumibot-duckdb sql "SELECT * FROM ohlcv_data LIMIT 5"               query it with SQL
  lumibot-duckdb sweep my_strategy.py --set fast=5:50:5               search its parameters

and in your backtest, change one import and name the source:
  from lumibot_duckdb.backtesting import PandasDataBacktesting
  MyStrategy.backtest(PandasDataBacktesting.using(source="import"), start, end)"""


@dataclass(frozen=True)
class Size:
    """How much is traded: the last `daily_years` of the daily prices, and the last `months` of minute bars.

    There are minute bars of `symbols` for `years`. `parameters` are the values that the sweep combines.
    """

    daily_years: int
    symbols: int
    years: float
    months: int
    parameters: Mapping[str, Sequence[int]]


STANDARD = Size(
    daily_years=13,
    symbols=6,
    years=2.0,
    months=2,
    parameters={"lookback": (21, 42, 63, 84, 105, 126), "hold_days": (5, 10, 20, 40)},
)
QUICK = Size(
    daily_years=3, symbols=2, years=0.5, months=1, parameters={"lookback": (21, 63, 126), "hold_days": (10, 40)}
)


def missing_extra() -> str | None:
    """Return instructions if the `demo` extra is not installed; None if it is."""
    missing = [name for name in ("bokeh_sampledata", "psutil") if importlib.util.find_spec(name) is None]
    if not missing:
        return None
    return f"the demo needs {' and '.join(missing)}; run: pip install 'lumibot-duckdb[demo]'"


def run_tour(size: Size, report: Path, keep: Path | None = None) -> bool:
    """Run the demo; return whether the results of both storages are identical.

    The sweep's report is written to `report`. All other files are written to a temporary folder, or to `keep`, which
    must not exist yet and is kept. Raises `RunError` if a backtest fails.
    """
    with working_folder(keep, "demo") as folder:
        print("One strategy, two storages: Lumibot's own and lumibot-duckdb.")
        print(
            f"Everything is written to {'a temporary folder' if keep is None else keep}; your own store is not touched."
        )
        identical = _real_daily_prices(folder / "daily", size) and _minute_bars(folder / "minute", size)
        if identical:
            _parameter_sweep(folder / "daily", size, report)
    if identical:
        print()
        print(_NEXT)
    if keep is not None:
        print(f"\nThe demo's stores are in {keep}. To use one, pass it with --store:")
        print(f"  lumibot-duckdb status --store {keep / 'minute' / STORE_NAME}")
        print(f"  lumibot-duckdb results best {SWEEP_NAME} --store {keep / 'daily' / STORE_NAME}")
    return identical


@dataclass(frozen=True)
class _Stored:
    """The same bars for both sides: Parquet files, from which Lumibot's side reads its frames, and a DuckDB store."""

    storage: DuckDBDataStorage
    rows: int
    csv_bytes: float
    parquet_bytes: int


def _real_daily_prices(folder: Path, size: Size) -> bool:
    print(f"\n1. Real daily prices: {', '.join(prices.SYMBOLS)}, March 2000 to March 2013\n")
    job = _daily_job(folder, size)
    store = folder / STORE_NAME
    stored = _store(job, store, prices.daily_bars, "read the prices from the package bokeh-sampledata")
    stored.storage.close()
    with step("warm up both sides (the first run after an installation compiles code)"):
        warm_up()
    identical = _both_sides(job, store, folder, f"a momentum strategy over {size.daily_years} years")
    print(f"\n{_disk_table(stored)}")
    print("  (This includes the size of an empty store; part 2 shows the size per bar of a large one.)")
    print(f"\nThe same store answers SQL:\n\n{indented(_QUERY)}\n")
    print(indented(tabulate(stored.storage.sql(_QUERY).to_pylist(), headers="keys", tablefmt="simple")))
    stored.storage.close()
    return identical


def _daily_job(folder: Path, size: Size) -> Job:
    return Job(
        strategy="MomentumRotation",
        symbols=list(prices.SYMBOLS),
        timestep="day",
        start=f"{2013 - size.daily_years}-06-01",
        end="2013-03-01",
        files=str(folder / "files"),
    )


def _parameter_sweep(folder: Path, size: Size, report: Path) -> None:
    """Sweep the parameters of the first strategy on the bars that are in the store of its folder."""
    combinations = prod(map(len, size.parameters.values()))
    names = " and ".join(size.parameters)
    print(f"\n3. A parameter sweep: the momentum strategy with {combinations} combinations of {names}\n")
    with step(f"run {combinations} backtests on the bars of the store, and write the report"):
        found = sweep_in_sandbox(
            _daily_job(folder, size), folder / STORE_NAME, folder / "sweep", report, size.parameters
        )
    print(f"\n{found}\n\nThe report with all trials is in {report}.")


def _minute_bars(folder: Path, size: Size) -> bool:
    symbols, years = _plural(size.symbols, "symbol"), _plural(size.years, "year")
    print(f"\n2. Many bars: {symbols}, {years} of minute bars with extended hours\n")
    first_day = _before(_LAST_DAY, round(12 * size.years))
    job = Job(
        strategy="ThreeHorizons",
        symbols=market.symbol_names(size.symbols),
        timestep="minute",
        start=_before(_LAST_DAY, size.months).isoformat(),
        end=_LAST_DAY.isoformat(),
        files=str(folder / "files"),
    )
    store = folder / STORE_NAME
    stored = _store(
        job,
        store,
        lambda symbol: market.us_stock_bars(symbol, first_day, _LAST_DAY),
        "generate bars that look like a market (sessions, half days, gaps, halts)",
    )
    stored.storage.close()
    months = "the last month" if size.months == 1 else f"the last {size.months} months"
    identical = _both_sides(job, store, folder, f"an hourly strategy over {months}")
    print(f"\n{_disk_table(stored)}")
    stored.storage.close()
    return identical


def _store(job: Job, store: Path, bars_of: Callable[[str], pd.DataFrame], step_text: str) -> _Stored:
    """Write the bars for both sides, one symbol at a time."""
    from lumibot_duckdb.duckdb_storage import DuckDBDataStorage

    files = Path(job.files)
    files.mkdir(parents=True)
    storage = DuckDBDataStorage(store)
    making, to_parquet, to_store = _Stopwatch(), _Stopwatch(), _Stopwatch()
    rows, csv_bytes = 0, 0.0
    print(f"  {step_text} ...", flush=True)
    for symbol in job.symbols:
        with making:
            bars = bars_of(symbol)
        with to_parquet:
            bars.to_parquet(files / f"{symbol}.parquet")
        with to_store:
            storage.store_ohlcv_data(symbol, bars, source=SOURCE, timeframe=job.timestep)
        rows += len(bars)
        # Writing CSV is slow, so its size is estimated from a tenth of the rows.
        sample = bars.iloc[:: 10 if len(bars) > 100_000 else 1]
        csv_bytes += len(sample.to_csv(header=False).encode()) * len(bars) / len(sample)
    print(f"  {rows:,} bars made in {making.seconds:,.1f} s; written to Parquet files, for Lumibot's side, in", end=" ")
    print(f"{to_parquet.seconds:,.1f} s;\n  written to a new DuckDB store in {to_store.seconds:,.1f} s", flush=True)
    return _Stored(storage, rows, csv_bytes, sum(file.stat().st_size for file in files.iterdir()))


def _both_sides(job: Job, store: Path, folder: Path, what: str) -> bool:
    """Run the job on both sides and print the comparison; return whether the results are identical."""
    print(f"  backtest {what}", flush=True)
    compared = compare_sides(job, store, folder / "runs")
    print(f"\n{_cost_table(compared)}")
    print(f"\n{fill(f'Results {summary.verdict(compared.result)}', _WIDTH)}")
    if compared.result.comparison.differences:
        print(f"\n{summary.differences_text(compared.result)}")
    return compared.result.identical


def _cost_table(compared: Compared) -> str:
    """Return a table of what each side cost. Times of the strategy's requests are means."""
    rows = summary.time_and_memory(compared.result)
    theirs, ours = (compared.request_seconds[side] for side in SIDES)
    rows += [
        cost_row(
            f"microseconds per request for {request} bars", fmean(seconds) * 1e6, fmean(ours[request]) * 1e6, ",.0f"
        )
        for request, seconds in theirs.items()
    ]
    return side_by_side(rows, summary.COST_HEADERS)


def _disk_table(stored: _Stored) -> str:
    sizes = {
        "CSV": stored.csv_bytes,
        "Parquet": stored.parquet_bytes,
        "DuckDB store": stored.storage.statistics().bytes_on_disk,
    }
    rows = [[name, f"{size / 1e6:,.1f}", f"{size / stored.rows:,.1f}"] for name, size in sizes.items()]
    return side_by_side(rows, [f"{stored.rows:,} bars on disk", "MB", "bytes per bar"])


def _plural(number: float, thing: str) -> str:
    return f"{number:g} {thing}{'' if number == 1 else 's'}"


class _Stopwatch:
    """Adds up the seconds spent in its `with` blocks."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __enter__(self) -> None:
        self._started = perf_counter()

    def __exit__(self, *_: object) -> None:
        self.seconds += perf_counter() - self._started


def _before(day: date, months: int) -> date:
    """Return the first of the month that many months before."""
    month = day.year * 12 + day.month - 1 - months
    return date(month // 12, month % 12 + 1, 1)
