"""`data_source.indicators(...)`: the indicators of the package's catalogue as of a backtest's time."""

from __future__ import annotations

import threading
from abc import abstractmethod
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import ceil, isfinite
from typing import TYPE_CHECKING, Any

from lumibot_duckdb.analytics.errors import IndicatorError
from lumibot_duckdb.storage.errors import SeriesNotFoundError
from lumibot_duckdb.storage.identity import FIAT, asset_query
from lumibot_duckdb.storage.timeframes import bar_seconds, canonical_timeframe, count_and_unit
from lumibot_duckdb.storage.times import SECONDS_PER_DAY, EpochSeconds, epoch_seconds

if TYPE_CHECKING:
    import pandas as pd

    from lumibot_duckdb.analytics.indicator_values import IndicatorValues
    from lumibot_duckdb.analytics.requests import Request
    from lumibot_duckdb.windows.indicator_window import ClosedBars, IndicatorWindow
    from lumibot_duckdb.windows.series_view import SeriesView
    from lumibot_duckdb.windows.window import MemoryBudget

_DAYS_OF_A_LONG_WEEKEND = 5


@dataclass(frozen=True, slots=True)
class SeenBars:
    """The bars of an asset from which a source computes indicators at its present time.

    Parameters:
        view: all bars of the pinned version, closed or not.
        stored: their timeframe.
        visible_until: Lumibot shows the bars that begin before this; None: all that have closed.
        delay: seconds by which bars may close later than their timeframe says.
    """

    view: SeriesView
    stored: str
    visible_until: EpochSeconds | None = None
    delay: int = 0


@dataclass(frozen=True, slots=True)
class _Opened:
    """A window over a view that has at least as many bars as are `needed`; the source was asked for `loaded` ones."""

    view: SeriesView
    window: IndicatorWindow
    needed: int
    loaded: int


