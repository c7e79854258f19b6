from datetime import datetime

from lumibot.strategies import Strategy

from lumibot_duckdb.backtesting import PandasDataBacktesting


class Crossover(Strategy):
    parameters = {"symbol": "AAPL", "fast": 8, "slow": 21}  # noqa: RUF012

    def initialize(self):
        self.sleeptime = "1D"

    def on_trading_iteration(self):
        symbol, fast, slow = (self.parameters[name] for name in ("symbol", "fast", "slow"))
        closes = self.get_historical_prices(symbol, slow, "day", timeshift=1).df["close"]
        slope = float(closes.tail(fast).mean() - closes.mean()) / (slow - fast)
        held = self.get_position(symbol)
        if slope > 0 and not held:
            quantity = int(0.9 * self.portfolio_value / float(self.get_last_price(symbol)))
            self.submit_order(self.create_order(symbol, quantity, "buy"))
        elif slope <= 0 and held:
            self.submit_order(self.create_order(symbol, held.quantity, "sell"))


Crossover.run_backtest(
    PandasDataBacktesting.using(source="demo", timestep="day"),
    datetime(2012, 8, 1),
    datetime(2012, 11, 1),
    budget=100_000,
    benchmark_asset=None,
    risk_free_rate=0.0,
    analyze_backtest=False,
    show_plot=False,
    save_tearsheet=False,
    show_tearsheet=False,
    save_stats_file=False,
    show_indicators=False,
    quiet_logs=True,
)
