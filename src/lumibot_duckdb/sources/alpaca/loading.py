"""Loads the frames of a backtest on Alpaca, which its data store holds by Lumibot's keys."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import date, datetime, timedelta, timezone, tzinfo
from typing import Any

from alpaca.data.requests import CryptoBarsRequest, OptionBarsRequest
from lumibot.backtesting.alpaca_backtesting import AlpacaOptionHistoryUnavailable
from lumibot.entities import Asset

from lumibot_duckdb.lumibot_contract.alpaca_hooks import AlpacaHooks
from lumibot_duckdb.sources.alpaca.actions import ADJUSTED, SOURCE, SPLIT_ADJUSTED
from lumibot_duckdb.sources.alpaca.downloads import AlpacaDownloads
from lumibot_duckdb.sources.alpaca.frames import Frame, FrameBuilder, RequestedBars, first_second, last_second
from lumibot_duckdb.sources.alpaca.steps import Step
from lumibot_duckdb.sources.shared.downloaded_series import DownloadedSeries
from lumibot_duckdb.sources.shared.errors import ProviderError
from lumibot_duckdb.sources.shared.progress import shows_loading
from lumibot_duckdb.storage.api import SeriesKey, TimeRange
from lumibot_duckdb.storage.errors import StorageError
from lumibot_duckdb.storage.identity import asset_key
from lumibot_duckdb.storage.timeframes import canonical_timeframe
from lumibot_duckdb.windows.series_with_returns import SeriesWithReturns

_OURS = (ProviderError, StorageError)
"""Errors that say what to do; they are not wrapped in Lumibot's."""


