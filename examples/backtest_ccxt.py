"""Backtest on the bars of a crypto exchange, through CCXT.

Run `python examples/backtest_ccxt.py`; no key is needed. The first run downloads the bars. The second finds them in the
store.
"""

from datetime import datetime

from lumibot.entities import Asset
from lumibot.strategies.strategy import Strategy

from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.backtesting import CcxtBacktesting

BITCOIN, DOLLAR = Asset("BTC", "crypto"), Asset("USDT", "crypto")


class AboveAverage(Strategy):
    """Holds bitcoin while its price is above the average close of the last four hours."""

    def initialize(self):
        """Trade every 15 minutes, around the clock."""
        self.sleeptime = "15M"
        self.set_market("24/7")

    def on_trading_iteration(self):
        """Compare the price with the average close."""
        minutes = self.get_historical_prices((BITCOIN, DOLLAR), 240, "minute")
        price = self.get_last_price(BITCOIN, quote=DOLLAR)
        if minutes is None or price is None:
            return
        above = price > minutes.df["close"].mean()
        position = self.get_position(BITCOIN)
        if above and position is None:
            quantity = round(0.95 * self.cash / price, 4)
            self.submit_order(self.create_order(BITCOIN, quantity, "buy", quote=DOLLAR))
        elif not above and position is not None:
            self.submit_order(self.create_order(BITCOIN, position.quantity, "sell", quote=DOLLAR))


if __name__ == "__main__":
    results, strategy = AboveAverage.run_backtest(
        CcxtBacktesting,
        datetime(2024, 3, 1),
        datetime(2024, 3, 8),
        exchange_id="binance",  # or any other exchange that CCXT supports
        quote_asset=DOLLAR,
        benchmark_asset=None,
        risk_free_rate=0,
        show_plot=False,
        show_tearsheet=False,
        save_tearsheet=False,
        quiet_logs=True,
    )
    bars = "SELECT asset_symbol, exchange, timeframe, count(*) AS bars FROM ohlcv_data GROUP BY ALL"
    print(DuckDBDataStorage().sql(bars).to_pandas())
    print(f"ended with {strategy.portfolio_value:,.2f}")
