"""Memory and time of a one-year backtest on 500 symbols with twenty years of days stored."""

from __future__ import annotations

from datetime import datetime
from time import perf_counter
from typing import Any

from benchmarks.bars import Workplace
from benchmarks.measure import Row, Sample, against
from benchmarks.memory import imports_note
from benchmarks.outcomes import identical, outcome_of, refuse_difference
from benchmarks.process import run_apart
from benchmarks.sides import activate_ours, set_clock
from benchmarks.yahoo.bars import END, START, SYMBOLS, warm_sides
from benchmarks.yahoo.sides import OPPONENT, make_source, mornings, nothing_asked, source_class
from lumibot_duckdb.comparison.headless import UNATTENDED
from lumibot_duckdb.comparison.memory import peak_resident_bytes, resident_bytes
from lumibot_duckdb.demo.market import symbol_names


def whole_backtest(workplace: Workplace) -> list[Row]:
    """Time and memory of a one-year Yahoo backtest on 500 symbols, 100 of them each day; the results are compared."""
    sides = warm_sides(workplace)
    outcomes = {side: run_apart("yahoo.memory.run", settings=settings, side=side) for side, settings in sides.items()}
    ours, theirs = outcomes["duckdb"], outcomes["lumibot"]
    refuse_difference(theirs, ours)
    what = f"Yahoo backtest, {SYMBOLS} symbols x 20 years of days, {START} to {END}"

    def row(name: str, unit: str, scale: float, value: Any, note: str = "") -> Row:
        sample = {side: Sample.of([value(outcome)], scale) for side, outcome in outcomes.items()}
        return against(f"{what}: {name}", unit, OPPONENT, sample["duckdb"], sample["lumibot"], note=note)

    traded = f"All {identical(ours)}"
    records = (
        f"{imports_note(ours, theirs)} On both sides, Lumibot's record of the frames that the strategy saw takes "
        "another 200 MB or so."
    )
    held = {side: run_apart("yahoo.memory.hold", settings=settings, side=side) for side, settings in sides.items()}
    return [
        against(
            f"memory of the data source alone, {SYMBOLS} symbols x 20 years, all requested every week",
            "MB",
            OPPONENT,
            Sample.of([held["duckdb"]], 1e-6),
            Sample.of([held["lumibot"]], 1e-6),
            note="The memory of the data source is the growth of the process over the year, without imports.",
        ),
        row("peak memory, imports included", "MB", 1e-6, lambda outcome: outcome["peak"], records),
        row("wall time", "s", 1.0, lambda outcome: outcome["seconds"], traded),
    ]


def hold(side: str) -> int:
    """Request 60 days and the last price of every symbol once a week; return by how many bytes the process grew."""
    source_class(side)
    from lumibot.entities import Asset

    before = resident_bytes()
    assets = [Asset(symbol) for symbol in symbol_names(SYMBOLS)]
    with nothing_asked():
        source = make_source(side)
        for moment in list(mornings(START, 255))[::5]:
            set_clock(source, moment)
            for asset in assets:
                if len(source.get_historical_prices(asset, 60, "day").df) != 60 or not source.get_last_price(asset):
                    raise AssertionError(f"got other than 60 days and a price of {asset} at {moment}")
    return resident_bytes() - before


def run(side: str) -> dict[str, Any]:
    """Backtest the year; return its result, seconds and bytes."""
    activate_ours(side)
    source = source_class(side)
    from benchmarks.yahoo.strategies import ByTurns

    imports, started = resident_bytes(), perf_counter()
    with nothing_asked():
        _, done = ByTurns.run_backtest(
            source,
            datetime.fromisoformat(START),
            datetime.fromisoformat(END),
            parameters={"symbols": symbol_names(SYMBOLS)},
            **UNATTENDED,
        )
    seconds, peak = perf_counter() - started, peak_resident_bytes()
    return {"seconds": seconds, "imports": imports, "peak": peak, **outcome_of(done)}
