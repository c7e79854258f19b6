"""Strategies for comparing whole backtests. They use only what user strategies use."""

from __future__ import annotations

import datetime as dt
from typing import Any

from lumibot.entities import Asset, Order
from lumibot.strategies.strategy import Strategy


class ParityStrategy(Strategy):
    """Trades `parameters["assets"]` against the dollar; writes what it saw to `self.seen`."""

    cash_share = 0.2

    def initialize(self) -> None:
        self.sleeptime = self.parameters.get("sleeptime", "1M")
        if self.parameters.get("market"):
            self.set_market(self.parameters["market"])
        self.iteration = 0
        self.seen: list[Any] = []

    @property
    def assets(self) -> list[Asset]:
        return self.parameters["assets"]

    def on_trading_iteration(self) -> None:
        self.iteration += 1
        for asset in self.assets:
            self.trade(asset)

    def trade(self, asset: Asset) -> None:
        raise NotImplementedError

    def size(self, asset: Asset) -> float | int:
        price = self.get_last_price(asset)
        self.seen.append((self.get_datetime(), asset.symbol, price))
        if price is None:
            return 0
        quantity = self.cash_share * self.portfolio_value / (float(price) * asset.multiplier)
        return round(quantity, 4) if asset.asset_type == "crypto" else int(quantity)

    def held(self, asset: Asset) -> Any:
        return self.get_position(asset)


