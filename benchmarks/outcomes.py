"""What whole backtests did and cost, on both sides in turn. Results that differ are no measurement."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import psutil  # type: ignore[import-untyped]

from benchmarks.measure import Row, Sample, against
from lumibot_duckdb.comparison.memory import peak_resident_bytes

Settings = TypeVar("Settings")

_COMPARED = ("trades", "values")
_PRIVATE = (
    "Private memory is that at the end without the pages of libraries, which the system shares between processes and "
    "drops when it needs memory; of DuckDB's library, our side uses about 40 MB."
)
_COSTS = (
    ("wall time", "s", "seconds", 1.0, ""),
    ("CPU time", "s", "cpu", 1.0, ""),
    ("peak memory", "MB", "peak", 1e-6, ""),
    ("private memory", "MB", "private", 1e-6, _PRIVATE),
)
_TRADE = ["time", "symbol", "side", "type", "status", "price", "filled_quantity", "trade_cost"]
_TRADE += ["asset.right", "asset.strike", "asset.expiration"]


def outcome_of(strategy: Any) -> dict[str, list[Any]]:
    """Return the trade events and the portfolio values of a backtest that has ended."""
    events, stats = strategy.broker._trade_event_log_df, strategy.stats
    values = zip(stats.index, stats["portfolio_value"], stats["cash"], strict=True)
    return {
        "trades": events[_TRADE].astype(str).to_numpy().tolist() if len(events) else [],
        "values": [[str(time), float(value), float(cash)] for time, value, cash in values],
    }


def memory_used() -> dict[str, int]:
    """Return the peak memory of this process, and its present private memory, in bytes."""
    memory = psutil.Process().memory_info()
    return {"peak": peak_resident_bytes(), "private": int(memory.rss - memory.shared)}


def run_in_turn(
    sides: Mapping[str, Settings], repeats: int, run: Callable[[str, Settings], dict[str, Any]]
) -> dict[str, list[dict[str, Any]]]:
    """Run a backtest on both sides in turn; return all outcomes by side. Raises `AssertionError` if they differ."""
    outcomes: dict[str, list[dict[str, Any]]] = {side: [] for side in sides}
    for _ in range(repeats):
        for side, settings in sides.items():
            outcomes[side].append(run(side, settings))
        refuse_difference(outcomes["lumibot"][-1], outcomes["duckdb"][-1])
    return outcomes


def sample(outcomes: Sequence[Mapping[str, Any]], what: str, scale: float = 1.0) -> Sample:
    """Return one number of each outcome."""
    return Sample.of([outcome[what] for outcome in outcomes], scale)


def cost_rows(what: str, opponent: str, outcomes: Mapping[str, Sequence[Mapping[str, Any]]], note: str) -> list[Row]:
    """Return rows for the seconds, CPU seconds and memory of both sides."""
    ours, theirs = outcomes["duckdb"], outcomes["lumibot"]
    return [
        against(
            f"{what}: {name}", unit, opponent, sample(ours, key, scale), sample(theirs, key, scale), note=about or note
        )
        for name, unit, key, scale, about in _COSTS
    ]


def identical(outcome: Mapping[str, Sequence[Any]]) -> str:
    """Return what a note says, after "all", of outcomes that `run_in_turn` has compared."""
    trades, values = (len(outcome[what]) for what in _COMPARED)
    return f"{trades:,} trade events and {values:,} portfolio values are identical."


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
