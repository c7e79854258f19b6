"""A live script: it trades stocks at Alpaca with Lumibot's own broker and data source, and logs what it sees."""

from __future__ import annotations

import os

from alpaca.trading.client import TradingClient
from lumibot.brokers import Alpaca
from lumibot.entities import Asset
from lumibot.traders import Trader

from live.trader.crossover import LoggedCrossover

SERIES = {"SPY": (("minute", 60), ("hour", 24), ("day", 10)), "QQQ": (("minute", 60),), "HPQ": (("minute", 60),)}
KEY, SECRET = os.environ["KEY_OF_SCRIPT"], os.environ["SECRET_OF_SCRIPT"]
# Not earlier: with these in the environment, Lumibot connects a broker when it is imported.
os.environ |= {"ALPACA_API_KEY": KEY, "ALPACA_API_SECRET": SECRET}


class Crossover(LoggedCrossover):
    """Trades stocks."""

    def on_trading_iteration(self) -> None:
        self.note("iteration")
        for symbol, wanted in SERIES.items():
            for timestep, length in wanted:
                bars = self.get_historical_prices(Asset(symbol), length, timestep)
                self.note(symbol, timestep, length, bars)
                if timestep == "minute" and bars is not None:
                    self.trade(Asset(symbol), bars.df["close"].iloc[:-1], 10)


if __name__ == "__main__":
    config = {"API_KEY": KEY, "API_SECRET": SECRET, "PAPER": True}
    # With a client that is passed, the broker polls its orders instead of opening a stream.
    client = TradingClient(KEY, SECRET, paper=True)
    broker = Alpaca(config, trading_client=client, polling_interval=20.0, connect_stream=True, start_orders_thread=True)
    trader = Trader()
    trader.add_strategy(Crossover(broker=broker, benchmark_asset=None, risk_free_rate=0.0))
    trader.run_all()
