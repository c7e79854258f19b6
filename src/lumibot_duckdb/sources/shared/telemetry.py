"""Counts what a source did in a backtest and what that cost, and logs a summary at the end."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import Protocol

from lumibot_duckdb.sources.shared.environment import flag

LOG_STATS = "LUMIBOT_DUCKDB_LOG_STATS"
"""Environment variable: "false" turns off the summary."""

logger = logging.getLogger("lumibot.duckdb")
"""A child of Lumibot's logger, so that it uses the same level, format and log files."""


@dataclass(frozen=True, slots=True)
class Telemetry:
    """What a source has done so far.

    `lookups` counts accesses to windows; those that loaded no window were answered from memory. `rows_read` and
    `bytes_read` count everything that was read from the store, for windows and for the benchmark. `rows_shown` counts
    each row of a series that the strategy's requests included once, also those that larger bars are made of.
    `downloads` counts the responses of a provider that were stored. Times are in seconds.
    """

    windows_loaded: int = 0
    rows_read: int = 0
    bytes_read: int = 0
    lookups: int = 0
    evictions: int = 0
    downloads: int = 0
    bars_downloaded: int = 0
    seconds_downloading: float = 0.0
    seconds_in_storage: float = 0.0
    rows_shown: int = 0

    def __add__(self, other: Telemetry) -> Telemetry:
        return Telemetry(*(mine + its for mine, its in zip(astuple(self), astuple(other), strict=True)))

    def __sub__(self, other: Telemetry) -> Telemetry:
        return Telemetry(*(mine - its for mine, its in zip(astuple(self), astuple(other), strict=True)))

    def __str__(self) -> str:
        parts = [
            f"{_count(self.windows_loaded, 'window')} loaded",
            f"{_count(self.rows_read, 'row')} ({_size(self.bytes_read)}) read",
            f"{self.rows_shown:,} shown" if self.rows_shown else "none shown",
            _count(self.evictions, "eviction"),
            _count(self.downloads, "download"),
            f"{self.seconds_in_storage:.2f} s in storage",
        ]
        if self.downloads:
            parts[4] += f" ({_count(self.bars_downloaded, 'bar')}, {self.seconds_downloading:.1f} s)"
        if self.lookups:
            # Rounded down, so that 100 % means all.
            in_memory = 1000 * max(0, self.lookups - self.windows_loaded) // self.lookups / 10
            parts.insert(3, f"{in_memory:.1f} % of look-ups from memory")
        return ", ".join(parts)


class Observed(Protocol):
    """A source with telemetry."""

    use_duckdb: bool
    uses_store: bool
    log_stats: bool

    def telemetry_since_last_report(self) -> Telemetry:
        """Return what it has done since the last call."""


def log_stats_wanted() -> bool:
    """Return whether the summary is logged. Raises `ValueError` if the environment variable has an invalid value."""
    return flag(LOG_STATS) is not False


def log_backtest(sources: Sequence[Observed]) -> None:
    """Log what the sources of a backtest have done, in one line, if any of them has used the store."""
    ours = [source for source in sources if getattr(source, "use_duckdb", False) and source.uses_store]
    done = sum((source.telemetry_since_last_report() for source in ours), Telemetry())
    if done != Telemetry() and ours[0].log_stats:
        log_line(f"DuckDB: {done}", after="\n")  # Lumibot's progress bar does not end its line


def log_line(line: str, *, after: str = "") -> None:
    """Log a line at INFO, as Lumibot does; where that is silenced, as in most backtests, print it to standard error.

    `after` is printed before it.
    """
    if logger.isEnabledFor(logging.INFO):
        logger.info("%s", line)
    else:
        print(f"{after}{line}", file=sys.stderr)


def _count(number: int, noun: str) -> str:
    return f"{number or 'no'} {noun}{'' if number == 1 else 's'}" if number < 1000 else f"{number:,} {noun}s"


def _size(number: int) -> str:
    if number < 1_000_000:
        return f"{-(-number // 1000)} KB"
    return f"{number / 1e6:,.{0 if number >= 10_000_000 else 1}f} MB"
