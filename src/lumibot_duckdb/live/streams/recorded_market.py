"""What a recorder needs to know of a provider: its stream, and where the same bars come from once they are settled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lumibot_duckdb.live.streams.bar_stream import BarStream
from lumibot_duckdb.live.streams.rest_series import RestSeries


@dataclass(frozen=True)
class RecordedSeries:
    """The two series of a recorded asset.

    Attributes:
        live: The series of the stream's bars, read from the same feed by REST.
        settled: The series that backtests use.
    """

    live: RestSeries
    settled: RestSeries


@dataclass(frozen=True)
class RecordedMarket:
    """The stream of a provider and the series of its assets.

    Attributes:
        name: The provider and the feed, for people.
        stream: The stream.
        series: The series of each asset.
        check: Raises `ProviderError` if the provider does not accept the key, or does not know an asset.
    """

    name: str
    stream: BarStream
    series: tuple[RecordedSeries, ...]
    check: Callable[[], None]
