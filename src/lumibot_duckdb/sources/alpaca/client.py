"""Bars, corporate actions and option contracts from Alpaca, through its official clients."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
from alpaca.common.rest import RESTClient
from alpaca.data.enums import Adjustment, CorporateActionsType
from alpaca.data.historical import CryptoHistoricalDataClient, OptionHistoricalDataClient, StockHistoricalDataClient
from alpaca.data.historical.corporate_actions import CorporateActionsClient
from alpaca.data.requests import CorporateActionsRequest, CryptoBarsRequest, OptionBarsRequest, StockBarsRequest
from alpaca.data.timeframe import TimeFrame, TimeFrameUnit
from alpaca.trading.client import TradingClient
from alpaca.trading.enums import AssetStatus
from alpaca.trading.requests import GetOptionContractsRequest

from lumibot_duckdb.sources.alpaca.http import NAME, Throttle, make_polite, understood
from lumibot_duckdb.sources.shared.days import DaySpan
from lumibot_duckdb.sources.shared.errors import InvalidKeyError, PlanLimitError
from lumibot_duckdb.sources.shared.retry import Patience, RateLimit, patiently
from lumibot_duckdb.sources.shared.span_downloads import downloaded

Result = TypeVar("Result")

REQUESTS_A_MINUTE = 180
"""A free key allows about 200."""

_COLUMNS = {"open": "o", "high": "h", "low": "l", "close": "c", "volume": "v", "trade_count": "n", "vwap": "vw"}
_UNITS = {"minute": TimeFrameUnit.Minute, "hour": TimeFrameUnit.Hour, "day": TimeFrameUnit.Day}
_UNIT_MINUTES = {"minute": 1, "hour": 60, "day": 24 * 60}
_TIMEFRAME = re.compile(r"(\d*)(minute|hour|day)")
_BARS_A_PAGE = 10_000
_CONTRACTS_A_PAGE = 10_000
_BUSY_MINUTES = {"stock": 16 * 60 * 5 / 7, "option": 6.5 * 60 * 5 / 7, "crypto": 24 * 60}  # a day, on average
_SINCE = date(1990, 1, 1)
_NEW_YORK = ZoneInfo("America/New_York")
_SPLITS = (CorporateActionsType.FORWARD_SPLIT, CorporateActionsType.REVERSE_SPLIT, CorporateActionsType.UNIT_SPLIT)
_PAYMENTS = (
    CorporateActionsType.STOCK_DIVIDEND,
    CorporateActionsType.CASH_DIVIDEND,
    CorporateActionsType.SPIN_OFF,
)


@dataclass(frozen=True, order=True)
class TimeSpan(DaySpan):
    """The half-open range `[start, end)` of epoch seconds, and the days of New York that it touches."""

    start: int
    end: int


@dataclass(frozen=True)
class SpanBars:
    """All bars that start in `[start, end)` (epoch seconds), as `AlpacaProvider.bars` describes them."""

    start: int
    end: int
    frame: pd.DataFrame


@dataclass(frozen=True)
class StockAction:
    """What changed a stock's adjusted prices on its ex-date.

    A split, or a dividend in shares, made `after` shares of `before`. `amount` is what a share was paid in cash, or how
    many shares of another company were spun off for it.
    """

    ex_date: date
    before: float | None = None
    after: float | None = None
    amount: float | None = None


@dataclass(frozen=True)
class OptionContract:
    """An option contract, in Alpaca's words: `type` is "call" or "put"; `size` in shares."""

    symbol: str
    root_symbol: str
    expiration_date: date
    type: str
    strike_price: float
    size: float


