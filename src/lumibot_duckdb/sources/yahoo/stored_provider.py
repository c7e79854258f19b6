"""Answers `yfinance` from the store: a ticker's frames, and the market of its symbol."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from datetime import datetime
from typing import Any

import pandas as pd
from lumibot.tools import yahoo_helper
from lumibot.tools.yahoo_helper import YahooHelper
from yfinance import utils
from yfinance.base import TickerBase
from yfinance.data import YfData
from yfinance.exceptions import YFException

from lumibot_duckdb.lumibot_contract.strategy_access import strategy_module
from lumibot_duckdb.sources.shared.replacing import replaced, without_pauses
from lumibot_duckdb.sources.shared.stored_answers import StoredAnswers
from lumibot_duckdb.sources.yahoo.client import COLUMNS, EARLIEST, ZERO_IF_ABSENT, Market, YahooProvider
from lumibot_duckdb.sources.yahoo.history import YahooHistory
from lumibot_duckdb.sources.yahoo.sessions import may_have_traded
from lumibot_duckdb.storage.api import TimeRange

_TIMEFRAMES = {"1d": "day", "15m": "15minute", "1m": "minute"}
_YAHOOS = {ours: theirs for theirs, ours in COLUMNS.items()}
_ACTIONS = ["Dividends", "Stock Splits", "Capital Gains"]
_DAYS = re.compile(r"(\d+)d")

_needed_until: ContextVar[datetime | None] = ContextVar("until when Lumibot needs bars", default=None)


@contextmanager
def answering(answers: StoredAnswers) -> Iterator[None]:
    """Answer every `yfinance` ticker from the store within a `with` block."""
    strategies = strategy_module()
    fetch, benchmark = YahooHelper.fetch_symbol_data, strategies.get_symbol_returns

    def fetch_symbol_data(
        symbol: str, caching: bool = True, last_needed_datetime: datetime | None = None, interval: str = "1d"
    ) -> Any:
        with _needing_bars_until(last_needed_datetime or _needed_until.get()):
            return fetch(symbol, caching=caching, last_needed_datetime=last_needed_datetime, interval=interval)

    def get_symbol_returns(symbol: Any, start: Any, end: Any) -> Any:
        with _needing_bars_until(end):
            return benchmark(symbol, start, end)

    def history(ticker: Any, *arguments: Any, **settings: Any) -> pd.DataFrame:
        return _frame(answers, str(ticker.ticker), *arguments, **settings)

    def get_info(ticker: Any) -> dict[str, Any]:
        return _info(answers, str(ticker.ticker))

    def make_request(requests: Any, url: str, *arguments: Any, **settings: Any) -> Any:
        answers.notes.note(f"Yahoo's {url.partition('?')[0]}")
        raise YFException("the store answers in place of Yahoo and does not have this")

    with ExitStack() as replacements:
        replacements.enter_context(replaced(strategies, "get_symbol_returns", get_symbol_returns))
        replacements.enter_context(replaced(YahooHelper, "fetch_symbol_data", staticmethod(fetch_symbol_data)))
        replacements.enter_context(replaced(TickerBase, "history", history))
        replacements.enter_context(replaced(TickerBase, "get_info", get_info))
        replacements.enter_context(replaced(YfData, "_make_request", make_request))
        replacements.enter_context(without_pauses(yahoo_helper))
        yield


@contextmanager
def _needing_bars_until(end: datetime | None) -> Iterator[None]:
    """Remember the end of the range that Lumibot needs, because it requests whole histories."""
    before = _needed_until.set(end)
    try:
        yield
    finally:
        _needed_until.reset(before)


def _frame(
    answers: StoredAnswers,
    symbol: str,
    period: str | None = None,
    interval: str = "1d",
    start: Any = None,
    end: Any = None,
    prepost: bool = False,
    actions: bool = True,
    auto_adjust: bool = True,
    back_adjust: bool = False,
    **settings: Any,
) -> pd.DataFrame:
    """Return the result of `Ticker.history` with the same arguments."""
    frame: pd.DataFrame = _bars(answers, symbol, interval)
    # Stored intraday bars were Yahoo's latest ones at the time of their download, so all of them are returned.
    if len(frame) and interval == "1d":
        frame = _within(frame, period, start, end)
    if len(frame) and auto_adjust:
        frame = utils.auto_adjust(frame)
    elif len(frame) and back_adjust:
        frame = utils.back_adjust(frame)
    if not actions:
        frame = frame.drop(columns=_ACTIONS, errors="ignore")
    return frame


def _info(answers: StoredAnswers, symbol: str) -> dict[str, Any]:
    """Return the stored part of a symbol's info: its market and time zone."""
    market = _history(answers, symbol, "day").market
    if market is None:
        raise YFException(f"the market of {symbol} is not stored")
    info = {"symbol": symbol, "market": market.name, "exchangeTimezoneName": market.zone}
    return {name: value for name, value in info.items() if value}


