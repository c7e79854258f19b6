"""Dividends and splits of your own bars: they are applied when and only when Lumibot applies them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from lumibot.backtesting import PandasDataBacktesting as LumibotPandasDataBacktesting
from lumibot.entities import Asset, Data
from lumibot.strategies import Strategy

from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.backtesting import PandasDataBacktesting
from parity.backtests import run
from parity.series import DOLLAR, NEW_YORK

ABC = Asset("ABC")
SPAN = ("2024-03-01", "2024-03-29")
BUDGET = 100_000


class BuyAndHold(Strategy):
    def initialize(self) -> None:
        self.sleeptime = "1D"

    def on_trading_iteration(self) -> None:
        if self.get_datetime().day == 4:
            self.submit_order(self.create_order(ABC, self.parameters["shares"], "buy"))


def bars(*, split: float = 0.0, dividend: float = 0.0) -> pd.DataFrame:
    """Return days at 50, with a split or a dividend on 2024-03-20."""
    index = pd.bdate_range("2024-02-01", "2024-04-12", tz=NEW_YORK)
    frame = pd.DataFrame({"open": 50.0, "high": 50.0, "low": 50.0, "close": 50.0, "volume": 1_000}, index=index)
    frame["dividend"], frame["stock_splits"] = 0.0, 0.0
    frame.loc["2024-03-20", ["dividend", "stock_splits"]] = dividend, split
    return frame


def end_of(source: Any, folder: Path, shares: int, **settings: Any) -> tuple[float, float]:
    """Return the shares held and the value of the portfolio at the end of a backtest."""
    result = run(BuyAndHold, source, folder, *SPAN, {"shares": shares}, budget=BUDGET, **settings)
    position = result.strategy.get_position(ABC)
    return float(position.quantity), float(result.values["portfolio_value"].iloc[-1])


EVENTS = {"split": (bars(split=2.0), 1_000), "dividend": (bars(dividend=1.5), 100)}
WITHOUT_QUOTE = {"split": (1_000.0, 100_000.0), "dividend": (100.0, 100_000.0)}
WITH_QUOTE = {"split": (2_000.0, 150_000.0), "dividend": (100.0, 100_150.0)}
"""The shares and the value of the portfolio at the end."""


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize(("quote", "expected"), [(None, WITHOUT_QUOTE), (DOLLAR, WITH_QUOTE)])
def test_they_are_applied_if_lumibot_applies_them(
    event: str, quote: Asset | None, expected: dict[str, tuple[float, float]], tmp_path: Path
) -> None:
    frame, shares = EVENTS[event]

    def data() -> list[Data]:
        return [Data(ABC, frame.copy(), timestep="day", quote=quote)]

    storage = DuckDBDataStorage(tmp_path / "own.duckdb")
    storage.store_ohlcv_data(ABC, frame, "own", "day")
    named = PandasDataBacktesting.using(storage, assets=[ABC if quote is None else (ABC, quote)], timestep="day")
    all_with_quote = PandasDataBacktesting.using(storage, timestep="day", quote=quote)
    off = type("PandasDataBacktesting", (all_with_quote,), {"use_duckdb": False})
    found = {
        "lumibot": end_of(LumibotPandasDataBacktesting, tmp_path / "lumibot", shares, pandas_data=data()),
        "passed": end_of(PandasDataBacktesting, tmp_path / "passed", shares, pandas_data=data()),
        "named": end_of(named, tmp_path / "named", shares),
        "quote=": end_of(all_with_quote, tmp_path / "quote", shares),
        "switched off": end_of(off, tmp_path / "off", shares),
    }
    assert found == dict.fromkeys(found, expected[event])


def test_an_asset_is_named_without_a_quote_only_if_it_has_none(tmp_path: Path) -> None:
    storage = DuckDBDataStorage(tmp_path / "own.duckdb")
    coin, tether = Asset("BTC", "crypto"), Asset("USDT", "crypto")
    euro, plain = Asset("EUR", "forex"), Asset("ETH", "crypto")
    for asset in (ABC, (coin, tether), (euro, DOLLAR), plain):
        storage.store_ohlcv_data(asset, bars(), "own", "day")
    span = {"datetime_start": pd.Timestamp(SPAN[0]), "datetime_end": pd.Timestamp(SPAN[1])}

    def quotes(**settings: Any) -> dict[str, Asset | None]:
        source = PandasDataBacktesting.using(storage, timestep="day", **settings)(**span, show_progress_bar=False)
        assert all(key == (data.asset, data.quote or DOLLAR) for key, data in source.pandas_data.items())
        return {data.symbol: data.quote for data in source.pandas_data.values()}

    own = {"BTC": tether, "EUR": DOLLAR}
    assert quotes() == {"ABC": None, "ETH": DOLLAR, **own}, "Lumibot rejects crypto without a quote"
    assert quotes(quote=tether) == {"ABC": tether, "ETH": tether, **own}
    assert quotes(assets=[(ABC, DOLLAR)], quote=tether) == {"ABC": DOLLAR}
    assert quotes(assets=["ABC", ("EUR", "USD")], quote=None) == {"ABC": None, "EUR": DOLLAR}


def test_a_quote_that_is_no_asset_is_rejected() -> None:
    with pytest.raises(TypeError, match=r"quote must be an Asset.*not 'USD'"):
        PandasDataBacktesting.using(quote="USD")  # type: ignore[arg-type]


def intraday(timestep: str) -> Data:
    index = pd.date_range("2024-03-04 09:30", "2024-03-22 15:30", freq="30min", tz=NEW_YORK)
    prices = dict.fromkeys(("open", "high", "low", "close"), 50.0)
    return Data(Asset("MIN"), pd.DataFrame({**prices, "volume": 1}, index), timestep=timestep, quote=DOLLAR)


@pytest.mark.parametrize("timesteps", [("minute",), ("minute", "day"), ("hour", "day"), ("minute", " Day ")])
def test_daily_bars_are_found_beside_others_as_in_lumibot(timesteps: tuple[str, ...]) -> None:
    found = []
    for source_class in (LumibotPandasDataBacktesting, PandasDataBacktesting):
        data = [intraday(timesteps[0])]
        if len(timesteps) > 1:
            data.append(Data(ABC, bars(split=2.0), timestep="day", quote=DOLLAR))
        source = source_class(
            pd.Timestamp("2024-03-04", tz=NEW_YORK), pd.Timestamp("2024-03-22", tz=NEW_YORK), pandas_data=data
        )
        source.load_data()
        for each in source._data_store.values():
            if each.asset == ABC:
                each.timestep = timesteps[1]
        frames = [source._get_backtest_daily_corporate_action_frame(asset, DOLLAR) for asset in (ABC, Asset("MIN"))]
        found.append([None if frame is None else frame["stock_splits"].to_dict() for frame in frames])
    assert found[0] == found[1]
    assert (found[0][0] is None) == (len(timesteps) == 1)
