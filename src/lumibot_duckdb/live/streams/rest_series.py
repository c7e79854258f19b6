"""Bars of one series from a provider's REST API, with what the answers prove."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import timedelta

import numpy as np

from lumibot_duckdb import clock
from lumibot_duckdb.live.live_bars import LiveBars
from lumibot_duckdb.sources.provider import BarProvider, BarRequest
from lumibot_duckdb.sources.shared.errors import ProviderError
from lumibot_duckdb.sources.shared.evidence import Evidence
from lumibot_duckdb.sources.shared.provider_clock import ProviderClock
from lumibot_duckdb.sources.shared.trading_hours import hours_of
from lumibot_duckdb.storage.api import SeriesKey, TimeRange
from lumibot_duckdb.storage.bars.coverage import common, in_ranges, merged, missing
from lumibot_duckdb.storage.timeframes import bar_seconds
from lumibot_duckdb.storage.times import bar_starts, epoch_seconds

_PRICES = ("open", "high", "low", "close")


@dataclass(frozen=True)
class RestSeries:
    """A series, and the provider that has its bars.

    Attributes:
        key: The series.
        provider: The provider.
        symbol: The provider's name of the asset.
        delay: For how many seconds after their end the provider withholds bars.
        clock: The provider's clock, which decides which bars have closed; by default that of this computer.
        check: Called before bars are added to stored ones, to restate those if their adjustment is out of date.
    """

    key: SeriesKey
    provider: BarProvider
    symbol: str
    delay: int = 0
    clock: ProviderClock = field(default_factory=ProviderClock)
    check: Callable[[], None] | None = None

    @property
    def length(self) -> int:
        """The length of a bar in seconds."""
        return bar_seconds(self.key.timeframe)

    def read(self, ranges: Sequence[TimeRange], *, only: Sequence[TimeRange] | None = None) -> Iterator[LiveBars]:
        """Request ranges in which all bars have closed; yield each answer with the ranges that it proves.

        `only` are the parts of the ranges that are wanted; the others are requested for what they prove.

        An answer proves the time between its first and its last bar, and outside of that only the time when the market
        was closed. So a machine whose clock is ahead does not take bars that do not exist yet for missing ones.

        Raises:
            ProviderError: The bars cannot be downloaded, or are implausible.
        """
        here = clock.utc_now()
        request = BarRequest(
            self.symbol,
            self.key.timeframe,
            tuple((each.start, each.end) for each in ranges),
            self.key.asset.asset_type,
            adjustment=self.key.adjustment,
            progress=False,
        )
        evidence = Evidence(hours_of(self.key.asset), self.key.timeframe)
        with closing(self.provider.bars(request)) as answers:  # type: ignore[type-var]
            for answer in answers:
                asked_at = here + timedelta(seconds=self.clock.seconds_ahead)
                starts = bar_starts(answer.bars)
                proof = evidence.add(TimeRange(answer.start, answer.end), starts)
                proven = [*missing(TimeRange(answer.start, answer.end), proof.provisional), *proof.proven_before]
                covered = tuple(merged(common(proven, ranges if only is None else only)))
                kept = in_ranges(starts, covered) & (starts + self.length <= epoch_seconds(asked_at))
                bars = answer.bars[kept]
                if not all(bool((np.isfinite(bars[name]) & (bars[name] > 0)).all()) for name in _PRICES):
                    raise ProviderError(f"the bars of {self.symbol} have prices that are not positive numbers")
                if covered:
                    yield LiveBars(self.key, bars, covered, asked_at, dict(answer.metadata))
