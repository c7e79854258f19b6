"""Backtest on a provider of your own: `ACME_URL=… ACME_KEY=… python examples/backtest_your_provider.py`. Run it twice.

Acme stands for any HTTP API that answers with JSON. Its protocol is that of docs/adding-a-source.md.
"""

import os
from datetime import datetime

import pandas as pd
import requests
from lumibot.strategies.strategy import Strategy

from lumibot_duckdb import BarProvider, BarResponse, DuckDBDataStorage, StockSplit
from lumibot_duckdb.backtesting import ProviderDataBacktesting

MONTH = 30 * 86_400
"""Seconds of bars that Acme sends in one answer."""


class AcmeProvider(BarProvider):
    """Split-adjusted bars of stocks from Acme."""

    timeframes = ("minute", "day")

    def __init__(self, url, key):
        """Use the API at `url` with a key."""
        self._url = url
        self._session = requests.Session()
        self._session.headers["Authorization"] = f"Bearer {key}"

    def bars(self, request):
        """Yield a month of bars at a time."""
        for start, end in request.ranges:
            for first in range(start, end, MONTH):
                last = min(first + MONTH, end)
                parameters = {"timeframe": request.timeframe, "from": first, "to": last}
                rows = self._get(f"bars/{request.symbol}", **parameters)["bars"]
                frame = pd.DataFrame(rows, columns=["time", "open", "high", "low", "close", "volume"])
                starts = pd.to_datetime(frame.pop("time"), unit="s", utc=True)
                yield BarResponse(first, last, frame.set_index(starts))

    def splits(self, symbol):
        """Return the splits for which Acme has adjusted its prices."""
        splits = self._get(f"splits/{symbol}")["splits"]
        return [StockSplit(pd.Timestamp(each["ex_date"]).date(), each["from"], each["to"]) for each in splits]

    def _get(self, path, **parameters):
        answer = self._session.get(f"{self._url}/{path}", params=parameters, timeout=30)
        answer.raise_for_status()
        return answer.json()


class AboveAverage(Strategy):
    """Holds SPY while it is above the average of its last twenty days, looking every quarter of an hour."""

    def initialize(self):
        """Trade every fifteen minutes."""
        self.sleeptime = "15M"

    def on_trading_iteration(self):
        """Compare the price with the average of daily closes."""
        days = self.get_historical_prices("SPY", 20, "day")
        price = self.get_last_price("SPY")
        if days is None or price is None:
            return
        above = price > days.df["close"].mean()
        position = self.get_position("SPY")
        if above and position is None:
            self.submit_order(self.create_order("SPY", int(self.cash // price), "buy"))
        elif not above and position is not None:
            self.submit_order(self.create_order("SPY", position.quantity, "sell"))


if __name__ == "__main__":
    acme = AcmeProvider(os.environ["ACME_URL"], os.environ["ACME_KEY"])
    results, strategy = AboveAverage.run_backtest(
        ProviderDataBacktesting.using(provider=acme),
        datetime(2024, 3, 4),
        datetime(2024, 3, 8),
        benchmark_asset=None,
        risk_free_rate=0,
        show_plot=False,
        show_tearsheet=False,
        save_tearsheet=False,
        quiet_logs=True,
    )
    bars = "SELECT asset_symbol, timeframe, count(*) AS bars, min(timestamp) AS since FROM ohlcv_data GROUP BY ALL"
    print(DuckDBDataStorage().sql(bars).to_pandas())
    print(f"ended with {strategy.portfolio_value:,.2f}")
