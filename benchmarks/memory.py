"""Memory of a backtest on your own bars. Each side runs in a separate process."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, time
from time import perf_counter
from typing import Any

from benchmarks.bars import FIRST_DAY, LAST_DAY, SYMBOLS, Workplace
from benchmarks.measure import Row, Sample, against
from benchmarks.process import run_apart
from benchmarks.sides import import_side, make_source, on_store, regular_minutes, set_clock
from lumibot_duckdb.comparison.headless import UNATTENDED
from lumibot_duckdb.comparison.memory import peak_resident_bytes, resident_bytes
from lumibot_duckdb.demo.market import symbol_names

_MEGABYTE = 1e-6
DAYS = ("2022-06-01", "2023-03-01", "2023-11-01")


def twenty_symbols(workplace: Workplace) -> list[Row]:
    """Memory with 20 symbols and two years of minutes; minutes, 5-minute bars and days of each are requested."""
    bars = {"lumibot": str(workplace.parquet_folder()), "duckdb": str(workplace.store_path(SYMBOLS))}
    held = {side: run_apart("memory.hold", side=side, bars=bars[side]) for side in ("duckdb", "lumibot")}
    return held_rows(held["duckdb"], held["lumibot"], "Lumibot's PandasDataBacktesting")


def held_rows(ours: dict[str, int], theirs: dict[str, int], opponent: str) -> list[Row]:
    """Return the rows for two processes that ran `walk_and_weigh`."""
    return [
        against(
            f"resident memory, {SYMBOLS} symbols x 2 years of minutes, imports included",
            "MB",
            opponent,
            Sample.of([ours["resident"]], _MEGABYTE),
            Sample.of([theirs["resident"]], _MEGABYTE),
            at_least=10.0,
            budget="90 % less",
            note=imports_note(ours, theirs),
        ),
        against(
            "resident memory without imports",
            "MB",
            opponent,
            Sample.of([ours["resident"] - ours["imports"]], _MEGABYTE),
            Sample.of([theirs["resident"] - theirs["imports"]], _MEGABYTE),
        ),
        against(
            "peak memory, imports included",
            "MB",
            opponent,
            Sample.of([ours["peak"]], _MEGABYTE),
            Sample.of([theirs["peak"]], _MEGABYTE),
        ),
    ]


def imports_note(ours: dict[str, Any], theirs: dict[str, Any]) -> str:
    """Return the note that says how much of the memory the imports take."""
    taken = [side["imports"] * _MEGABYTE for side in (theirs, ours)]
    return f"Imports take {taken[0]:.0f} MB of this with Lumibot and {taken[1]:.0f} MB with lumibot-duckdb."


def hold(side: str, bars: str) -> dict[str, int]:
    """Load 20 symbols, walk the clock through a few days, and measure the memory of the process."""
    import_side(side)
    imports = resident_bytes()
    return walk_and_weigh(make_source(side, bars, symbol_names(SYMBOLS), "2022-03-01", "2024-01-01"), imports)


def walk_and_weigh(source: Any, imports: int, days: Sequence[str] = DAYS) -> dict[str, int]:
    """Request bars of 20 symbols on a few days of the two years; return the memory of the process in bytes."""
    from lumibot.entities import Asset

    assets = [Asset(symbol) for symbol in symbol_names(SYMBOLS)]
    for day in days:
        for moment in list(regular_minutes(day, 1))[::15]:
            set_clock(source, moment)
            for asset in assets:
                for length, timestep in ((60, "minute"), (60, "5min"), (14, "day")):
                    if len(source.get_historical_prices(asset, length, timestep).df) != length:
                        raise AssertionError(f"got other than {length} {timestep} bars at {moment}")
    return {"imports": imports, "resident": resident_bytes(), "peak": peak_resident_bytes()}


def hundred_symbols(workplace: Workplace) -> list[Row]:
    """Peak memory of an hourly backtest over two months, on 100 symbols with two years of minutes."""
    outcome = run_apart("memory.backtest", store=str(workplace.store_path(100)), symbols=100)
    peak = outcome["peak"] * _MEGABYTE
    return [
        Row(
            "peak memory of a backtest, 100 symbols x 2 years of minutes (42 million bars)",
            "MB",
            "",
            Sample.of([peak]),
            budget="below 1,000",
            met=peak < 1000,
            note=f"Imports take {outcome['imports'] * _MEGABYTE:.0f} MB of this. The backtest had "
            f"{outcome['fills']:,} fills "
            f"and took {outcome['seconds']:.0f} s.",
        )
    ]


def backtest(store: str, symbols: int) -> dict[str, Any]:
    """Run the hourly strategy of the demo over the last two months of the store."""
    import_side("duckdb")
    imports, started = resident_bytes(), perf_counter()
    from lumibot_duckdb.demo.strategies import ThreeHorizons
    from lumibot_duckdb.lumibot_contract.strategy_access import trade_events

    _, strategy = ThreeHorizons.run_backtest(
        on_store(store, symbol_names(symbols)),
        datetime(FIRST_DAY.year + 1, 11, LAST_DAY.day),
        datetime.combine(LAST_DAY, time.min),
        parameters={"symbols": symbol_names(symbols)},
        **UNATTENDED,
    )
    events = trade_events(strategy)
    return {
        "imports": imports,
        "peak": peak_resident_bytes(),
        "fills": int((events["status"] == "fill").sum()),
        "seconds": perf_counter() - started,
    }