class AlpacaProvider:
    """Downloads from Alpaca. Safe to use from several threads.

    No more than `requests_a_minute` are sent; rate limits are waited for, by all requests of a provider together;
    passing faults are tried again. What remains is raised as a `ProviderError`, see docs/sources.md.
    """

    def __init__(
        self,
        api_key: str | None = None,
        secret_key: str | None = None,
        oauth_token: str | None = None,
        *,
        paper: bool = True,
        workers: int = 4,
        requests_a_minute: int = REQUESTS_A_MINUTE,
        patience: Patience | None = None,
    ) -> None:
        """Use a key and its secret, or an OAuth token. `paper` tells which kind of account they are of.

        Raises:
            InvalidKeyError: there are none, or they are none that could be sent.
        """
        key, secret, token = ((text or "").strip() or None for text in (api_key, secret_key, oauth_token))
        if not (key and secret) and not token:
            raise InvalidKeyError(
                "There is no Alpaca API key: give API_KEY and API_SECRET, or OAUTH_TOKEN, in the config, or set "
                "ALPACA_API_KEY and ALPACA_API_SECRET, or ALPACA_OAUTH_TOKEN."
            )
        self._secrets = [text for text in (key, secret, token) if text]
        if not all(text.isascii() and text.isprintable() for text in self._secrets):  # whoever sends it would quote it
            raise InvalidKeyError("The Alpaca API key, secret or token holds a character that none has: copy it anew.")
        by_key = bool(key and secret)
        self._credentials = {"api_key": key, "secret_key": secret} if by_key else {"oauth_token": token}
        self._paper = paper
        self._workers = workers
        self._limit = RateLimit(
            patience or Patience(), of="the Alpaca plan", advice="a larger plan allows more requests"
        )
        self._throttle = Throttle(requests_a_minute)
        self._clients: dict[Any, Any] = {}
        self._guard = threading.Lock()

    # -- bars ------------------------------------------------------------------------------------------------

    def bars(
        self,
        kind: str,
        symbol: str,
        timeframe: str,
        ranges: Iterable[tuple[int, int]],
        *,
        adjustment: str = "",
        label: str = "",
        progress: bool = True,
    ) -> Generator[SpanBars, None, None]:
        """Download bars and yield each span's as soon as it has arrived, in whatever order.

        `kind` is "stock", "crypto" or "option"; `timeframe` a canonical one of minutes, hours or one day ("5minute");
        `adjustment` one of Alpaca's, for stocks; `ranges` are half-open, in epoch seconds. Stop early by closing the
        iterator: no further request is begun then.

        A frame has the columns open, high, low, close, volume, trade_count and vwap (float64) by bar start (`datetime`,
        UTC), sorted, each start once.

        Raises:
            ValueError: the timeframe is none of Alpaca's.
            InvalidKeyError: Alpaca does not accept the key.
            PlanLimitError: the plan does not include some of the ranges. All others were yielded before.
            DownloadIncompleteError: some of the ranges could not be downloaded. All others were yielded before.
        """
        stop = threading.Event()
        bar_size = _time_frame(timeframe)

        def download(span: DaySpan) -> pd.DataFrame:
            assert isinstance(span, TimeSpan)
            return self._patiently(lambda: self._ask_for_bars(kind, symbol, bar_size, span, adjustment), stop)

        arriving = downloaded(
            download,
            spans_of(ranges, kind, timeframe),
            what=f"{label or symbol} {timeframe}",
            provider=NAME,
            workers=self._workers,
            stop=stop,
            progress=progress,
        )
        with closing(arriving):
            for span, frame in arriving:
                assert isinstance(span, TimeSpan)
                yield SpanBars(span.start, span.end, frame)

    def _ask_for_bars(
        self, kind: str, symbol: str, bar_size: TimeFrame, span: TimeSpan, adjustment: str
    ) -> pd.DataFrame:
        asked: dict[str, Any] = {
            "symbol_or_symbols": symbol,
            "timeframe": bar_size,
            "start": datetime.fromtimestamp(span.start, timezone.utc),
            "end": datetime.fromtimestamp(span.end - 1, timezone.utc),  # Alpaca's end is included
        }
        answer: Mapping[str, Any]
        if kind == "crypto":
            answer = self._client(CryptoHistoricalDataClient).get_crypto_bars(CryptoBarsRequest(**asked))
        elif kind == "option":
            answer = self._client(OptionHistoricalDataClient).get_option_bars(OptionBarsRequest(**asked))
        else:
            request = StockBarsRequest(**asked, adjustment=Adjustment(adjustment or "raw"))
            answer = self._client(StockHistoricalDataClient).get_stock_bars(request)
        frame = frame_of_bars(answer.get(symbol) or ())
        seconds = pd.DatetimeIndex(frame.index).as_unit("s").asi8
        inside: pd.DataFrame = frame[(seconds >= span.start) & (seconds < span.end)]
        return inside

    # -- what else there is ----------------------------------------------------------------------------------

    def splits(self, symbol: str, until: date) -> list[StockAction]:
        """Return the splits of a stock up to a day (included), and its dividends in shares."""
        types = [*_SPLITS, CorporateActionsType.STOCK_DIVIDEND]
        return [action for name, entry in self._actions(symbol, until, types) if (action := _split(name, entry))]

    def dividends(self, symbol: str, until: date) -> list[StockAction]:
        """Return the dividends of a stock up to a day (included), in shares as well, and what was spun off."""
        return [action for name, entry in self._actions(symbol, until, _PAYMENTS) if (action := _payment(name, entry))]

    def _actions(
        self, symbol: str, until: date, types: Sequence[CorporateActionsType]
    ) -> list[tuple[str, Mapping[str, Any]]]:
        request = CorporateActionsRequest(symbols=[symbol], types=list(types), start=_SINCE, end=until)
        client = self._client(CorporateActionsClient)
        answer = self._patiently(lambda: client.get_corporate_actions(request)) or {}
        return [(name, entry) for name, entries in answer.items() for entry in entries]

    def option_contracts(self, underlying: str, first: date, last: date) -> list[OptionContract]:
        """Return the contracts that expire from `first` to `last`, both included: those that have, then the others.

        The trading API knows a key on one of its two addresses, that of paper or that of live accounts, and has the
        same contracts on both. The other one is asked when the first refuses the key.
        """
        contracts: list[OptionContract] = []
        for status in (AssetStatus.INACTIVE, AssetStatus.ACTIVE):
            token: str | None = None
            while True:
                request = GetOptionContractsRequest(
                    underlying_symbols=[underlying],
                    status=status,
                    expiration_date_gte=first,
                    expiration_date_lte=last,
                    limit=_CONTRACTS_A_PAGE,
                    page_token=token,
                )
                answer = self._ask_for_contracts(request)
                contracts += [_contract(entry) for entry in answer.get("option_contracts") or ()]
                token = answer.get("next_page_token")
                if not token:
                    break
        return contracts

    def _ask_for_contracts(self, request: GetOptionContractsRequest) -> Mapping[str, Any]:
        try:
            return self._of_account(request, self._paper)
        except (InvalidKeyError, PlanLimitError):
            answer = self._of_account(request, not self._paper)
            self._paper = not self._paper
            return answer

    def _of_account(self, request: GetOptionContractsRequest, paper: bool) -> Mapping[str, Any]:
        client = self._client(TradingClient, paper=paper)
        answer: Mapping[str, Any] = self._patiently(lambda: client.get_option_contracts(request))
        return answer

    # -- clients ---------------------------------------------------------------------------------------------

    def _client(self, kind: Callable[..., RESTClient], **settings: Any) -> Any:
        key = (kind, *settings.items())
        with self._guard:
            if key not in self._clients:
                client = kind(**self._credentials, raw_data=True, **settings)
                make_polite(client, self._throttle, self._workers)
                self._clients[key] = client
            return self._clients[key]

    def _patiently(self, call: Callable[[], Result], stop: threading.Event | None = None) -> Result:
        return patiently(
            call,
            lambda error: understood(error, self._secrets),
            self._limit,
            stop or threading.Event(),
            name=NAME,
        )