class FrameLoader:
    """Loads each frame of a source when it is first needed, and extends it backwards. Safe for several threads."""

    def __init__(self, source: AlpacaHooks, builder: FrameBuilder, downloads: AlpacaDownloads) -> None:
        self._source = source
        self._builder = builder
        self._downloads = downloads
        self._frames: dict[str, Frame] = {}
        self.series: dict[str, DownloadedSeries] = {}
        self._keys: dict[tuple[Any, Any, str], str] = {}
        self._attempts: set[tuple[str, int, str, date]] = set()
        self._reached: dict[str, datetime] = {}
        self._loading = threading.RLock()  # Lumibot requests bars from several threads

    @property
    def shows_progress(self) -> bool:
        """Whether the source shows what it loads."""
        return bool(self._source.shows_progress)

    # -- requests --------------------------------------------------------------------------------------------

    def frame_for(self, asset: Any, quote: Any, timestep: str) -> tuple[str, SeriesWithReturns]:
        """Return the frame that serves a request, loaded if it is not there yet, and its key."""
        source = self._source
        try:
            key = self.key_of(asset, quote, timestep)
            series = source.loaded_frames.get(key)
            if series is None or source.wants_refresh(key):
                key = self.load(asset, quote, timestep, source.data_start, source.data_end, source.is_adjusted)
                series = source.loaded_frames[key]
        except _OURS:
            raise
        except Exception as error:
            raise RuntimeError(f"Unable to fetch historical prices during backtest: {error}") from error
        return key, series

    def option_frame_for(self, asset: Any, quote: Any, timestep: str) -> tuple[str, SeriesWithReturns]:
        """Return the frame of an option's trades, empty if there are none (which is logged once), and its key."""
        source = self._source
        base, quote = source.base_and_quote(asset, quote)
        key = self.key_of(base, quote, timestep)
        if key not in source.loaded_frames:
            source.load_option_frame(base, quote, timestep)
        return key, source.loaded_frames[key]

    def key_of(self, asset: Any, quote: Any, timestep: str) -> str:
        """Return Lumibot's key of the frame of the backtest's own window."""
        known = self._keys.get((asset, quote, timestep))
        if known is None:
            base, quoted = self._source.base_and_quote(asset, quote)
            known = self._source.frame_key(base_asset=base, quote_asset=quoted, timestep=timestep)
            self._keys[asset, quote, timestep] = known
        return known

    # -- loading ---------------------------------------------------------------------------------------------

    @shows_loading
    def load(
        self,
        asset: Any,
        quote: Any,
        timestep: str | None,
        start: datetime | None,
        end: datetime | None,
        adjusted: bool | None,
        zone: tzinfo | None = None,
        market: str | None = None,
    ) -> str:
        """Load a frame unless the data store has it; return its key. None stands for the backtest's own setting.

        As in Lumibot, the key is that of the backtest's own window even if another window is requested.
        """
        source = self._source
        if asset is None:
            raise ValueError("there is no asset to get bars of")
        quote = source.LUMIBOT_DEFAULT_QUOTE_ASSET if quote is None else quote
        asset, quote = source.base_and_quote(asset, quote)
        timestep = source.clock_timestep if timestep is None else timestep
        key = self.key_of(asset, quote, timestep)
        with self._loading:
            refreshes = source.wants_refresh(key)
            if refreshes or key not in source.loaded_frames:
                frame = Frame(
                    asset,
                    quote,
                    timestep,
                    source.tzinfo if zone is None else zone,
                    source.data_start if start is None else start,
                    source.data_end if end is None else end,
                    source.is_adjusted if adjusted is None else adjusted,
                )
                self.load_frame(frame, source.market if market is None else market)
            if refreshes:
                source.note_refresh(key)
        return key

    def load_frame(self, frame: Frame, market: str) -> SeriesWithReturns:
        """Load a frame into the data store, downloading what the store lacks.

        Raises:
            AlpacaOptionHistoryUnavailable: an option was never traded in the window.
            RuntimeError: there are no bars.
        """
        source = self._source
        with self._loading:
            key = source.frame_key(
                base_asset=frame.asset,
                quote_asset=frame.quote,
                timestep=frame.timestep,
                market=market,
                tzinfo=frame.zone,
                data_datetime_start=frame.start,
                data_datetime_end=frame.end,
                auto_adjust=frame.adjusted,
            )
            requested = self._requested(frame, frame.start, frame.end)
            option = requested.kind == "option"
            series = self._with_bars(frame, requested, key, may_be_empty=option)
            if not self._downloads.has_bars(series, requested.within):
                if option:
                    raise AlpacaOptionHistoryUnavailable(
                        f"Alpaca returned no option bars for {requested.symbol} between {frame.start.date()} and "
                        f"{frame.end.date()}. {source.OPTION_HISTORY_START_HINT}, and a contract that never traded in "
                        "the window has no bars. Its price is None for this backtest."
                    )
                raise RuntimeError(f"No data fetched for {key}.")
            self._frames[key] = frame
            self.series[key] = series
            made = source.loaded_frames[key] = self._builder.build(frame, series, requested, frame.start)
            return made

    # -- history before the window ---------------------------------------------------------------------------

    def reach_back(
        self, asset: Any, quote: Any, step: Step, now: datetime, length: int
    ) -> tuple[str, SeriesWithReturns] | None:
        """Return a frame extended backwards as far as a request needs, and its key; None if that adds no bars.

        Each request tries that once a day. A frame only ever grows backwards.
        """
        source = self._source
        base, quote = source.base_and_quote(asset, quote)
        key = self.key_of(base, quote, step.source)
        marker = (key, int(length), str(step.timestep), now.date())
        if marker in self._attempts:
            return None
        self._attempts.add(marker)
        until = self._reached.get(key) or source.data_start
        since = source.history_start(now, length, step.timestep)
        if since >= until:
            return None
        with self._loading:
            longer = self._extended(key, base, quote, step.source, since, until)
        self._reached[key] = since
        return None if longer is None else (key, longer)

    def _extended(
        self, key: str, asset: Asset, quote: Asset, timestep: str, since: datetime, until: datetime
    ) -> SeriesWithReturns | None:
        source = self._source
        frame = self._frames.get(key) or Frame(
            asset,
            quote,
            timestep,
            source.tzinfo,
            source.data_start,
            source.data_end,
            source.is_adjusted,
        )
        frame = replace(frame, adjusted=source.is_adjusted)
        before = replace(frame, start=since, end=until - timedelta(seconds=1))
        segment = self._requested(before, before.start, before.end, request_end=before.end)
        try:
            series = self._with_bars(before, segment, f"{key}_{since.date()}_HISTORY", may_be_empty=True, history=True)
        except _OURS:
            raise
        except Exception as error:
            raise RuntimeError(f"Failed to fetch history before the backtest window for {key}: {error}") from error
        if not self._downloads.has_bars(series, segment.within):
            return None
        longer = self._builder.build(frame, series, self._requested(frame, frame.start, frame.end), since)
        if len(longer) == len(source.loaded_frames[key]):
            return None
        source.loaded_frames[key] = longer
        self.series[key] = series
        return longer

    # -- downloads -------------------------------------------------------------------------------------------

    def _requested(self, frame: Frame, start: datetime, end: datetime, **settings: Any) -> RequestedBars:
        """Return what Lumibot would request from Alpaca, which is never the latest sixteen minutes."""
        request = self._source.request_for(
            base_asset=frame.asset,
            quote_asset=frame.quote,
            timestep=frame.timestep,
            data_datetime_start=start,
            data_datetime_end=end,
            auto_adjust=frame.adjusted,
            **settings,
        )
        kind = "stock"
        if isinstance(request, CryptoBarsRequest):
            kind = "crypto"
        elif isinstance(request, OptionBarsRequest):
            kind = "option"
        assert request.start is not None
        assert request.end is not None
        first = first_second(request.start.replace(tzinfo=timezone.utc))
        stop = last_second(request.end.replace(tzinfo=timezone.utc)) + 1
        return RequestedBars(kind, str(request.symbol_or_symbols), TimeRange(first, max(first, stop)))

    def _with_bars(
        self, frame: Frame, requested: RequestedBars, name: str, *, may_be_empty: bool, history: bool = False
    ) -> DownloadedSeries:
        """Return the series of a frame, with all bars in the store that it shows; see `AlpacaDownloads.ensure`.

        `history` says that the frame is before the backtest's window.
        """
        source = self._source
        size = source.alpacas_timeframe(frame.timestep)
        timeframe = canonical_timeframe(f"{size.amount}{size.unit.value}")
        adjustment = "" if requested.kind != "stock" else ADJUSTED if frame.adjusted else SPLIT_ADJUSTED

        def shown() -> list[TimeRange]:
            days = self._builder.trading_days(frame.start, frame.end) if history else None
            return self._builder.shown_ranges(frame, days, option=source.is_option(frame.asset))

        refresh = source.wants_refresh(name) and source.as_of is None
        series = self._downloads.ensure(
            SeriesKey(asset_key((frame.asset, frame.quote)), SOURCE, timeframe, adjustment),
            frame.asset,
            requested,
            shown,
            name=name,
            may_be_empty=may_be_empty,
            refresh=refresh,
        )
        if refresh:
            source.note_refresh(name)
        return series