class ComputesIndicators:
    """Mix-in for a data source on the store: indicators as of the backtest's time."""

    budget: MemoryBudget

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._indicator_windows: dict[tuple[Any, ...], _Opened] = {}
        self._indicator_values: dict[tuple[Request, ...], IndicatorValues] = {}
        self._computing = threading.RLock()  # Lumibot sends requests from several threads
        super().__init__(*args, **kwargs)

    @abstractmethod
    def bars_for_indicators(self, asset: Any, quote: Any, timeframe: str, length: int) -> SeenBars | None:
        """Return bars of a timeframe, or bars that it can be made of; None if there are none.

        A source that downloads bars loads as many as a request for `length` bars would.
        """

    def symbols_to_suggest(self) -> Collection[str]:
        """Return the symbols among which a similar one is looked for if there are no bars: those in the store."""
        from lumibot_duckdb.analytics.series import stored_symbols

        return stored_symbols(self.storage)  # type: ignore[attr-defined]

    def indicators(
        self,
        assets: Any,
        indicators: str | Iterable[str],
        timestep: str = "day",
        length: int = 1,
        *,
        quote: Any = None,
    ) -> pd.DataFrame:
        """Return indicators of one asset or of many as of the backtest's time, from closed bars only.

        The values are those that `storage.indicators` computes from the full stored history (to 1e-9 where an
        indicator depends on all earlier bars), in the version that this backtest has pinned. They are computed for a
        window of bars, so calling this in each iteration is cheap.

        Parameters:
            assets: a symbol, an `Asset` or a (base, quote) pair; or a list of them.
            indicators: indicators with their parameters, such as "rsi(14)"; see `storage.indicators`.
            timestep: the length of the bars, in any usual spelling. Bars that the source does not have are made of its
                smaller ones.
            length: how many bars to return, the newest last.
            quote: the quote asset of assets that are no pairs, as for `get_historical_prices`.

        Returns:
            The last `length` bars that have closed (fewer if there are fewer), as `storage.indicators` returns them:
            the close and a column for each output, indexed by bar start in New York time. For a list, the rows of all
            assets, with the columns `asset_symbol` and `timestamp`. Values for which there are too few bars are NaN.

        Raises:
            IndicatorError: an indicator is unknown or has a wrong parameter, or the asset's bars do not fit.
            MissingLibraryError: `kama`, `psar` or `supertrend`, without TA-Lib.
            SeriesNotFoundError: this source has no bars of an asset, or none that the timestep can be made of.
            ValueError: `timestep` is not a timeframe, or `length` is not a positive whole number.

        Example:
            >>> from datetime import datetime
            >>> import pandas as pd
            >>> from lumibot.entities import Asset, Data
            >>> from lumibot_duckdb.backtesting import PandasDataBacktesting
            >>> days = pd.date_range("2024-01-02", periods=9, tz="America/New_York")
            >>> bars = pd.DataFrame({name: range(10, 19) for name in ("open", "high", "low", "close")}, index=days)
            >>> data = Data(Asset("AAA"), bars.assign(volume=1).astype(float), timestep="day")
            >>> source = PandasDataBacktesting(datetime(2024, 1, 8), datetime(2024, 1, 10), pandas_data=[data])
            >>> _ = source.load_data()
            >>> source._update_datetime(pd.Timestamp("2024-01-08 09:30", tz="America/New_York"))
            >>> source.indicators("AAA", "sma(3)", length=2)
                                       close  sma_3
            datetime
            2024-01-06 00:00:00-05:00   14.0   13.0
            2024-01-07 00:00:00-05:00   15.0   14.0
        """
        if type(length) is not int or length < 1:
            raise ValueError(f"length must be a whole number of bars from 1 on, not {length!r}")
        requests = _requested(indicators)
        timeframe = canonical_timeframe(timestep)
        now = epoch_seconds(self.get_datetime())  # type: ignore[attr-defined]
        with self._computing:
            if isinstance(assets, (str, tuple)) or not isinstance(assets, Iterable):
                found, window = self._closed_bars(assets, quote, timeframe, requests, length, now)
                return window.empty_frame() if found is None else found.frame()
            several = [(each, *self._closed_bars(each, quote, timeframe, requests, length, now)) for each in assets]
        from lumibot_duckdb.windows.indicator_frames import long_frame

        columns = ("close", *(column for request in requests for column in request.columns))
        return long_frame([(each, found) for each, found, _ in several if found is not None], columns)

    def release_indicators(self) -> None:
        """Release the memory of all indicators. They are computed again when they are needed."""
        with self._computing:
            self._indicator_windows.clear()
            for values in self._indicator_values.values():
                values.close()
            self._indicator_values.clear()

    def _closed_bars(
        self, asset: Any, quote: Any, timeframe: str, requests: tuple[Request, ...], length: int, now: EpochSeconds
    ) -> tuple[ClosedBars | None, IndicatorWindow]:
        key, needed = (asset, quote, timeframe, requests), length + _bars_before(requests, timeframe)
        known = self._indicator_windows.get(key)
        if known is not None and known.needed >= needed:
            seen = self.bars_for_indicators(_asset_of(asset), quote, timeframe, known.loaded)
            if seen is not None and seen.view is known.view:
                return known.window.closed_bars(now - seen.delay, seen.visible_until, length), known.window
        known, seen = self._open(asset, quote, timeframe, requests, needed, now)
        self._indicator_windows[key] = known
        return known.window.closed_bars(now - seen.delay, seen.visible_until, length), known.window

    def _open(
        self, asset: Any, quote: Any, timeframe: str, requests: tuple[Request, ...], needed: int, now: EpochSeconds
    ) -> tuple[_Opened, SeenBars]:
        """Open a window, with as many bars before it as values need, if the source has them or can load them.

        A source may load fewer than requested, because it does not know for how long a market is open each day.
        """
        loaded = needed
        seen = self.bars_for_indicators(_asset_of(asset), quote, timeframe, loaded)
        if seen is None:
            raise _no_bars(asset, quote, timeframe, self.symbols_to_suggest())
        window = self._new_window(seen, timeframe, requests)
        while window.bars_before(now) < needed:
            more = self.bars_for_indicators(_asset_of(asset), quote, timeframe, 2 * loaded)
            if more is None or more.view.facts.rows <= seen.view.facts.rows:
                break
            loaded, seen, window = 2 * loaded, more, self._new_window(more, timeframe, requests)
        return _Opened(seen.view, window, needed, loaded), seen

    def _new_window(self, seen: SeenBars, timeframe: str, requests: tuple[Request, ...]) -> IndicatorWindow:
        from lumibot_duckdb.analytics.indicator_values import IndicatorValues
        from lumibot_duckdb.analytics.series import divides
        from lumibot_duckdb.analytics.series_bars import BarsInTimeframe
        from lumibot_duckdb.windows.indicator_window import IndicatorWindow

        if seen.stored != timeframe and not divides(seen.stored, timeframe):
            raise IndicatorError(
                f"{seen.view.label}: bars of {timeframe!r} cannot be made of these; pass timestep={seen.stored!r}, or "
                "a multiple"
            )
        values = self._indicator_values.get(requests)
        if values is None:
            values = self._indicator_values[requests] = IndicatorValues(requests, "America/New_York")
        series = BarsInTimeframe(seen.view, seen.stored, timeframe)
        return IndicatorWindow(series, values, self.budget, seen.view.index_of)