class Crossing(ParityStrategy):
    """Buys when a short average of the bars is above a long one, sells when below; on several timesteps."""

    def trade(self, asset: Asset) -> None:
        step, length = self.parameters.get("step", "minute"), self.parameters.get("length", 30)
        bars = self.get_historical_prices(asset, length, step)
        if bars is None or len(bars.df) < length // 2:
            return
        close = bars.df["close"]
        self.seen.append((self.get_datetime(), asset.symbol, float(close.iloc[-1]), float(bars.df["return"].sum())))
        rising = close.tail(length // 3).mean() > close.mean()
        position = self.held(asset)
        if rising and position is None:
            quantity = self.size(asset)
            if quantity > 0:
                self.submit_order(self.create_order(asset, quantity, "buy"))
        elif not rising and position is not None:
            self.submit_order(self.create_order(asset, position.quantity, "sell"))


class Brackets(ParityStrategy):
    """Enters with a bracket, leaves what is open to its stop and its target, cancels and starts over."""

    def trade(self, asset: Asset) -> None:
        price = self.get_last_price(asset)
        if price is None or self.held(asset) is not None or self.get_orders():
            if self.iteration % 200 == 0:
                self.cancel_open_orders()
                self.sell_all(cancel_open_orders=False)
            return
        quantity = self.size(asset)
        if quantity > 0:
            order = self.create_order(
                asset,
                quantity,
                "buy",
                order_class=Order.OrderClass.BRACKET,
                secondary_limit_price=float(price) * 1.004,
                secondary_stop_price=float(price) * 0.997,
            )
            self.submit_order(order)


class LimitsAndTrails(ParityStrategy):
    """Buys below the market, protects with a trailing stop; a stop-limit now and then."""

    def trade(self, asset: Asset) -> None:
        price = self.get_last_price(asset)
        quote = self.get_quote(asset)
        self.seen.append((self.get_datetime(), asset.symbol, price, quote.price, quote.bid, quote.ask, quote.volume))
        if price is None:
            return
        position = self.held(asset)
        if position is None and not self.get_orders():
            quantity = self.size(asset)
            if quantity > 0:
                self.submit_order(self.create_order(asset, quantity, "buy", limit_price=float(price) * 0.999))
        elif position is not None and len(self.get_orders()) == 0:
            if self.iteration % 3:
                order = self.create_order(asset, position.quantity, "sell", trail_percent=0.004)
            else:
                order = self.create_order(
                    asset,
                    position.quantity,
                    "sell",
                    stop_price=float(price) * 0.998,
                    stop_limit_price=float(price) * 0.99,
                )
            self.submit_order(order)
        elif self.iteration % 50 == 0:
            self.cancel_open_orders()


class ManyHorizons(ParityStrategy):
    """Looks at minutes, five minutes, hours and days at once, and at indicators."""

    def trade(self, asset: Asset) -> None:
        total = 0.0
        for length, step in self.parameters["requests"]:
            bars = self.get_historical_prices(asset, length, step)
            if bars is None or bars.df.empty:
                continue
            frame = bars.df
            total += float(frame["close"].iloc[-1] - frame["open"].iloc[0]) + float(frame["high"].max())
            self.seen.append((self.get_datetime(), asset.symbol, step, len(frame), total, str(frame.index[0])))
        step = self.parameters["requests"][0][1]
        average = self.indicators.sma(asset, length=10, timestep=step)
        strength = self.indicators.rsi(asset, length=14, timestep=step)
        self.seen.append((self.get_datetime(), average, strength))
        position = self.held(asset)
        if position is None and int(total * 100) % 3 == 0:
            quantity = self.size(asset)
            if quantity > 0:
                self.submit_order(self.create_order(asset, quantity, "buy"))
        elif position is not None and int(total * 100) % 5 == 0:
            self.submit_order(self.create_order(asset, position.quantity, "sell"))


class Indicating(ParityStrategy):
    """Notes indicators of Lumibot's: averages, tables, those of a window, and a custom one."""

    def trade(self, asset: Asset) -> None:
        step = self.parameters["step"]
        for name, settings in self.parameters["indicators"]:
            value = getattr(self.indicators, name)(asset, timestep=step, **settings)
            self.seen.append((self.get_datetime(), asset.symbol, name, repr(value), type(value).__name__))
        drawdown = self.indicators.custom("drawdown", lambda df: df["close"] / df["close"].cummax() - 1, asset, step)
        self.seen.append((self.get_datetime(), asset.symbol, repr(drawdown)))
        strength = self.indicators.rsi(asset, timestep=step, length=3)
        if strength is not None and strength > 50 and self.held(asset) is None:
            quantity = self.size(asset)
            if quantity > 0:
                self.submit_order(self.create_order(asset, quantity, "buy"))


class HoldForEvents(ParityStrategy):
    """Buys once and holds through dividends and splits."""

    def trade(self, asset: Asset) -> None:
        position = self.held(asset)
        dividend = self.broker.data_source.get_yesterday_dividends([asset])[asset]
        self.seen.append(
            (
                self.get_datetime(),
                asset.symbol,
                dividend,
                None if position is None else float(position.quantity),
                self.cash,
            )
        )
        if position is None and self.iteration > 5:
            quantity = self.size(asset)
            if quantity > 0:
                self.submit_order(self.create_order(asset, quantity, "buy"))


class ChainBuyer(ParityStrategy):
    """Looks at the option chain, buys calls and puts of the next expirations around the money and holds them to it."""

    def trade(self, asset: Asset) -> None:
        chains = self.get_chains(asset)
        price = self.get_last_price(asset)
        today = self.get_datetime().date().isoformat()
        for right in ("CALL", "PUT"):
            strikes_by_day = chains["Chains"][right]
            self.seen.append((self.get_datetime(), right, price, sorted(strikes_by_day.items())))
            for day in sorted(day for day in strikes_by_day if day > today)[:2]:
                strike = min(strikes_by_day[day], key=lambda strike: (abs(strike - price), strike))
                self.buy(
                    Asset(asset.symbol, "option", expiration=dt.date.fromisoformat(day), strike=strike, right=right)
                )

    def buy(self, option: Asset) -> None:
        bars = self.get_historical_prices(option, 5, "minute")
        quote = self.get_quote(option)
        self.seen.append((str(option), None if bars is None else bars.df.to_csv(), quote.price, quote.bid, quote.ask))
        if self.held(option) is None and option not in [order.asset for order in self.get_orders()]:
            quantity = self.size(option)
            if quantity > 0:
                self.submit_order(self.create_order(option, min(quantity, 5), "buy_to_open"))
