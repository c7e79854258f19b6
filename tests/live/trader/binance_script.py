"""A live script: it trades coins at Binance with Lumibot's own broker and data source, and logs what it sees."""

from __future__ import annotations

from lumibot.brokers import Ccxt
from lumibot.entities import Asset
from lumibot.traders import Trader

from live.trader.crossover import LoggedCrossover

SERIES = {"BTC": (("minute", 60), ("day", 5)), "ETH": (("minute", 60),), "SOL": (("minute", 30),)}
DOLLAR = Asset("USDT", "crypto")


class Crossover(LoggedCrossover):
    """Trades coins."""

    def initialize(self) -> None:
        self.set_market("24/7")
        super().initialize()

    def on_trading_iteration(self) -> None:
        self.note("iteration")
        for symbol, wanted in SERIES.items():
            for timestep, length in wanted:
                try:
                    bars = self.get_historical_prices(Asset(symbol, "crypto"), length, timestep, quote=DOLLAR)
                except Exception:  # the exchange does not answer
                    bars = None
                self.note(symbol, timestep, length, bars)
                if timestep == "minute" and bars is not None:
                    self.trade(Asset(symbol, "crypto"), bars.df["close"].iloc[:-1], 1, quote=DOLLAR)


if __name__ == "__main__":
    # Without its stream, the broker reads everything by REST; it expects the attribute nevertheless.
    config = {"exchange_id": "binance", "sandbox": False, "apiKey": "loopback-key", "secret": "loopback-secret"}
    broker = Ccxt(config, connect_stream=False)
    broker.stream = None
    trader = Trader()
    trader.add_strategy(Crossover(broker=broker, quote_asset=DOLLAR, benchmark_asset=None, risk_free_rate=0.0))
    trader.run_all()
