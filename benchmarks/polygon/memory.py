"""Memory of a backtest on Polygon's bars. Each side runs in a separate process."""

from __future__ import annotations

from benchmarks.bars import Workplace
from benchmarks.measure import Row, Sample
from benchmarks.memory import DAYS, held_rows, walk_and_weigh
from benchmarks.polygon.bars import END, START, polygon_store, store_settings, warm_sides
from benchmarks.polygon.sides import OPPONENT, make_source, only_this_machine, source_class
from benchmarks.process import run_apart
from lumibot_duckdb.comparison.memory import resident_bytes
from lumibot_duckdb.demo.market import symbol_names

_MEGABYTE = 1e-6
_HUNDRED = 100


def twenty_symbols(workplace: Workplace) -> list[Row]:
    """Memory with 20 symbols and two years of minutes; minutes, 5-minute bars and days of each are requested."""
    sides = warm_sides(workplace)
    held = {side: run_apart("polygon.memory.hold", settings=settings, side=side) for side, settings in sides.items()}
    return held_rows(held["duckdb"], held["lumibot"], OPPONENT)


def hold(side: str) -> dict[str, int]:
    """Begin a two-year backtest, walk the clock through a few of its days, and measure the memory of the process."""
    source_class(side)
    imports = resident_bytes()
    with only_this_machine():
        return walk_and_weigh(make_source(side, START, END), imports, (START, *DAYS))


def hundred_symbols(workplace: Workplace) -> list[Row]:
    """Peak memory of a two-year Polygon backtest on 100 symbols, which requests three kinds of bars every week."""
    outcome = run_apart(
        "polygon.backtest.run",
        settings=store_settings(polygon_store(workplace, _HUNDRED)),
        side="duckdb",
        strategy="OnceAWeek",
        symbols=symbol_names(_HUNDRED),
        start=START,
        end=END,
    )
    peak = outcome["peak"] * _MEGABYTE
    return [
        Row(
            f"peak memory of a backtest, {_HUNDRED} symbols x 2 years of minutes (42 million bars)",
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
