"""Downloads from a user's provider: what is requested, which responses are valid, and what is requested again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pandas as pd

from lumibot_duckdb.sources.custom.failures import explain
from lumibot_duckdb.sources.custom.symbols import symbol_of
from lumibot_duckdb.sources.provider import BarProvider, BarRequest, BarResponse
from lumibot_duckdb.sources.shared.downloaded_series import Delivery
from lumibot_duckdb.sources.shared.errors import ProviderError
from lumibot_duckdb.sources.shared.progress import downloading
from lumibot_duckdb.sources.shared.rate_limit import RateLimit
from lumibot_duckdb.sources.shared.retry import call_with_retries
from lumibot_duckdb.storage.api import SeriesKey, TimeRange
from lumibot_duckdb.storage.bars.coverage import merged, missing
from lumibot_duckdb.storage.times import bar_starts, moment_of

_COLUMNS = ("open", "high", "low", "close", "volume")


def download(
    provider: BarProvider, key: SeriesKey, pieces: Sequence[TimeRange], limit: RateLimit, *, progress: bool = True
) -> Iterator[Delivery]:
    """Request pieces of a series from a provider, and yield its responses as they arrive.

    After a transient failure, what has not arrived is requested again.

    Raises:
        ProviderError: the provider cannot be reached or refuses, a response is unusable, or the provider returned
            before it had answered for all pieces.
    """
    responses = _Responses(provider, key, pieces, progress)
    name, series = type(provider).__name__, responses.request.name
    total = _seconds(pieces)
    with downloading(f"{series} from {name}", total, shown=progress) as bar:
        while True:
            response = call_with_retries(responses.next, limit, name=name, explain=lambda error: explain(error, name))
            if response is None:
                break
            _check(f"{name}.bars({series})", response)
            responses.record(TimeRange(response.start, response.end))
            yield Delivery(TimeRange(response.start, response.end), response.bars, response.metadata)
            bar.done = total - _seconds(responses.missing)
    _refuse_gaps(f"{name}.bars({series})", responses.missing)


class _Responses:
    """The responses of a provider, one after the other."""

    def __init__(self, provider: BarProvider, key: SeriesKey, pieces: Sequence[TimeRange], progress: bool) -> None:
        self._provider = provider
        self._key = key
        self._progress = progress
        self._responses: Iterator[BarResponse] | None = None
        self.missing = list(pieces)
        """What no response has covered so far."""

    @property
    def request(self) -> BarRequest:
        """The request for what is missing."""
        asset = self._key.asset
        return BarRequest(
            symbol=symbol_of(asset),
            timeframe=self._key.timeframe,
            ranges=tuple((piece.start, piece.end) for piece in self.missing),
            asset_type=asset.asset_type,
            adjustment=self._key.adjustment,
            progress=self._progress,
        )

    def next(self) -> BarResponse | None:
        """Return the next response, or None after the last. An iterator that failed is not used again."""
        if self._responses is None:
            self._responses = iter(self._provider.bars(self.request))
        try:
            return next(self._responses, None)
        except BaseException:
            self._responses = None
            raise

    def record(self, within: TimeRange) -> None:
        """Record that a response has arrived for a range."""
        self.missing = merged(gap for piece in self.missing for gap in missing(piece, [within]))


def _seconds(ranges: Sequence[TimeRange]) -> int:
    return sum(each.end - each.start for each in ranges)


def _check(name: str, response: object) -> None:
    """Raise `ProviderError` for a response whose contents are not what the protocol demands."""
    if not isinstance(response, BarResponse):
        raise ProviderError(f"{name} must yield BarResponse objects, not {type(response).__qualname__}")
    where = f"{name} for {moment_of(response.start)} to {moment_of(response.end)}"
    if response.end <= response.start:
        raise ProviderError(f"{where}: a response must end after it starts")
    if not isinstance(response.bars, pd.DataFrame):
        raise ProviderError(f"{where}: bars must be a pandas DataFrame, not {type(response.bars).__qualname__}")
    if response.bars.empty:
        return
    lacking = [column for column in _COLUMNS if column not in response.bars]
    if lacking:
        raise ProviderError(f"{where}: the bars have no column {', '.join(lacking)}")
    if not isinstance(response.bars.index, pd.DatetimeIndex) or response.bars.index.tz is None:
        raise ProviderError(
            f"{where}: the bars must be indexed by their starts with a time zone; "
            "use pd.to_datetime(..., utc=True), or tz_localize for local times"
        )
    starts = bar_starts(response.bars)
    outside = starts[(starts < response.start) | (starts >= response.end)]
    if len(outside):
        raise ProviderError(
            f"{where}: the bar of {moment_of(int(outside[0]))} starts outside of the response; "
            "cut the bars, or report the range that they cover"
        )


def _refuse_gaps(name: str, gaps: Sequence[TimeRange]) -> None:
    """Raise `ProviderError` if the provider stopped early: the backtest would take the gap for a time without bars."""
    if gaps:
        listed = ", ".join(f"{moment_of(gap.start)} to {moment_of(gap.end)}" for gap in gaps[:3])
        raise ProviderError(
            f"{name} did not answer for {listed}"
            f"{', ...' if len(gaps) > 3 else ''}; yield a response without bars for a range that has none"
        )