def _requested(indicators: str | Iterable[str]) -> tuple[Request, ...]:
    from lumibot_duckdb.analytics.requests import request_list

    return _parsed(tuple(map(str, request_list(indicators))))


@lru_cache(maxsize=256)
def _parsed(texts: tuple[str, ...]) -> tuple[Request, ...]:
    from lumibot_duckdb.analytics.requests import parsed_requests

    return parsed_requests(texts)


@lru_cache(maxsize=256)
def _bars_before(requests: Sequence[Request], timeframe: str) -> int:
    """Return how many bars before the newest one a source should load; those of the whole history do not count."""
    from lumibot_duckdb.analytics.warm_up import Reach

    numbers = [0]
    for warm_up in (request.warm_up for request in requests):
        if isfinite(warm_up.bars):
            numbers.append(int(warm_up.bars))
        elif warm_up.reach is not Reach.ALL:
            numbers.append(ceil(_DAYS_OF_A_LONG_WEEKEND * SECONDS_PER_DAY / bar_seconds(timeframe)))
    return max(numbers)


@lru_cache(maxsize=256)
def lumibots_timestep(timeframe: str) -> tuple[str, int]:
    """Return the unit in which Lumibot counts bars of a timeframe, and how many of them one bar is.

    >>> lumibots_timestep("5minute"), lumibots_timestep("week")
    (('minute', 5), ('day', 7))
    """
    count, unit = count_and_unit(timeframe)
    if unit in ("week", "month"):
        return "day", bar_seconds(timeframe) // SECONDS_PER_DAY
    return (unit, count) if unit != "second" else ("minute", 1)


def _asset_of(asset: Any) -> Any:
    """Return what Lumibot takes as an asset: an `Asset`, or a pair of them."""
    if isinstance(asset, str):
        return _asset_of_text(asset)
    if isinstance(asset, tuple) and len(asset) == 2 and isinstance(asset[1], str):
        base, quote = asset
        return _asset_of_text((base, quote)) if isinstance(base, str) else (base, _quote_of_text(quote))
    return asset


@lru_cache(maxsize=1024)
def _asset_of_text(text: str | tuple[str, str]) -> Any:
    """Return the stock of a symbol, or the pair that a text such as "BTC/USD" or ("BTC", "USD") means."""
    from lumibot.entities import Asset

    key = asset_query(text).key
    if key.quote is None:
        return Asset(key.symbol)
    return Asset(key.symbol, key.asset_type or "crypto"), _quote_of_text(key.quote)


@lru_cache(maxsize=64)
def _quote_of_text(symbol: str) -> Any:
    from lumibot.entities import Asset

    return Asset(symbol, "forex" if symbol in FIAT else "crypto")


def _no_bars(asset: Any, quote: Any, timeframe: str, symbols: Collection[str]) -> SeriesNotFoundError:
    from lumibot_duckdb.analytics.series import suggested_symbol

    named, hint = str(asset), "" if quote is not None else "; pass a pair as (base, quote)"
    if isinstance(asset, tuple):
        named, hint = "/".join(str(part) for part in asset), "; several assets are a list"
    return SeriesNotFoundError(
        f"this backtest has no bars of {named}, or none that bars of {timeframe!r} can be made of: check the symbol "
        f"and the timestep{hint}{suggested_symbol(_base_symbol(asset), symbols)}"
    )


def _base_symbol(asset: Any) -> str:
    base = _asset_of(asset)
    base = base[0] if isinstance(base, tuple) else base
    return str(getattr(base, "symbol", base))
