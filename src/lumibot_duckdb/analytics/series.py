"""Finds the series that a timeframe is read from: the one with such bars, or one with smaller ones."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from lumibot_duckdb.analytics.errors import IndicatorError
from lumibot_duckdb.analytics.series_bars import BarsInTimeframe, PinnedBars
from lumibot_duckdb.storage.api import AsOf, AssetLike, BarReader, SeriesPin
from lumibot_duckdb.storage.errors import SeriesNotFoundError, StoreNotFoundError
from lumibot_duckdb.storage.identity import asset_query, published_name
from lumibot_duckdb.storage.timeframes import bar_seconds, canonical_timeframe, timeframe_unit
from lumibot_duckdb.storage.times import SECONDS_PER_DAY

_SYMBOLS = """
    SELECT DISTINCT symbol
    FROM asset JOIN series USING (asset_id) JOIN ingest ON ingest.version_id = series.current_version
    WHERE version_rows > 0
"""


@dataclass(frozen=True, slots=True)
class ChosenSeries:
    """A pinned series, and the timeframe that its bars are shown in."""

    pin: SeriesPin
    timeframe: str

    @property
    def as_stored(self) -> bool:
        """Whether the series has bars of the timeframe."""
        return self.pin.key.timeframe == self.timeframe

    @property
    def symbol(self) -> str:
        """The name of the asset in the published view."""
        return published_name(self.pin.key.asset)

    @property
    def label(self) -> str:
        """A name for people."""
        return self.pin.key.label()

    def bars(self, storage: BarReader) -> BarsInTimeframe:
        """Return the bars, unread."""
        return BarsInTimeframe(PinnedBars(storage, self.pin), self.pin.key.timeframe, self.timeframe)


def chosen_series(
    storage: BarReader,
    assets: Sequence[AssetLike],
    timeframe: str,
    source: str | None,
    adjustment: str | None,
    as_of: AsOf | None,
) -> list[ChosenSeries]:
    """Return the series of some assets, each once.

    Raises the errors of `BarReader.pin`, and `IndicatorError` if two assets have the same name.
    """
    wanted = canonical_timeframe(timeframe)
    found = [_chosen(storage, asset, wanted, source, adjustment, as_of) for asset in assets]
    series = list({each.pin.series_id: each for each in found}.values())
    names: dict[str, ChosenSeries] = {}
    for each in series:
        other = names.setdefault(each.symbol, each)
        if other is not each:
            raise IndicatorError(
                f"{other.label} and {each.label} have the same asset_symbol, {each.symbol}: request them separately"
            )
    return series


def _chosen(
    storage: BarReader,
    asset: AssetLike,
    timeframe: str,
    source: str | None,
    adjustment: str | None,
    as_of: AsOf | None,
) -> ChosenSeries:
    """Return the series with bars of a timeframe, or the one with the largest bars that these can be made of.

    If none was stored yet, the error is that of the timeframe, if it is stored now, or that of the largest ones.
    """

    def pinned(stored: str) -> ChosenSeries:
        return ChosenSeries(storage.pin(asset, stored, source, adjustment=adjustment, as_of=as_of), timeframe)

    try:
        return pinned(timeframe)
    except SeriesNotFoundError as error:
        refused = SeriesNotFoundError(f"{error}{_suggestion(storage, asset)}")
    stored = _stored_timeframes(storage, asset, source, adjustment)
    parts = sorted((each for each in stored if divides(each, timeframe)), key=bar_seconds, reverse=True)
    for part in parts:
        try:
            return pinned(part)
        except SeriesNotFoundError as error:
            if part == parts[0] and timeframe not in stored:
                refused = error
    raise refused from None


def _suggestion(storage: BarReader, asset: AssetLike) -> str:
    """Return "; did you mean ...?" for a symbol that the store does not have, if it has a similar one; else nothing."""
    return suggested_symbol(asset_query(asset).key.symbol, stored_symbols(storage))


def stored_symbols(storage: BarReader) -> list[str]:
    """Return the symbols of which the store has bars; none if there is no store yet.

    Assets are also in the store if a provider has answered that it has no bars of them.
    """
    try:
        symbols: list[str] = storage.sql(_SYMBOLS)["symbol"].to_pylist()
    except StoreNotFoundError:
        return []
    return symbols


def suggested_symbol(symbol: str, known: Collection[str]) -> str:
    """Return "; did you mean ...?" for a symbol that is not known, if a similar one is; else nothing."""
    similar = [] if symbol in known else get_close_matches(symbol, known, n=1, cutoff=0.6)
    return f"; did you mean {similar[0]}?" if similar else ""


def _stored_timeframes(storage: BarReader, asset: AssetLike, source: str | None, adjustment: str | None) -> set[str]:
    return {
        info.key.timeframe for info in storage.list_series(asset, source) if adjustment in (None, info.key.adjustment)
    }


def divides(part: str, timeframe: str) -> bool:
    """Return whether bars of a timeframe can be made of smaller ones; the macro `chosen_series` has the same rule."""
    smaller, larger = bar_seconds(part), bar_seconds(timeframe)
    unit, unit_of_part = timeframe_unit(timeframe), timeframe_unit(part)
    if unit_of_part == "month" or (unit_of_part in ("day", "week") and unit in ("hour", "minute", "second")):
        return False
    if unit in ("hour", "minute", "second") and larger > SECONDS_PER_DAY:
        return False  # they begin anew each day
    return smaller < larger and (SECONDS_PER_DAY if unit == "month" else larger) % smaller == 0
