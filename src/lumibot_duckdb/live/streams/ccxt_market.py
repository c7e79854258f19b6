"""What a recorder of an exchange needs: ccxt's stream, and where the settled candles come from."""

from __future__ import annotations

from collections.abc import Sequence

from lumibot_duckdb.live.streams.ccxt_stream import CandlePace, open_stream
from lumibot_duckdb.live.streams.recorded_market import RecordedMarket, RecordedSeries
from lumibot_duckdb.live.streams.rest_series import RestSeries
from lumibot_duckdb.sources.ccxt.client import CcxtProvider


def open_market(
    exchange_id: str, symbols: Sequence[str], timeframe: str = "minute", *, pace: CandlePace | None = None
) -> RecordedMarket:
    """Return what a recorder of an exchange needs.

    Args:
        exchange_id: ccxt's id of the exchange ("binance").
        symbols: ccxt's names of the markets ("BTC/USDT").
        timeframe: "minute", "hour" or "day".
        pace: How long the stream waits.

    Raises:
        ProviderError: ccxt does not know the exchange, or the exchange does not stream candles.
    """
    stream = open_stream(exchange_id, symbols, timeframe, pace=pace)
    provider = CcxtProvider.of(exchange_id)

    def check() -> None:
        for symbol in symbols:
            provider.check_market(symbol, timeframe)

    return RecordedMarket(
        name=exchange_id,
        stream=stream,
        series=tuple(
            RecordedSeries(
                live=RestSeries(each.live, provider, each.symbol, clock=provider.clock),
                settled=RestSeries(each.settled, provider, each.symbol, clock=provider.clock),
            )
            for each in stream.markets
        ),
        check=check,
    )
