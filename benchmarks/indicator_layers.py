"""The layers of the indicator engine, each against pandas-ta-classic: EMA, RSI and Bollinger Bands of one long series,
and of a hundred symbols. Each side is a process, which is measured without its imports."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from time import perf_counter, process_time
from typing import TYPE_CHECKING, Any

from benchmarks.bars import Workplace, open_store
from benchmarks.measure import Row, Sample, against
from benchmarks.process import run_apart
from lumibot_duckdb.demo.job import SOURCE
from lumibot_duckdb.demo.market import symbol_names, us_stock_bars

if TYPE_CHECKING:
    import pandas as pd

ROWS = int(os.environ.get("LUMIBOT_DUCKDB_BENCH_ROWS", "400000"))
SYMBOLS = int(os.environ.get("LUMIBOT_DUCKDB_BENCH_SYMBOLS", "100"))
"""Fewer in a run for development."""

FIRST_DAY, LAST_DAY = date(2019, 1, 2), date(2024, 1, 1)
ROWS_OF_ONE = 4_000
"""How many bars each of the symbols has."""

_TIMES = 3
_OPPONENT = "pandas-ta-classic on Parquet files"
LAYERS = {
    "client": "SQL macro, DuckDB client",
    "sql": "SQL macro, storage.sql",
    "ta_lib": "storage.indicators, TA-Lib",
    "macros": "storage.indicators without TA-Lib",
}
INDICATORS: Mapping[str, tuple[str, dict[str, Any]]] = {
    "ema": ("ema(20)", {"length": 20}),
    "rsi": ("rsi(14)", {"length": 14}),
    "bollinger": ("bollinger(20, 2)", {"length": 20, "std": 2.0}),
}
"""Each as a request, and as arguments of pandas-ta-classic."""


def one_series_and_many(workplace: Workplace) -> list[Row]:
    """CPU and wall time of each layer; the sides take turns."""
    rows = []
    for what, symbols, length in (
        (f"{ROWS:,} bars", 1, ROWS),
        (f"{SYMBOLS} symbols with {ROWS_OF_ONE:,} bars", SYMBOLS, ROWS_OF_ONE),
    ):
        store = workplace.made_once(f"layers-store-{symbols}-{length}", _filling(_fill_store, symbols, length))
        files = workplace.made_once(f"layers-parquet-{symbols}-{length}", _filling(_fill_files, symbols, length))
        rows += _compared(what, str(store / "bars.duckdb"), str(files), symbols)
    return rows


def _compared(what: str, store: str, files: str, symbols: int) -> list[Row]:
    found: dict[str, list[dict[str, dict[str, float]]]] = {side: [] for side in (*LAYERS, "pandas")}
    for _ in range(_TIMES):
        for side in found:
            bars = files if side == "pandas" else store
            found[side].append(run_apart("indicator_layers.measure", side=side, bars=bars, symbols=symbols))
    theirs = found.pop("pandas")
    rows = []
    for name in INDICATORS:
        for side, ours in found.items():
            _check_totals(side, name, ours[0][name]["total"], theirs[0][name]["total"])
            rows += [
                against(
                    f"{name}, {what}, {LAYERS[side]}: {quantity}",
                    "s",
                    _OPPONENT,
                    Sample.of(each[name][key] for each in ours),
                    Sample.of(each[name][key] for each in theirs),
                )
                for quantity, key in (("time", "seconds"), ("CPU time", "cpu"))
            ]
    return rows


def _check_totals(side: str, name: str, ours: float, theirs: float) -> None:
    """Fail if the sides do not compute the same."""
    if abs(ours - theirs) > 1e-6 * abs(theirs):
        raise RuntimeError(f"{name}: {LAYERS[side]} and pandas-ta-classic differ: {ours} and {theirs}")


def measure(side: str, bars: str, symbols: int) -> dict[str, dict[str, float]]:
    """Return how long each indicator of all symbols takes, from opening the files on, and the sum of its values."""
    names = symbol_names(symbols)
    if side == "macros":
        _hide_ta_lib()
    _import(side)
    measured = {}
    for indicator in INDICATORS:
        started, cpu = perf_counter(), process_time()
        total = _WORK[side](bars, names, indicator)
        measured[indicator] = {"seconds": perf_counter() - started, "cpu": process_time() - cpu, "total": total}
    return measured


def _import(side: str) -> None:
    """Import what a side needs, so that it is not measured."""
    if side == "pandas":
        import pandas_ta_classic  # noqa: F401
        import pyarrow.parquet  # noqa: F401

        return
    import duckdb  # noqa: F401
    import pandas  # noqa: F401

    import lumibot_duckdb.analytics.indicators  # noqa: F401
    from lumibot_duckdb.analytics.ta_lib import ta_lib
    from lumibot_duckdb.duckdb_storage import DuckDBDataStorage  # noqa: F401

    ta_lib()


def _hide_ta_lib() -> None:
    """Let the package find no TA-Lib, as where it is not installed."""
    import sys

    sys.modules["talib"] = None  # type: ignore[assignment]


def _by_client(bars: str, names: list[str], indicator: str) -> float:
    import duckdb

    with duckdb.connect(bars, read_only=True) as connection:
        found = connection.execute(_query(indicator), [names]).to_arrow_table()
    return _sum(found[_output(indicator)].to_pandas())


def _by_sql(bars: str, names: list[str], indicator: str) -> float:
    with open_store(Path(bars)) as storage:
        found = storage.sql(_query(indicator), [names])
    return _sum(found[_output(indicator)].to_pandas())


def _by_storage(bars: str, names: list[str], indicator: str) -> float:
    request, _ = INDICATORS[indicator]
    with open_store(Path(bars)) as storage:
        found = storage.indicators(names, request, "minute")
    return _sum(found[next(each for each in found.columns if each.endswith(("upper", "ema_20", "rsi_14")))])


def _by_pandas(bars: str, names: list[str], indicator: str) -> float:
    """Do it as users of pandas-ta-classic do: one frame after another."""
    import pandas as pd
    import pandas_ta_classic  # noqa: F401

    _, arguments = INDICATORS[indicator]
    total = 0.0
    for name in names:
        ta: Any = pd.read_parquet(f"{bars}/{name}.parquet").ta
        found = getattr(ta, {"bollinger": "bbands"}.get(indicator, indicator))(**arguments)
        total += _sum(found if found.ndim == 1 else found.filter(like="BBU").iloc[:, 0])
    return total


_WORK = {"client": _by_client, "sql": _by_sql, "ta_lib": _by_storage, "macros": _by_storage, "pandas": _by_pandas}


def _query(indicator: str) -> str:
    return f"FROM {indicator}(?, timeframe := 'minute')"


def _output(indicator: str) -> str:
    return "upper" if indicator == "bollinger" else indicator


def _sum(values: pd.Series) -> float:
    return float(values.sum())


def _filling(fill: Callable[[Path, int, int], None], symbols: int, length: int) -> Callable[[Path], None]:
    return lambda folder: fill(folder, symbols, length)


def _fill_store(folder: Path, symbols: int, length: int) -> None:
    with open_store(folder / "bars.duckdb") as storage:
        for name in symbol_names(symbols):
            storage.store_ohlcv_data(name, _frame(name, length), SOURCE, "minute")


def _fill_files(folder: Path, symbols: int, length: int) -> None:
    for name in symbol_names(symbols):
        _frame(name, length).to_parquet(folder / f"{name}.parquet")


def _frame(name: str, length: int) -> pd.DataFrame:
    first = FIRST_DAY if length > ROWS_OF_ONE else date(2023, 12, 1)
    return us_stock_bars(name, first, LAST_DAY).iloc[:length]
