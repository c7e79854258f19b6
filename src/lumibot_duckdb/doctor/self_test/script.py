"""The script that the self-test runs on both sides: one backtest for each source.

`python -m lumibot_duckdb.doctor.self_test.script FOLDER` writes the errors that stopped backtests to a JSON file in
FOLDER, by source.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable
from datetime import datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

from lumibot.entities import Asset, Data
from lumibot.strategies import Strategy

from lumibot_duckdb.comparison.headless import UNATTENDED
from lumibot_duckdb.doctor.self_test import market
from lumibot_duckdb.doctor.self_test.sources import errors_file
from lumibot_duckdb.lumibot_contract.verified import remember_verified

_IS_OURS = os.environ["LUMIBOT_USE_DUCKDB"] == "true"
_STOCKS = [Asset(symbol) for symbol in market.STOCKS]
_DAY = timedelta(days=1)
_MINUTES = {
    "assets": _STOCKS,
    "requests": [
        (30, "minute", None),
        (390, "minute", _DAY),
        (24, "5minute", None),
        (12, "hour", None),
        (5, "day", _DAY),
    ],
    "sleeptime": "2H",
    "market": "NASDAQ",
}
_DAYS = {
    "assets": _STOCKS,
    "requests": [(2, "day", None), (60, "day", _DAY), (80, "day", None)],
    "sleeptime": "1D",
    "market": "NASDAQ",
}
# Thursday to Tuesday, over the weekend in which New York changes its clocks.
_SPAN = (datetime(2024, 3, 7), datetime(2024, 3, 12))


class RequestsAndTrades(Strategy):  # type: ignore[misc]  # Lumibot ships no types
    """Requests bars of many lengths, prices and quotes, and buys and sells in turn with every kind of order."""

    def initialize(self) -> None:
        """Set how often to trade."""
        self.sleeptime = self.parameters["sleeptime"]
        self.set_market(self.parameters["market"])
        self.turn = 0

    def on_trading_iteration(self) -> None:
        """Make every request for every asset, then trade."""
        for asset in self.parameters["assets"]:
            for length, timestep, timeshift in self.parameters["requests"]:
                self.get_historical_prices(asset, length, timestep, timeshift=timeshift, quote=self._quote)
            self.get_quote(asset, quote=self._quote)
            price = self.get_last_price(asset, quote=self._quote)
            if price is not None:
                self._trade(asset, float(price))
        self.turn += 1

    @property
    def _quote(self) -> Asset | None:
        return self.parameters.get("quote")

    def _trade(self, asset: Asset, price: float) -> None:
        place = self.turn % 4
        held = self.get_position(asset)
        if place == 0:
            self.submit_order(self.create_order(asset, 10, "buy", quote=self._quote))
        elif place == 1:
            self.submit_order(self.create_order(asset, 5, "buy", limit_price=round(price, 2), quote=self._quote))
        elif place == 2 and held is not None:
            self.submit_order(self.create_order(asset, 5, "sell", stop_price=round(price, 2), quote=self._quote))
        elif held is not None:
            self.cancel_open_orders()
            self.submit_order(self.create_order(asset, held.quantity, "sell", quote=self._quote))


def _polygon() -> None:
    _backtest("polygon", _source_class("PolygonDataBacktesting"), _MINUTES)


def _yahoo() -> None:
    _backtest("yahoo", _source_class("YahooDataBacktesting"), _DAYS, (datetime(2024, 2, 26), datetime(2024, 3, 15)))


def _alpaca() -> None:
    _backtest("alpaca", _source_class("AlpacaBacktesting"), _MINUTES, timestep="minute", history_before_start=True)


def _ccxt() -> None:
    coin, dollar = Asset(market.COIN, "crypto"), Asset(market.COINS_QUOTE, "crypto")
    requests = [(30, "minute", None), (600, "minute", _DAY), (3, "day", None)]
    parameters = {"assets": [coin], "quote": dollar, "requests": requests, "sleeptime": "5H", "market": "24/7"}
    _backtest("ccxt", _source_class("CcxtBacktesting"), parameters, exchange_id=market.EXCHANGE, quote_asset=dollar)


def _own_bars() -> None:
    source_class = _source_class("PandasDataBacktesting")
    if _IS_OURS:
        _backtest("own_bars", source_class.using(source=market.OWN), _MINUTES)
    else:
        data = {asset: Data(asset, market.minutes(asset.symbol), timestep="minute") for asset in _STOCKS}
        _backtest("own_bars", source_class, _MINUTES, pandas_data=data)


def _source_class(name: str) -> Any:
    """Import this side's class of that name as a user would."""
    return getattr(import_module("lumibot_duckdb.backtesting" if _IS_OURS else "lumibot.backtesting"), name)


def _backtest(
    name: str,
    source_class: Any,
    parameters: dict[str, Any],
    span: tuple[datetime, datetime] = _SPAN,
    **settings: Any,
) -> None:
    settings = {**UNATTENDED, **settings}
    RequestsAndTrades.run_backtest(source_class, *span, name=name, parameters=dict(parameters), **settings)


_BACKTESTS: dict[str, Callable[[], None]] = {
    "polygon": _polygon,
    "yahoo": _yahoo,
    "alpaca": _alpaca,
    "ccxt": _ccxt,
    "own_bars": _own_bars,
}


def main(folder: Path) -> None:
    """Run all backtests, even if some fail."""
    if _IS_OURS:
        _use_sources_on_changed_code()
    errors = {}
    for name, backtest in _BACKTESTS.items():
        try:
            backtest()
        except Exception as error:
            traceback.print_exc()
            errors[name] = f"{type(error).__name__}: {error}"
    errors_file(folder, _IS_OURS).write_text(json.dumps(errors))


def _use_sources_on_changed_code() -> None:
    """Use our sources even if Lumibot's code has changed. Only a temporary cache folder remembers this."""
    for source in _BACKTESTS:
        remember_verified(source)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
