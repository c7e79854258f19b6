"""Memory of a backtest on candles. Each side runs in a separate process."""

from __future__ import annotations

from benchmarks.bars import Workplace
from benchmarks.ccxt.bars import COINS, warm_sides
from benchmarks.ccxt.sides import OPPONENT, clock, make_source, pairs, source_class
from benchmarks.measure import Row, Sample, against
from benchmarks.polygon.sides import only_this_machine
from benchmarks.process import run_apart
from benchmarks.sides import set_clock
from lumibot_duckdb.comparison.memory import peak_resident_bytes, resident_bytes

_MEGABYTE = 1e-6
_DAYS = ("2022-02-01", "2022-06-01", "2022-11-01")


def ten_coins(workplace: Workplace) -> list[Row]:
    """Memory with 10 coins and a year of minutes; minutes and days of each are requested."""
    sides = warm_sides(workplace)
    held = {side: run_apart("ccxt.memory.hold", settings=settings, side=side) for side, settings in sides.items()}
    ours, theirs = held["duckdb"], held["lumibot"]
    what = f"memory, {COINS} coins x 1 year of minutes"
    return [
        against(
            f"resident {what}, without imports",
            "MB",
            OPPONENT,
            Sample.of([ours["resident"] - ours["imports"]], _MEGABYTE),
            Sample.of([theirs["resident"] - theirs["imports"]], _MEGABYTE),
            note=f"Imports take another {theirs['imports'] * _MEGABYTE:.0f} MB with Lumibot and "
            f"{ours['imports'] * _MEGABYTE:.0f} MB with lumibot-duckdb.",
        ),
        against(
            f"peak {what}, imports included",
            "MB",
            OPPONENT,
            Sample.of([ours["peak"]], _MEGABYTE),
            Sample.of([theirs["peak"]], _MEGABYTE),
        ),
    ]


def hold(side: str) -> dict[str, int]:
    """Begin a one-year backtest, walk the clock through a few of its days, and measure the memory of the process."""
    source_class(side)
    imports = resident_bytes()
    with only_this_machine():
        source = make_source(side)
        for day in _DAYS:
            for moment in clock(day, 1_440)[::120]:
                set_clock(source, moment)
                for pair in pairs(COINS):
                    for length, timestep in ((60, "minute"), (14, "day")):
                        if len(source.get_historical_prices(pair, length, timestep).df) != length:
                            raise AssertionError(f"got other than {length} {timestep} candles at {moment}")
    return {"imports": imports, "resident": resident_bytes(), "peak": peak_resident_bytes()}
