"""A whole backtest on Polygon's bars: its time and memory on both sides, whose results must be equal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from time import perf_counter, process_time
from typing import Any

from benchmarks.bars import SYMBOLS, Workplace
from benchmarks.measure import Row, Sample, against
from benchmarks.memory import imports_note
from benchmarks.polygon.bars import warm_sides
from benchmarks.polygon.sides import KEY, OPPONENT, only_this_machine, source_class
from benchmarks.process import run_apart
from lumibot_duckdb.comparison.headless import UNATTENDED
from lumibot_duckdb.comparison.memory import peak_resident_bytes, resident_bytes
from lumibot_duckdb.demo.market import symbol_names

START, END = "2023-01-03", "2023-03-31"
_REPEATS = 3
_A_MINUTE = 2
_COMPARED = ("trades", "values")
_TRADE = ["time", "symbol", "side", "type", "status", "price", "filled_quantity", "trade_cost"]
_TRADE += ["asset.right", "asset.strike", "asset.expiration"]


def whole_backtest(workplace: Workplace) -> list[Row]:
    """Time and memory of an every-minute Polygon backtest of 20 symbols over a quarter; the results are compared."""
    sides = warm_sides(workplace)
    outcomes: dict[str, list[dict[str, Any]]] = {side: [] for side in sides}
    for _ in range(_REPEATS):
        for side, settings in sides.items():
            outcomes[side].append(_backtest(side, settings))
        refuse_difference(outcomes["lumibot"][-1], outcomes["duckdb"][-1])
    ours, theirs = outcomes["duckdb"], outcomes["lumibot"]
    what = f"Polygon backtest, {SYMBOLS} symbols, {START} to {END}, every minute"
    note = (
        f"Every minute, the strategy requests 60 minutes and 60 5-minute bars of {_A_MINUTE} of the symbols in "
        f"turn. All "
        f"{len(ours[0]['trades']):,} trade events and {len(ours[0]['values']):,} portfolio values are identical."
    )
    return [
        against(f"{what}: wall time", "s", OPPONENT, _sample(ours, "seconds"), _sample(theirs, "seconds"), note=note),
        against(
            f"{what}: peak memory, imports included",
            "MB",
            OPPONENT,
            _sample(ours, "peak", 1e-6),
            _sample(theirs, "peak", 1e-6),
            note=imports_note(ours[0], theirs[0]),
        ),
    ]


def refuse_difference(theirs: Mapping[str, Sequence[Any]], ours: Mapping[str, Sequence[Any]]) -> None:
    """Raise `AssertionError` with the first trade or portfolio value that differs between the two sides."""
    for what in _COMPARED:
        for left, right in zip(theirs[what], ours[what], strict=False):
            if left != right:
                raise AssertionError(f"the first of the {what} that differ: {left} on Lumibot's side, {right} on ours")
        if len(theirs[what]) != len(ours[what]):
            raise AssertionError(f"{len(theirs[what])} {what} on Lumibot's side, {len(ours[what])} on ours")
        if not theirs[what]:
            raise AssertionError(f"a backtest without {what} compares nothing")


def _backtest(side: str, settings: Mapping[str, str]) -> dict[str, Any]:
    outcome: dict[str, Any] = run_apart(
        "polygon.backtest.run",
        settings=settings,
        side=side,
        strategy="InTurn",
        symbols=symbol_names(SYMBOLS),
        start=START,
        end=END,
        parameters={"a_minute": _A_MINUTE},
    )
    return outcome


def _sample(outcomes: list[dict[str, Any]], what: str, scale: float = 1.0) -> Sample:
    return Sample.of([outcome[what] for outcome in outcomes], scale)


def run(
    side: str,
    strategy: str,
    symbols: list[str],
    start: str,
    end: str,
    parameters: dict[str, Any] | None = None,
    key: str = KEY,
) -> dict[str, Any]:
    """Backtest a strategy of `benchmarks.polygon.strategies`; return its result, seconds and bytes.

    `cpu` is the time of the whole process, imports included.
    """
    source = source_class(side)
    from benchmarks.polygon import strategies

    imports, started = resident_bytes(), perf_counter()
    with only_this_machine():
        _, done = getattr(strategies, strategy).run_backtest(
            source,
            datetime.fromisoformat(start),
            datetime.fromisoformat(end),
            polygon_api_key=key,
            parameters={"symbols": symbols, **(parameters or {})},
            **UNATTENDED,
        )
    seconds, peak = perf_counter() - started, peak_resident_bytes()
    events = done.broker._trade_event_log_df
    return {
        "seconds": seconds,
        "cpu": process_time(),
        "contracts": len(getattr(done, "priced", ())),
        "imports": imports,
        "peak": peak,
        "fills": int((events["status"] == "fill").sum()) if len(events) else 0,
        "trades": events[_TRADE].astype(str).to_numpy().tolist() if len(events) else [],
        "values": [
            [str(time), float(value), float(cash)]
            for time, value, cash in zip(
                done.stats.index, done.stats["portfolio_value"], done.stats["cash"], strict=True
            )
        ],
    }
