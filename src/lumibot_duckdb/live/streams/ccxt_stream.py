"""The candles of an exchange as they close, from ccxt's websocket client, and from REST where the stream does not tell.

They go into series of the source `ccxt_live`. What decides that a candle has closed is in `streamed_candles.py`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone

from lumibot_duckdb.live.closed import closed_before
from lumibot_duckdb.live.live_bars import LiveBars
from lumibot_duckdb.live.streams.bar_stream import StreamLostError
from lumibot_duckdb.live.streams.ccxt_connection import CcxtConnection, candles_of, check_streamed, first_to_end
from lumibot_duckdb.live.streams.daemon_call import in_daemon_thread
from lumibot_duckdb.live.streams.exchange_clock import ExchangeClock
from lumibot_duckdb.live.streams.streamed_candles import Candle, StreamedCandles
from lumibot_duckdb.sources.ccxt.client import SECONDS, TIMEFRAMES, CcxtProvider, candle_frame
from lumibot_duckdb.sources.ccxt.markets import SOURCE, series_of
from lumibot_duckdb.sources.provider import BarRequest, BarResponse
from lumibot_duckdb.sources.shared.errors import ProviderError, ProviderUnavailableError, RateLimitedError
from lumibot_duckdb.storage.api import SeriesKey, TimeRange
from lumibot_duckdb.storage.times import moment_of

logger = logging.getLogger(__name__)

LIVE_SOURCE = f"{SOURCE}_live"

OnBars = Callable[[LiveBars], None]


@dataclass(frozen=True)
class CandlePace:
    """How long the stream waits, in seconds.

    Attributes:
        late: After a newer candle has arrived, for updates that it overtook.
        settle: After the end of a candle, before REST is trusted with it.
        tick: Between two looks at what is due.
        gather: Between two looks at what the stream has sent.
    """

    late: float = 1.0
    settle: float = 10.0
    tick: float = 1.0
    gather: float = 0.2


@dataclass(frozen=True)
class Market:
    """A market of a stream.

    Attributes:
        symbol: ccxt's name ("BTC/USDT").
        live: The series of what the stream sends.
        settled: The series that backtests use, for what REST returns later.
        candles: Which of its candles have closed.
    """

    symbol: str
    live: SeriesKey
    settled: SeriesKey
    candles: StreamedCandles


class CcxtStream:
    """A `BarStream` of an exchange's candles. Use `open_stream`, which checks the arguments.

    A candle arrives about a second after the next one of its market has begun, or ten seconds after its end in a quiet
    market. After a lost connection, `run` continues where the last one ended: REST returns what is missing, at most a
    thousand candles of each market. If REST has candles that the stream did not mention, the connection counts as lost.
    """

    def __init__(
        self, provider: CcxtProvider, exchange_id: str, symbols: Sequence[str], timeframe: str, pace: CandlePace
    ) -> None:
        self._provider = provider
        self._timeframe = timeframe
        self._pace = pace
        self._clock = ExchangeClock(lambda: provider.time(symbols[0]), doubt_seconds=10 * pace.tick)
        self.markets = tuple(self._market(symbol, exchange_id) for symbol in symbols)
        self._changed = asyncio.Event()
        self._closing = asyncio.Event()
        self._has_received = False
        self._complained = False

    def _market(self, symbol: str, exchange_id: str) -> Market:
        settled = series_of(symbol, exchange_id, self._timeframe)
        seconds = SECONDS[TIMEFRAMES[self._timeframe]]
        candles = StreamedCandles(seconds, late_seconds=self._pace.late, settle_seconds=self._pace.settle)
        return Market(symbol, replace(settled, source=LIVE_SOURCE), settled, candles)

    async def run(self, on_bars: OnBars, on_connected: Callable[[], None]) -> None:
        """Receive candles over one connection, as `BarStream.run` says. Raises `StreamLostError`, `ProviderError`."""
        try:
            await in_daemon_thread(self._prepare)
        except (ProviderUnavailableError, RateLimitedError) as error:
            raise StreamLostError(str(error)) from None
        connection = CcxtConnection(
            self._provider.exchange(), self._symbols, TIMEFRAMES[self._timeframe], self._changed.set
        )
        for market in self.markets:
            market.candles.connect(self._clock.now())
        try:
            await first_to_end(
                [
                    self._closing.wait(),
                    connection.receive(),
                    self._publish(connection, on_bars),
                    self._confirm(connection, on_bars),
                    self._announce(connection, on_connected),
                ]
            )
        except ProviderError as error:
            if self._has_received:  # it was subscribed to these markets before, so the reason may pass
                raise StreamLostError(str(error)) from None
            raise
        finally:
            await connection.close()

    async def close(self) -> None:
        """End `run`, which returns then."""
        self._closing.set()

    @property
    def _symbols(self) -> list[str]:
        return [market.symbol for market in self.markets]

    def _prepare(self) -> None:
        for market in self.markets:
            self._provider.check_market(market.symbol, self._timeframe)
        self._clock.measure()

    async def _announce(self, connection: CcxtConnection, on_connected: Callable[[], None]) -> None:
        while not connection.is_open:
            await asyncio.sleep(self._pace.tick / 10)
        on_connected()
        await asyncio.Event().wait()

    # -- what the stream shows -------------------------------------------------------------------------------

    async def _publish(self, connection: CcxtConnection, on_bars: OnBars) -> None:
        """Pass on candles as they close."""
        looked_at = 0.0
        while True:  # not with `wait_for` on an event, which loses cancellations in busy markets before Python 3.12
            await asyncio.sleep(self._pace.gather)
            now = asyncio.get_running_loop().time()
            if self._changed.is_set() or now - looked_at >= self._pace.tick:
                self._changed.clear()
                looked_at = now
                for market in self.markets:
                    self._publish_market(market, connection.take_updates(market.symbol), on_bars)

    def _publish_market(self, market: Market, updates: Sequence[Candle], on_bars: OnBars) -> None:
        now, at = self._clock.now(), asyncio.get_running_loop().time()
        self._has_received |= bool(updates)
        if market.candles.hear(updates, now, at):
            self._clock.doubt()
        closed = market.candles.take_closed(at)
        if closed:
            on_bars(self._bars(market, closed, self._from_last_candle(self._span(closed)), now))
        for candle in market.candles.take_corrections():
            on_bars(replace(self._bars(market, [candle], self._span([candle]), now), replace=True))

    def _span(self, candles: Sequence[Candle]) -> TimeRange:
        return TimeRange(candles[0].start, candles[-1].start + SECONDS[TIMEFRAMES[self._timeframe]])

    def _from_last_candle(self, covered: TimeRange) -> TimeRange:
        """Return a range that begins where the coverage of the candle before it ends, even if that was just closed.

        The store covers a larger candle only in part when it has just closed: in other series, a bar could begin half
        an hour after it. Exchanges have no such candles, so nothing begins in the part that is added here.
        """
        return TimeRange(min(covered.start, closed_before(self._timeframe, moment_of(covered.start))), covered.end)

    def _bars(self, market: Market, candles: Sequence[Candle], covered: TimeRange, now: float) -> LiveBars:
        rows = [(candle.start * 1000, *candle[1:]) for candle in candles]
        asked_at = datetime.fromtimestamp(max(now, covered.end), timezone.utc)
        return LiveBars(market.live, candle_frame(rows), (covered,), asked_at, {"symbol": market.symbol})

    # -- what REST has to tell -------------------------------------------------------------------------------

    async def _confirm(self, connection: CcxtConnection, on_bars: OnBars) -> None:
        """Request what the stream does not show to be closed. Failed requests are repeated, and end nothing."""
        while True:
            due = [market for market in self.markets if market.candles.unconfirmed(self._clock.now())]
            try:
                if due or self._clock.is_due:
                    await in_daemon_thread(self._clock.measure)
                for market in due:
                    await self._confirm_market(market, connection, on_bars)
            except ProviderError as error:
                self._complain(error)
                for market in due:
                    market.candles.postpone(self._clock.now())
            await asyncio.sleep(self._pace.tick)

    async def _confirm_market(self, market: Market, connection: CcxtConnection, on_bars: OnBars) -> None:
        now = self._clock.now()
        wanted = market.candles.unconfirmed(now)
        if wanted is None:  # the stream was faster, or the clock was wrong
            return
        request = BarRequest(
            market.symbol, self._timeframe, ((wanted.start, wanted.end),), asset_type="crypto", progress=False
        )
        responses = await in_daemon_thread(lambda: list(self._provider.bars(request)))
        self._complained = False
        self._publish_market(market, connection.take_updates(market.symbol), on_bars)  # what arrived meanwhile
        received: list[Candle] = []
        for response in responses:
            received += self._take(market, response, now, on_bars)
        if market.candles.next < wanted.end:
            market.candles.postpone(now)
        missed = market.candles.missed(received)
        if missed is not None:
            raise StreamLostError(
                f"{self._provider.name} had trades in {market.symbol} at "
                f"{datetime.fromtimestamp(missed.start, timezone.utc):%Y-%m-%d %H:%M} UTC, but the stream sent nothing"
            )

    def _take(self, market: Market, response: BarResponse, now: float, on_bars: OnBars) -> list[Candle]:
        confirmed = market.candles.confirm(TimeRange(response.start, response.end), candles_of(response.bars))
        if confirmed is None:
            return []
        covered, candles = confirmed
        on_bars(self._bars(market, candles, self._from_last_candle(covered), now))
        return candles

    def _complain(self, error: ProviderError) -> None:
        if not self._complained:
            logger.warning("Candles that the stream did not complete wait for %s: %s", self._provider.name, error)
        self._complained = True


def open_stream(
    exchange_id: str, symbols: Iterable[str], timeframe: str = "minute", *, pace: CandlePace | None = None
) -> CcxtStream:
    """Return a stream of the candles of some markets. Nothing is sent before it is run.

    Args:
        exchange_id: ccxt's id of the exchange ("binance", "kraken", "okx").
        symbols: ccxt's names of the markets ("BTC/USDT").
        timeframe: "minute", "hour" or "day".
        pace: How long it waits.

    Raises:
        ProviderError: ccxt does not know the exchange, or the exchange sends no candles.
        ValueError: There are no symbols, or the timeframe is none of the three.
    """
    markets = tuple(dict.fromkeys(symbols))
    if not markets:
        raise ValueError("no markets: name at least one, such as BTC/USDT")
    if timeframe not in TIMEFRAMES:
        raise ValueError(f"a stream has candles of {', '.join(TIMEFRAMES)}, not {timeframe!r}: resample them in SQL")
    provider = CcxtProvider.of(exchange_id)
    check_streamed(exchange_id)
    return CcxtStream(provider, exchange_id, markets, timeframe, pace or CandlePace())
