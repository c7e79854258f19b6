"""Downloads from a user's provider: what is asked of it, and what it may answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd
from tqdm import tqdm

from lumibot_duckdb.sources.custom.symbols import symbol_of
from lumibot_duckdb.sources.provider import BarProvider, BarRequest, BarResponse
from lumibot_duckdb.sources.shared.downloaded_series import Delivery
from lumibot_duckdb.sources.shared.errors import ProviderError
from lumibot_duckdb.storage.api import SeriesKey, TimeRange
from lumibot_duckdb.storage.bars.coverage import merged, missing
from lumibot_duckdb.storage.times import bar_starts, moment_of

_PRICES = ("open", "high", "low", "close", "volume")


def download(
    provider: BarProvider, key: SeriesKey, pieces: Sequence[TimeRange], *, progress: bool = True
) -> Iterator[Delivery]:
    """Ask a provider for pieces of a series, and yield its responses as they arrive.

    Raises:
        ProviderError: a response is unusable, or the provider returned without answering for all pieces.
    """
    request = BarRequest(
        symbol=symbol_of(key.asset),
        timeframe=key.timeframe,
        ranges=tuple((piece.start, piece.end) for piece in pieces),
        asset_type=key.asset.asset_type,
        adjustment=key.adjustment,
        progress=progress,
    )
    answered: list[TimeRange] = []
    total = sum(piece.end - piece.start for piece in pieces)
    with _progress_bar(request, total) as bar:
        for response in provider.bars(request):
            _check(provider, request, response)
            within = TimeRange(response.start, response.end)
            before = _unanswered(pieces, answered)
            answered = merged([*answered, within])
            yield Delivery(within, response.bars, response.metadata)
            bar.update(before - _unanswered(pieces, answered))
    _refuse_gaps(provider, request, pieces, answered)


def _progress_bar(request: BarRequest, total: int) -> tqdm[Any]:
    return tqdm(
        total=total,
        desc=f"Downloading {request.name}",
        bar_format="{desc}: {percentage:3.0f}%|{bar}| {elapsed}<{remaining}",
        dynamic_ncols=True,
        disable=None if request.progress else True,
    )


def _unanswered(pieces: Sequence[TimeRange], answered: Sequence[TimeRange]) -> int:
    """Return how many seconds of the pieces have not been answered for."""
    return sum(gap.end - gap.start for piece in pieces for gap in missing(piece, answered))


def _check(provider: BarProvider, request: BarRequest, response: object) -> None:
    """Refuse a response that the store cannot take as what it claims to be."""
    name = f"{type(provider).__name__}.bars({request.name})"
    if not isinstance(response, BarResponse):
        raise ProviderError(f"{name} must yield BarResponse objects, not {type(response).__qualname__}")
    where = f"{name} for {moment_of(response.start)} to {moment_of(response.end)}"
    if response.end <= response.start:
        raise ProviderError(f"{where}: a response must end after it starts")
    if not isinstance(response.bars, pd.DataFrame):
        raise ProviderError(f"{where}: bars must be a pandas DataFrame, not {type(response.bars).__qualname__}")
    if response.bars.empty:
        return
    lacking = [column for column in _PRICES if column not in response.bars]
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


def _refuse_gaps(
    provider: BarProvider, request: BarRequest, pieces: Sequence[TimeRange], answered: Sequence[TimeRange]
) -> None:
    """Refuse an answer that ends early: the backtest would take a gap for a time without bars."""
    gaps = [gap for piece in pieces for gap in missing(piece, answered)]
    if gaps:
        listed = ", ".join(f"{moment_of(gap.start)} to {moment_of(gap.end)}" for gap in gaps[:3])
        raise ProviderError(
            f"{type(provider).__name__}.bars({request.name}) did not answer for {listed}"
            f"{', ...' if len(gaps) > 3 else ''}; yield a response without bars for a range that has none"
        )