def spans_of(ranges: Iterable[tuple[int, int]], kind: str, timeframe: str) -> list[TimeSpan]:
    """Return half-open ranges in spans whose bars fill about one page, cut at midnights of New York."""
    count, unit = _parts(timeframe)
    days = max(1, int(_BARS_A_PAGE * count * _UNIT_MINUTES[unit] / _BUSY_MINUTES.get(kind, 24 * 60)))
    spans = []
    for start, end in ranges:
        while start < end:
            day = _day_of(start)
            try:
                cut = min(end, _midnight(day + timedelta(days=days)))
            except OverflowError:
                cut = end
            spans.append(TimeSpan(day, _day_of(cut - 1), start, cut))
            start = cut
    return spans


def frame_of_bars(bars: Sequence[Mapping[str, Any] | None]) -> pd.DataFrame:
    """Return bars as Alpaca writes them in a frame by their start (UTC), sorted, of several with one start the last."""
    entries = [bar for bar in bars if bar is not None]
    index = pd.DatetimeIndex(pd.to_datetime([bar["t"] for bar in entries], utc=True, format="ISO8601"), name="datetime")
    columns = {name: np.array([bar.get(short) for bar in entries], dtype="float64") for name, short in _COLUMNS.items()}
    frame: pd.DataFrame = pd.DataFrame(columns, index=index)
    if not index.is_monotonic_increasing:
        frame = frame.sort_index(kind="stable")
    if not frame.index.is_unique:
        frame = frame[~frame.index.duplicated(keep="last")]
    return frame


def _parts(timeframe: str) -> tuple[int, str]:
    found = _TIMEFRAME.fullmatch(timeframe)
    if found is None:
        raise ValueError(f"Alpaca has no bars of {timeframe!r}: give minutes, hours or one day, such as '5minute'")
    return int(found[1] or 1), found[2]


def _time_frame(timeframe: str) -> TimeFrame:
    count, unit = _parts(timeframe)
    return TimeFrame(count, _UNITS[unit])


def _split(name: str, entry: Mapping[str, Any]) -> StockAction | None:
    ex_date = _date(entry.get("ex_date") or entry.get("effective_date"))
    if ex_date is None:
        return None
    if name == "stock_dividends":
        return StockAction(ex_date, before=1.0, after=1.0 + float(entry["rate"]))
    return StockAction(ex_date, before=float(entry["old_rate"]), after=float(entry["new_rate"]))


def _payment(name: str, entry: Mapping[str, Any]) -> StockAction | None:
    ex_date = _date(entry.get("ex_date"))
    if ex_date is None:
        return None
    if name == "spin_offs":
        return StockAction(ex_date, amount=float(entry["new_rate"]) / float(entry["source_rate"]))
    return StockAction(ex_date, amount=float(entry["rate"]))


def _contract(entry: Mapping[str, Any]) -> OptionContract:
    return OptionContract(
        symbol=str(entry["symbol"]),
        root_symbol=str(entry.get("root_symbol") or ""),
        expiration_date=date.fromisoformat(entry["expiration_date"]),
        type=str(entry["type"]),
        strike_price=float(entry["strike_price"]),
        size=float(entry.get("size") or 100),
    )


def _date(text: Any) -> date | None:
    return date.fromisoformat(text) if text else None


def _day_of(moment: int) -> date:
    return datetime.fromtimestamp(moment, _NEW_YORK).date()


def _midnight(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=_NEW_YORK).timestamp())
