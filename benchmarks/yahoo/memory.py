"""How much memory a backtest over one year takes with 500 symbols of which twenty years of days are stored."""

from __future__ import annotations

from datetime import datetime
from time import perf_counter
from typing import Any

from benchmarks.bars import Workplace
from benchmarks.measure import Row, Sample, against
from benchmarks.polygon.backtest import refuse_difference
from benchmarks.process import run_apart
from benchmarks.sides import set_clock
from benchmarks.yahoo.bars import END, START, SYMBOLS, warm_sides
from benchmarks.yahoo.sides import OPPONENT, make_source, mornings, nothing_asked, source_class
from lumibot_duckdb.comparison.memory import peak_resident_bytes, resident_bytes
from lumibot_duckdb.demo.market import symbol_names
from lumibot_duckdb.demo.worker import UNATTENDED

_TRADE = ["time", "symbol", "side", "type", "status", "price", "filled_quantity", "trade_cost"]


def whole_backtest(workplace: Workplace) -> list[Row]:
    """A year of 500 symbols, a fifth of which are looked at every day; results compared."""
    sides = warm_sides(workplace)
    outcomes = {side: run_apart("yahoo.memory.run", settings=settings, side=side) for side, settings in sides.items()}
    ours, theirs = outcomes["duckdb"], outcomes["lumibot"]
    refuse_difference(theirs, ours)
    what = f"Yahoo backtest, {SYMBOLS} symbols x 20 years of days, {START} to {END}"

    def row(name: str, unit: str, scale: float, value: Any, note: str = "") -> Row:
        sample = {side: Sample.of([value(outcome)], scale) for side, outcome in outcomes.items()}
        return against(f"{what}: {name}", unit, OPPONENT, sample["duckdb"], sample["lumibot"], note=note)

    imports = f"imports take {ours['imports'] * 1e-6:.0f} and {theirs['imports'] * 1e-6:.0f} MB of it"
    traded = f"{len(ours['trades']):,} trade events and {len(ours['values']):,} portfolio values, all identical"
    records = f"{imports}; some 200 MB on both sides are Lumibot's own record of the frames that the strategy saw"
    held = {side: run_apart("yahoo.memory.hold", settings=settings, side=side) for side, settings in sides.items()}
    return [
        against(
            f"what the Yahoo source adds to the process, {SYMBOLS} symbols x 20 years, all asked for every week",
            "MB",
            OPPONENT,
            Sample.of([held["duckdb"]], 1e-6),
            Sample.of([held["lumibot"]], 1e-6),
            note="resident memory after the year, without what the imports take",
        ),
        row("peak memory, imports included", "MB", 1e-6, lambda outcome: outcome["peak"], records),
        row("wall time", "s", 1.0, lambda outcome: outcome["seconds"], traded),
    ]


def hold(side: str) -> int:
    """Ask for sixty days and the price of every symbol once a week; return the bytes that the process grew by."""
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
                    raise AssertionError(f"not 60 days and a price of {asset} at {moment}")
    return resident_bytes() - before


def run(side: str) -> dict[str, Any]:
    """Backtest the year; return its result and what it took, imports apart."""
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
    events, stats = done.broker._trade_event_log_df, done.stats
    return {
        "seconds": seconds,
        "imports": imports,
        "peak": peak,
        "trades": events[_TRADE].astype(str).to_numpy().tolist() if len(events) else [],
        "values": [
            [str(time), float(value), float(cash)]
            for time, value, cash in zip(stats.index, stats["portfolio_value"], stats["cash"], strict=True)
        ],
    }
