"""Bars of stored series from the REST APIs of their providers, through the clients that backtests use."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from lumibot_duckdb.sources.provider import BarProvider, BarRequest, BarResponse
from lumibot_duckdb.sources.shared.errors import ProviderError
from lumibot_duckdb.storage.api import SeriesKey, TimeRange

if TYPE_CHECKING:
    from lumibot_duckdb.sources.alpaca.client import AlpacaProvider
    from lumibot_duckdb.sources.ccxt.client import CcxtProvider
    from lumibot_duckdb.sources.retry_policy import RetryPolicy

ALPACA, CCXT = "alpaca", "ccxt"
PROVIDERS = (ALPACA, CCXT)


class RestBars:
    """Downloads bars of stored series. Its connections are its own, and made at the first request to a provider.

    Parameters:
        environment: has the credentials that Lumibot's live sources use. They are never logged.
        share: the part of the provider's rate limit that may be used; the rest is left to the strategy.
        retry_policy: how requests are repeated.
    """

    def __init__(
        self,
        environment: Mapping[str, str] = os.environ,
        *,
        share: float = 1.0,
        retry_policy: RetryPolicy | None = None,
    ) -> None:
        self._environment = environment
        self._share = share
        self._retry_policy = retry_policy
        self._alpaca: AlpacaProvider | None = None
        self._exchanges: dict[str, CcxtProvider] = {}
        self._stopped = False

    def responses(self, key: SeriesKey, ranges: Sequence[TimeRange]) -> Iterator[BarResponse]:
        """Yield the bars of a series that start in some ranges.

        Raises:
            ProviderError: they cannot be downloaded.
            ValueError: there is no such provider, or it does not have the timeframe.
        """
        find = _REQUESTS.get(key.source)
        if find is None:
            raise ValueError(
                f"bars from {key.source} cannot be downloaded here, only those from {' and '.join(PROVIDERS)}"
            )
        provider, symbol = find(self, key)
        asset = key.asset
        pieces = tuple((each.start, each.end) for each in ranges)
        yield from provider.bars(
            BarRequest(
                symbol, key.timeframe, pieces, asset.asset_type, key.adjustment, label=asset.label(), progress=False
            )
        )

    def stop(self) -> None:
        """End the pauses between requests to exchanges, also those to come. Those raise `StoppedError`."""
        self._stopped = True
        for exchange in list(self._exchanges.values()):
            exchange.stop()

    def alpaca(self) -> AlpacaProvider:
        """Return Alpaca, with the credentials of the environment. Raises `InvalidKeyError` if there are none."""
        if self._alpaca is None:
            from lumibot_duckdb.sources.alpaca.client import REQUESTS_PER_MINUTE, AlpacaProvider

            known = self._environment
            self._alpaca = AlpacaProvider(
                known.get("ALPACA_API_KEY"),
                known.get("ALPACA_API_SECRET"),
                known.get("ALPACA_OAUTH_TOKEN"),
                workers=1,
                requests_per_minute=max(1, int(REQUESTS_PER_MINUTE * self._share)),
                retry_policy=self._retry_policy,
            )
        return self._alpaca

    def exchange(self, exchange_id: str) -> BarProvider:
        """Return an exchange. Raises `ProviderError` if ccxt does not know it."""
        if exchange_id not in self._exchanges:
            import ccxt  # type: ignore[import-untyped]

            from lumibot_duckdb.sources.ccxt.client import CcxtProvider, check_exchange

            check_exchange(exchange_id)
            kind = getattr(ccxt, exchange_id)
            pause = float(kind().rateLimit) / self._share  # ms between two requests
            self._exchanges[exchange_id] = CcxtProvider(
                kind({"enableRateLimit": True, "rateLimit": pause}), retry_policy=self._retry_policy
            )
        if self._stopped:
            self._exchanges[exchange_id].stop()
        return self._exchanges[exchange_id]


def _of_alpaca(rest: RestBars, key: SeriesKey) -> tuple[BarProvider, str]:
    from lumibot_duckdb.sources.alpaca.symbols import alpaca_symbol

    return rest.alpaca(), alpaca_symbol(key.asset)


def _of_ccxt(rest: RestBars, key: SeriesKey) -> tuple[BarProvider, str]:
    asset = key.asset
    if not asset.exchange:
        raise ProviderError(f"{key.label()}: the exchange of these bars is not known, so they cannot be downloaded")
    return rest.exchange(asset.exchange), f"{asset.symbol}/{asset.quote}"


_REQUESTS: Mapping[str, Callable[[RestBars, SeriesKey], tuple[BarProvider, str]]] = {
    ALPACA: _of_alpaca,
    CCXT: _of_ccxt,
}