def _history(answers: StoredAnswers, symbol: str, timeframe: str) -> YahooHistory:
    return YahooHistory(answers.storage, YahooProvider(), symbol, timeframe, as_of=answers.as_of)


def _bars(answers: StoredAnswers, symbol: str, interval: str) -> pd.DataFrame:
    """Return all bars of a symbol as `yfinance` returned them, unadjusted, and note bars that may be missing."""
    timeframe = _TIMEFRAMES.get(interval)
    if timeframe is None:
        answers.notes.note(f"{interval} bars of {symbol} from Yahoo")
        return _nothing()
    history = _history(answers, symbol, timeframe)
    until = _needed_until.get()
    wanted = TimeRange(
        EARLIEST, max(EARLIEST, answers.now if until is None else int(pd.Timestamp(until).timestamp()) + 1)
    )
    missing = answers.missing(history.key, wanted)
    pin = answers.pin(history.key)
    if pin is None or not answers.storage.facts(pin).rows:
        if missing:
            answers.notes.note(history.key.label())
        return _nothing()
    market, zone = history.market or Market(), history.zone
    answers.note(history.key, [gap for gap in missing if may_have_traded(market, zone, gap.start, gap.end)])
    stored: pd.DataFrame = answers.storage.read_pandas(pin)
    frame: pd.DataFrame = _with_all_columns(stored).rename(columns=_YAHOOS)
    frame.index = pd.DatetimeIndex(frame.index).tz_convert(zone).rename("Date" if timeframe == "day" else "Datetime")
    return frame


def _with_all_columns(bars: pd.DataFrame) -> pd.DataFrame:
    """Return bars with the columns that Yahoo's always have, as our source shows bars without them."""
    absent: dict[str, Any] = {name: 0.0 for name in ZERO_IF_ABSENT if name not in bars}
    if "adj_close" not in bars:
        absent["adj_close"] = bars["close"]
    whole: pd.DataFrame = bars.assign(**absent)
    return whole


def _within(frame: pd.DataFrame, period: str | None, start: Any, end: Any) -> pd.DataFrame:
    """Return the last days of a period ("7d"), or those from `start` on and before `end`; otherwise all."""
    index = pd.DatetimeIndex(frame.index)
    first = 0 if start is None else int(index.searchsorted(_moment(start, index)))
    stop = len(index) if end is None else int(index.searchsorted(_moment(end, index)))
    if period is not None and (days := _DAYS.fullmatch(period)):
        first = max(0, len(index) - int(days[1]))
    elif period not in (None, "max"):
        raise YFException(f"the store answers in place of Yahoo and does not support the period {period!r}")
    within: pd.DataFrame = frame.iloc[first:stop]
    return within


def _nothing() -> pd.DataFrame:
    nothing: pd.DataFrame = pd.DataFrame()
    return nothing


def _moment(moment: Any, index: pd.DatetimeIndex) -> pd.Timestamp:
    """Return a time in the zone of an index; a naive time is in the exchange's zone."""
    stamp = pd.Timestamp(moment)
    there: pd.Timestamp = stamp.tz_localize(index.tz) if stamp.tz is None else stamp.tz_convert(index.tz)
    return there
