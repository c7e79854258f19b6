"""The provider protocol: one method that takes a request for bars and yields responses.

Every provider implements it: Polygon, Yahoo, Alpaca, ccxt, and those of users. A provider knows its own API, and
neither Lumibot nor the store. The source that uses it decides what is missing, stores what arrives, and shows the bars
to a strategy. What providers share (retries, rate limits, error messages, progress bars) is in `sources/shared/`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any, ClassVar

from lumibot_duckdb.sources.retry_policy import RetryPolicy

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class BarRequest:
    """A request for the bars of one series.

    Parameters:
        symbol: the asset. A user's provider gets "AAPL", the OCC symbol "SPY240119C00470000" or "BTC/USDT"
            (`custom/symbols.py`); built-in providers get their own names of it ("O:SPY240119C00470000").
        timeframe: a canonical timeframe. A user's provider gets one of its `timeframes`.
        ranges: half-open ranges `(start, end)` of bar starts in epoch seconds (UTC), in order and without overlap.
        asset_type: Lumibot's word for what the symbol is: "stock", "option", "crypto", "forex", "index", "future", ...
        adjustment: which adjusted prices are wanted, in the provider's word ("split", "all"); empty for its default. A
            provider that has only one kind ignores it.
        label: what progress bars and errors call the asset; empty for the symbol.
        progress: whether a progress bar may be shown.
    """

    symbol: str
    timeframe: str
    ranges: tuple[tuple[int, int], ...]
    asset_type: str = "stock"
    adjustment: str = ""
    label: str = ""
    progress: bool = True

    @property
    def name(self) -> str:
        """What progress bars and errors call the series."""
        return f"{self.label or self.symbol} {self.timeframe}"


@dataclass(frozen=True, slots=True)
class BarResponse:
    """All bars that start within a half-open range `[start, end)` of epoch seconds.

    The range may be a part of a requested one, or reach beyond it: some APIs answer with whole days, or with everything
    until now.

    Parameters:
        start, end: the range.
        bars: a frame with at least the columns open, high, low, close and volume, indexed by tz-aware bar starts, each
            of them once. A frame without rows (it may lack columns) means that the range has no bars.
        metadata: what the provider says about the bars, as JSON values. It is stored with the bars.
    """

    start: int
    end: int
    bars: pd.DataFrame
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StockSplit:
    """On `ex_date`, each `split_from` shares became `split_to`."""

    ex_date: date
    split_from: float
    split_to: float


class BarProvider(ABC):
    """A source of bars. Only `bars` has to be implemented."""

    timeframes: ClassVar[Sequence[str]] = ("minute", "hour", "day")
    """The timeframes that the provider offers, a selection of "minute", "hour" and "day"."""

    retry_policy: ClassVar[RetryPolicy] = RetryPolicy()
    """How requests are repeated that fail or exceed a rate limit. Built-in providers take one when they are made."""

    @abstractmethod
    def bars(self, request: BarRequest) -> Iterator[BarResponse]:
        """Yield the requested bars as they arrive, in any order and in pieces of any length.

        Each piece is stored as soon as it is yielded, so an interrupted download resumes where it stopped. Responses
        that were yielded before an exception are kept. If this is a generator, closing it stops the download.

        Raises:
            ValueError: the provider does not have the timeframe.
            ProviderError: the bars cannot be downloaded; the message says why and what to do.
        """

    def splits(self, symbol: str) -> Sequence[StockSplit] | None:
        """Return all splits of a stock, if the provider adjusts its prices for them; None if it does not.

        A split restates all earlier prices. When a new one appears, the stored bars of the stock are downloaded again.
        """
        return None
