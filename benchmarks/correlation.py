"""The correlations of 500 symbols over ten years of days: pandas on frames, and `storage.correlation`, in turn."""

from __future__ import annotations

import os
from datetime import date
from pathlib import Path
from time import perf_counter, process_time
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.bars import Workplace, open_store
from benchmarks.measure import Row, Sample, against
from benchmarks.process import run_apart
from lumibot_duckdb.demo.job import SOURCE
from lumibot_duckdb.demo.market import symbol_names

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd

SYMBOLS = int(os.environ.get("LUMIBOT_DUCKDB_BENCH_SYMBOLS", "500"))
"""Fewer in a run for development."""

FIRST_DAY, LAST_DAY = date(2014, 1, 2), date(2023, 12, 29)
_TIMES = 3
_SIDES = ("duckdb", "pandas")


def five_hundred_symbols(workplace: Workplace) -> list[Row]:
    """The matrix of daily returns, each time in a new process, without the time of imports."""
    store = workplace.made_once(f"days-store-{SYMBOLS}", _fill_store) / "bars.duckdb"
    files = workplace.made_once(f"days-parquet-{SYMBOLS}", _fill_files)
    bars = {"duckdb": str(store), "pandas": str(files)}
    found: dict[str, list[dict[str, Any]]] = {side: [] for side in _SIDES}
    for _ in range(_TIMES):
        for side in _SIDES:
            found[side].append(run_apart("correlation.matrix", side=side, bars=bars[side], symbols=SYMBOLS))
    ours, theirs = found["duckdb"], found["pandas"]
    np.testing.assert_allclose([each["total"] for each in ours], [each["total"] for each in theirs], rtol=1e-9)
    return [
        against(
            f"correlations of {SYMBOLS} symbols, 10 years of days: {name}", "s", "pandas on Parquet files",
            Sample.of(each[key] for each in ours), Sample.of(each[key] for each in theirs),
            at_least=5.0, budget="5 times faster",
        )
        for name, key in (("time", "seconds"), ("CPU time", "cpu"))
    ]  # fmt: skip


def matrix(side: str, bars: str, symbols: int) -> dict[str, float]:
    """Return how long the matrix takes, and the sum of its values."""
    names = symbol_names(symbols)
    work = _with_store if side == "duckdb" else _with_pandas
    work(bars, names[:2])  # imports
    started, cpu = perf_counter(), process_time()
    found = work(bars, names)
    return {
        "seconds": perf_counter() - started,
        "cpu": process_time() - cpu,
        "total": float(found.to_numpy().sum()),
    }


def _with_store(bars: str, names: list[str]) -> pd.DataFrame:
    with open_store(Path(bars)) as storage:
        return storage.correlation(names)


def _with_pandas(bars: str, names: list[str]) -> pd.DataFrame:
    """Do it as users of pandas do, with the closes alone."""
    import pandas as pd

    closes = {name: pd.read_parquet(f"{bars}/{name}.parquet", columns=["close"])["close"] for name in names}
    return pd.concat(closes, axis=1).pct_change().corr()


def _fill_store(folder: Path) -> None:
    with open_store(folder / "bars.duckdb") as storage:
        for name, frame in _frames():
            storage.store_ohlcv_data(name, frame, SOURCE, "day")


def _fill_files(folder: Path) -> None:
    for name, frame in _frames():
        frame.to_parquet(folder / f"{name}.parquet")


def _frames() -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield symbols and their days: prices that follow a market, and have returns of their own."""
    import pandas as pd

    days = pd.bdate_range(FIRST_DAY, LAST_DAY, tz="America/New_York")
    rng = np.random.default_rng(0)
    market = rng.normal(0, 0.01, len(days))
    for name in symbol_names(SYMBOLS):
        returns = market * rng.uniform(0.3, 1.5) + rng.normal(0, 0.012, len(days))
        close = 100 * np.exp(np.cumsum(returns))
        opened = close * np.exp(rng.normal(0, 0.003, len(days)))
        columns = {
            "open": opened,
            "high": np.maximum(opened, close) * 1.002,
            "low": np.minimum(opened, close) * 0.998,
            "close": close,
            "volume": rng.integers(1_000, 9_000_000, len(days)).astype(float),
        }
        yield name, pd.DataFrame(columns, index=days).round(2)
