"""The private hooks of Lumibot's Alpaca source under public names."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta, tzinfo
from operator import attrgetter
from typing import Any

import pandas as pd
from alpaca.data.requests import BaseBarsRequest
from alpaca.data.timeframe import TimeFrame
from lumibot.backtesting import AlpacaBacktesting as LumibotAlpacaBacktesting
from lumibot.entities import Asset, Bars


class AlpacaHooks(LumibotAlpacaBacktesting):  # type: ignore[misc]
    """A source that Lumibot calls under public names, which a subclass implements."""

    # -- settings --------------------------------------------------------------------------------------------

    @property
    def credentials(self) -> Mapping[str, Any]:
        """The keys of this backtest: `api_key`, `api_secret`, `oauth_token`, and whether the account is on `paper`."""
        known: Mapping[str, Any] = self._alpaca_credentials
        return known

    # Every request reads these, so their getters are not Python functions.
    clock = property(attrgetter("_datetime"), doc="The time of the backtest.")
    clock_timestep = property(
        attrgetter("_timestep"), doc='The timestep of the backtest, "minute" or "day", which is that of requests.'
    )
    only_closed_bars = property(
        attrgetter("_remove_incomplete_current_bar"),
        doc="Whether requests leave out the bar that the clock is in, unless they specify it.",
    )
    reaches_before_window = property(
        attrgetter("_history_before_start"), doc="Whether requests get bars from before the window."
    )
    loaded_frames = property(
        attrgetter("_data_store"), doc="The frame of each asset and timestep, by `frame_key`: a mapping."
    )

    @property
    def data_start(self) -> datetime:
        """The start of the window of bars, warm-up included."""
        start: datetime = self._data_datetime_start
        return start

    @property
    def data_end(self) -> datetime:
        """The end of the window of bars."""
        end: datetime = self._data_datetime_end
        return end

    @property
    def trading_days(self) -> pd.DataFrame:
        """The days of the market in the window, with `market_open` and `market_close`."""
        days: pd.DataFrame = self._trading_days
        return days

    @property
    def is_adjusted(self) -> bool:
        """Whether prices are adjusted for dividends."""
        adjusted: bool = self._auto_adjust
        return adjusted

    @property
    def usual_chain_days(self) -> int:
        """How many days ahead option chains reach, unless they are bounded."""
        return int(self._option_chain_max_days)

    @property
    def chain_bounds(self) -> tuple[date | None, date | None]:
        """The first and the last expiration that the strategy wants in chains; None is no bound."""
        hints = getattr(self, "_chain_constraints", None)
        hints = hints if isinstance(hints, dict) else {}
        return self._as_date(hints.get("min_expiration_date")), self._as_date(hints.get("max_expiration_date"))

    def wants_refresh(self, key: str) -> bool:
        """Return whether the bars of a frame are to be downloaded anew, which happens once."""
        return bool(self._refresh_cache) and key not in self._refreshed_keys

    def note_refresh(self, key: str) -> None:
        """Note that the bars of a frame were downloaded anew."""
        self._refreshed_keys[key] = True

    # -- Lumibot's rules -------------------------------------------------------------------------------------

    def base_and_quote(self, asset: Any, quote: Any) -> tuple[Asset, Asset]:
        """Return the asset and the quote of a request."""
        pair: tuple[Asset, Asset] = self._sanitize_base_and_quote_asset(asset, quote)
        return pair

    is_option = staticmethod(LumibotAlpacaBacktesting._is_option)  # returns whether an asset is an option

    def frame_key(self, *, base_asset: Asset, quote_asset: Asset, timestep: str, **window: Any) -> str:
        """Return the key of a frame; the other arguments are Lumibot's, by default those of the backtest."""
        return str(self._get_asset_key(base_asset=base_asset, quote_asset=quote_asset, timestep=timestep, **window))

    def source_of_timestep(self, timestep: str) -> tuple[str, str | None]:
        """Return the timestep of the bars that are downloaded, and the pandas rule that aggregates them, if any."""
        source, rule = self._normalize_timestep_for_source(timestep)
        return source, rule

    def alpacas_timeframe(self, timestep: str) -> TimeFrame:
        """Return Alpaca's timeframe for a timestep."""
        timeframe: TimeFrame = self._get_alpaca_timeframe(timestep)
        return timeframe

    def aggregated(self, frame: pd.DataFrame, rule: str) -> pd.DataFrame:
        """Return a frame aggregated by a pandas rule."""
        bars: pd.DataFrame = self._resample_ohlcv_dataframe(frame, rule)
        return bars

    def request_for(self, **wanted: Any) -> BaseBarsRequest:
        """Return the request that Lumibot would send to Alpaca; the arguments are those of its `_history_request`."""
        _, request = self._history_request(**wanted)
        bars: BaseBarsRequest = request
        return bars

    def history_start(self, now: datetime, length: int, timestep: str) -> datetime:
        """Return from when bars are needed so that `length` of them have closed by `now`."""
        start: datetime = self._history_start_needed(now, length, timestep)
        return start

    def load_option_frame(self, asset: Asset, quote: Asset, timestep: str) -> None:
        """Load the frame of an option, an empty one if it was not traded."""
        self._get_option_bars_frame(asset, quote, timestep)

    def parsed_contract(self, contract: Any, root: str) -> Any:
        """Return right, expiration and strike of a contract as Alpaca gives it; None for one of another root."""
        return self._parse_option_contract(contract, root)

    def empty_chain(self, symbol: str) -> dict[str, Any]:
        """Return a chain without contracts."""
        chain: dict[str, Any] = self._empty_chain(symbol)
        return chain

    def copied_chain(self, chain: dict[str, Any]) -> Any:
        """Return a chain for the strategy to keep."""
        return self._copy_chain(chain)

    # -- what Lumibot calls ----------------------------------------------------------------------------------

    def read_bars(
        self,
        asset: Any,
        length: int,
        timestep: str | None,
        timeshift: timedelta | None,
        quote: Any,
        *,
        return_polars: bool,
        remove_incomplete_current_bar: bool | None,
        extend_history: bool,
    ) -> Bars | None:
        """Return the last bars at the clock's time; None if no bar has closed yet."""
        raise NotImplementedError

    def read_option_bars(
        self,
        asset: Any,
        length: int,
        *,
        timestep: str,
        source_timestep: str,
        resample_rule: str | None,
        timeshift: timedelta | None,
        quote: Any,
        return_polars: bool,
        remove_incomplete_current_bar: bool,
        extend_history: bool,
    ) -> Bars | None:
        """Return the last bars in which an option was traded; None if it was not."""
        raise NotImplementedError

    def read_frame(
        self,
        *,
        base_asset: Asset | None = None,
        quote_asset: Asset | None = None,
        timestep: str | None = None,
        market: str | None = None,
        tzinfo: tzinfo | None = None,
        data_datetime_start: datetime | None = None,
        data_datetime_end: datetime | None = None,
        auto_adjust: bool | None = None,
    ) -> pd.DataFrame:
        """Return a whole frame, loading what is missing. Lumibot gives all arguments."""
        raise NotImplementedError

    def get_historical_prices(
        self,
        asset: Any,
        length: int,
        timestep: str | None = None,
        timeshift: timedelta | None = None,
        quote: Any = None,
        exchange: Any = None,
        include_after_hours: bool = True,
        return_polars: bool = False,
        remove_incomplete_current_bar: bool | None = None,
        _extend_history: bool = True,
    ) -> Bars | None:
        """Return the last bars at the clock's time; see `read_bars`."""
        return self.read_bars(
            asset,
            length,
            timestep,
            timeshift,
            quote,
            return_polars=return_polars,
            remove_incomplete_current_bar=remove_incomplete_current_bar,
            extend_history=_extend_history,
        )

    def _get_option_historical_prices(
        self, asset: Any, length: int, *, extend_history: bool = True, **request: Any
    ) -> Bars | None:
        return self.read_option_bars(asset, length, extend_history=extend_history, **request)

    def _download_and_cache_ohlcv_data(self, **request: Any) -> pd.DataFrame:
        return self.read_frame(**request)

    def _load_ohlcv_into_data_store(self, key: str) -> bool:
        """Find nothing in Lumibot's cache files; the store takes their place."""
        return False
