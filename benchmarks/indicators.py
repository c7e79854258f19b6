"""Twenty indicators of many symbols: pandas-ta-classic on frames, and `storage.indicators`. Each side is a process."""

from __future__ import annotations

import os
from collections.abc import Iterator
from time import perf_counter, process_time
from typing import TYPE_CHECKING, Any

from benchmarks.bars import Workplace, open_store
from benchmarks.measure import Row, Sample, against
from benchmarks.process import run_apart
from lumibot_duckdb.comparison.memory import peak_resident_bytes, resident_bytes
from lumibot_duckdb.demo.market import symbol_names

if TYPE_CHECKING:
    import pandas as pd

_MEGABYTE = 1e-6
SYMBOLS = int(os.environ.get("LUMIBOT_DUCKDB_BENCH_SYMBOLS", "100"))
"""Fewer in a run for development."""

HELD = 20
"""How many symbols are in one frame with all their indicators: a frame of 100 would take 14 GB."""

_SIDES = ("duckdb", "pandas")

INDICATORS = (
    "sma(20)", "ema(20)", "wma(20)", "dema(20)", "tema(20)", "hma(20)", "bollinger(20, 2)", "donchian(20)", "rsi(14)",
    "stochastic(14, 3, 3)", "macd(12, 26, 9)", "adx(14)", "atr(14)", "cci(20)", "williams_r(14)", "mfi(14)", "obv",
    "roc(10)", "aroon(25)", "supertrend(10, 3)",
)  # fmt: skip


def hundred_symbols(workplace: Workplace) -> list[Row]:
    """Twenty indicators of two years of minutes: one symbol after another, in one table, and streamed."""
    held = min(HELD, SYMBOLS)
    walked = {side: _run("walk", side, workplace, SYMBOLS) for side in _SIDES}
    tables = {side: _run("hold", side, workplace, held) for side in _SIDES}
    streamed = _run("walk", "duckdb", workplace, held)
    return [
        *_rows(f"{SYMBOLS} symbols, one after another", walked["duckdb"], walked["pandas"]),
        *_rows(f"{held} symbols in one pandas frame", tables["duckdb"], tables["pandas"]),
        *_rows(f"{held} symbols, streamed or in one frame", streamed, tables["pandas"]),
    ]


def _run(function: str, side: str, workplace: Workplace, symbols: int) -> dict[str, Any]:
    bars = workplace.store_path(symbols) if side == "duckdb" else workplace.parquet_folder(symbols)
    outcome: dict[str, Any] = run_apart(f"indicators.{function}", side=side, bars=str(bars), symbols=symbols)
    return outcome


def _rows(what: str, ours: dict[str, Any], theirs: dict[str, Any]) -> list[Row]:
    opponent = "pandas-ta-classic on Parquet files"
    imports = [side["imports"] * _MEGABYTE for side in (theirs, ours)]
    note = f"Imports take {imports[0]:.0f} MB with pandas-ta-classic and {imports[1]:.0f} MB with lumibot-duckdb."
    quantities = (("time", "s", "seconds", 1.0, 5.0), ("CPU time", "s", "cpu", 1.0, None))
    return [
        *(
            against(
                f"{what}: {name}", unit, opponent, Sample.of([ours[key]], scale), Sample.of([theirs[key]], scale),
                at_least=least, budget="5 times faster" if least else "",
            )
            for name, unit, key, scale, least in quantities
        ),
        against(
            f"{what}: peak memory beyond imports", "MB", opponent,
            Sample.of([ours["peak"] - ours["imports"]], _MEGABYTE),
            Sample.of([theirs["peak"] - theirs["imports"]], _MEGABYTE),
            at_least=10.0, budget="a tenth of the memory", note=note,
        ),
    ]  # fmt: skip


def walk(side: str, bars: str, symbols: int) -> dict[str, Any]:
    """Compute all indicators of one symbol after another, and keep the last row of each."""
    return _measured(side, lambda: sum(1 for _ in _frames(side, bars, symbols)))


def hold(side: str, bars: str, symbols: int) -> dict[str, Any]:
    """Compute all indicators of all symbols, and hold them in one pandas frame."""
    return _measured(side, lambda: len(_table(side, bars, symbols)))


def _measured(side: str, work: Any) -> dict[str, Any]:
    if side == "duckdb":
        import lumibot_duckdb.analytics.indicators  # noqa: F401
        from lumibot_duckdb.analytics.ta_lib import ta_lib

        ta_lib()
    else:
        import pandas_ta_classic  # noqa: F401
        import pyarrow.parquet  # noqa: F401
    imports, started, cpu = resident_bytes(), perf_counter(), process_time()
    count = work()
    return {
        "imports": imports,
        "count": count,
        "seconds": perf_counter() - started,
        "cpu": process_time() - cpu,
        "peak": peak_resident_bytes(),
    }


def _frames(side: str, bars: str, symbols: int) -> Iterator[Any]:
    names = symbol_names(symbols)
    if side == "duckdb":
        from pathlib import Path

        yield from open_store(Path(bars)).indicators(names, INDICATORS, "minute", format="reader")
    else:
        for name in names:
            yield _with_indicators(_frame(bars, name))


def _table(side: str, bars: str, symbols: int) -> pd.DataFrame:
    import pandas as pd

    names = symbol_names(symbols)
    if side == "duckdb":
        from pathlib import Path

        return open_store(Path(bars)).indicators(names, INDICATORS, "minute")
    frames = pd.concat([_frame(bars, name).assign(symbol=name) for name in names])
    return pd.concat([_with_indicators(frame.copy()) for _, frame in frames.groupby("symbol")])


def _frame(folder: str, name: str) -> pd.DataFrame:
    import pandas as pd

    return pd.read_parquet(f"{folder}/{name}.parquet")


def _with_indicators(frame: pd.DataFrame) -> pd.DataFrame:
    """Add the same indicators, as users of pandas-ta-classic do."""
    ta: Any = frame.ta
    for name, arguments in (
        ("sma", {"length": 20}), ("ema", {"length": 20}), ("wma", {"length": 20}), ("dema", {"length": 20}),
        ("tema", {"length": 20}), ("hma", {"length": 20}), ("bbands", {"length": 20, "std": 2.0}),
        ("donchian", {"lower_length": 20, "upper_length": 20}), ("rsi", {"length": 14}),
        ("stoch", {"k": 14, "d": 3, "smooth_k": 3}), ("macd", {"fast": 12, "slow": 26, "signal": 9}),
        ("adx", {"length": 14}), ("atr", {"length": 14}), ("cci", {"length": 20}), ("willr", {"length": 14}),
        ("mfi", {"length": 14}), ("obv", {}), ("roc", {"length": 10}), ("aroon", {"length": 25}),
        ("supertrend", {"length": 10, "multiplier": 3.0}),
    ):  # fmt: skip
        getattr(ta, name)(append=True, **arguments)
    return frame
