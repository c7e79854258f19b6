"""Memory of a backtest on Alpaca's bars. Each side runs in a separate process."""

from __future__ import annotations

from benchmarks.alpaca.bars import END, START, SYMBOLS, warm_sides
from benchmarks.alpaca.sides import OPPONENT, make_source, source_class
from benchmarks.bars import Workplace
from benchmarks.measure import Row, Sample, against
from benchmarks.polygon.sides import only_this_machine
from benchmarks.process import run_apart
from benchmarks.sides import regular_minutes, set_clock
from lumibot_duckdb.comparison.memory import peak_resident_bytes, resident_bytes
from lumibot_duckdb.demo.market import symbol_names

_MEGABYTE = 1e-6
_DAYS = ("2022-02-01", "2022-06-01", "2023-03-01", "2023-11-01")
_WHAT = {
    "resident": "resident memory",
    "peak": "peak memory",
}


def few_symbols(workplace: Workplace) -> list[Row]:
    """Memory with 4 symbols and two years of minutes; minutes, 5-minute bars and days of each are requested."""
    held = {
        side: run_apart("alpaca.memory.hold", settings=settings, side=side)
        for side, settings in warm_sides(workplace).items()
    }
    return [
        against(
            f"{what}, {SYMBOLS} symbols x 2 years of minutes, without imports",
            "MB",
            OPPONENT,
            Sample.of([held["duckdb"][name] - held["duckdb"]["imports"]], _MEGABYTE),
            Sample.of([held["lumibot"][name] - held["lumibot"]["imports"]], _MEGABYTE),
        )
        for name, what in _WHAT.items()
    ]


def hold(side: str) -> dict[str, int]:
    """Begin a two-year backtest, walk the clock through a few of its days, and measure the memory of the process."""
    source_class(side)
    imports = resident_bytes()
    from lumibot.entities import Asset

    with only_this_machine():
        source = make_source(side, START, END)
        for day in _DAYS:
            for moment in list(regular_minutes(day, 1))[::15]:
                set_clock(source, moment)
                for symbol in symbol_names(SYMBOLS):
                    for length, timestep in ((60, "minute"), (60, "5min"), (14, "day")):
                        if len(source.get_historical_prices(Asset(symbol), length, timestep).df) != length:
                            raise AssertionError(f"got other than {length} {timestep} bars at {moment}")
    return {"imports": imports, "resident": resident_bytes(), "peak": peak_resident_bytes()}
