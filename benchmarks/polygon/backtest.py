"""A whole backtest on Polygon's bars: its time and memory on both sides, whose results must be equal."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from datetime import datetime
from time import perf_counter, process_time
from typing import Any

from benchmarks.bars import SYMBOLS, Workplace
from benchmarks.measure import Row, Sample, against
from benchmarks.memory import imports_note
from benchmarks.outcomes import identical, outcome_of, run_in_turn, sample
from benchmarks.polygon.bars import warm_sides
from benchmarks.polygon.sides import KEY, OPPONENT, only_this_machine, source_class
from benchmarks.process import run_apart
from benchmarks.shares import sampled
from benchmarks.sides import activate_ours
from lumibot_duckdb.comparison.headless import UNATTENDED
from lumibot_duckdb.comparison.memory import peak_resident_bytes, resident_bytes
from lumibot_duckdb.demo.market import symbol_names

START, END = "2023-01-03", "2023-03-31"
_REPEATS = 3
_A_MINUTE = 2
_OWNERS = {
    "lumibot_duckdb": "lumibot-duckdb: bars and prices",
    "lumibot_duckdb.sources.shared.frame_record": "lumibot-duckdb: the record of frames, in place of Lumibot's",
    "lumibot": "Lumibot",
    "benchmarks": "the strategy",
}


def whole_backtest(workplace: Workplace) -> list[Row]:
    """Time and memory of an every-minute Polygon backtest of 20 symbols over a quarter; the results are compared."""
    sides = warm_sides(workplace)
    outcomes = run_in_turn(sides, _REPEATS, _backtest)
    ours, theirs = outcomes["duckdb"], outcomes["lumibot"]
    what = f"Polygon backtest, {SYMBOLS} symbols, {START} to {END}, every minute"
    note = (
        f"Every minute, the strategy requests 60 minutes and 60 5-minute bars of {_A_MINUTE} of the symbols in turn. "
        f"All {identical(ours[0])}"
    )
    return [
        against(f"{what}: wall time", "s", OPPONENT, sample(ours, "seconds"), sample(theirs, "seconds"), note=note),
        against(
            f"{what}: peak memory, imports included",
            "MB",
            OPPONENT,
            sample(ours, "peak", 1e-6),
            sample(theirs, "peak", 1e-6),
            note=imports_note(ours[0], theirs[0]),
        ),
    ]


def our_share(workplace: Workplace) -> list[Row]:
    """Whose code the same backtest spends its time in on our side, in percent of the samples of its thread."""
    outcome = _backtest("duckdb", warm_sides(workplace)["duckdb"], sampling=True)
    samples, total = outcome["samples"], sum(outcome["samples"].values())
    return [
        Row(owner, "%", "", Sample.of([100 * samples.get(owner, 0) / total]))
        for owner in dict.fromkeys(_OWNERS.values())
    ]


def _backtest(side: str, settings: Mapping[str, str], *, sampling: bool = False) -> dict[str, Any]:
    outcome: dict[str, Any] = run_apart(
        "polygon.backtest.run",
        settings=settings,
        side=side,
        strategy="InTurn",
        symbols=symbol_names(SYMBOLS),
        start=START,
        end=END,
        parameters={"a_minute": _A_MINUTE},
        sampling=sampling,
    )
    return outcome


def run(
    side: str,
    strategy: str,
    symbols: list[str],
    start: str,
    end: str,
    parameters: dict[str, Any] | None = None,
    key: str = KEY,
    sampling: bool = False,
) -> dict[str, Any]:
    """Backtest a strategy of `benchmarks.polygon.strategies`; return its result, seconds and bytes.

    `cpu` is the time of the whole process, imports included. With `sampling`, `samples` has the samples by owner.
    """
    activate_ours(side)
    source = source_class(side)
    from benchmarks.polygon import strategies

    imports, started = resident_bytes(), perf_counter()
    with only_this_machine(), sampled(_OWNERS) if sampling else nullcontext({}) as samples:
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
        "samples": samples,
        "imports": imports,
        "peak": peak,
        "fills": int((events["status"] == "fill").sum()) if len(events) else 0,
        **outcome_of(done),
    }
