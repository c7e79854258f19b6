"""The trades of a backtest are drawn on the candles in which they happened."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from analytics.market import frame
from charts.test_chart import traces
from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.charts.errors import ChartError
from lumibot_duckdb.charts.trades import fills_of
from lumibot_duckdb.storage.api import AssetKey

COLUMNS = ["time", "side", "status", "filled_quantity", "symbol", "asset.asset_type", "price"]


def table(*rows: tuple[Any, ...]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=COLUMNS)


TRADES = table(
    ("2024-01-02 09:31:00-05:00", "buy", "new", None, "AAPL", "stock", None),
    ("2024-01-02 09:31:00-05:00", "buy", "fill", 10.0, "AAPL", "stock", 101.25),
    ("2024-01-02 09:33:30-05:00", "buy_to_open", "partial_fill", 0.5, "AAPL", "stock", 102.0),
    ("2024-01-02 09:40:00-05:00", "sell", "fill", 10.5, "AAPL", "stock", None),
    ("2024-01-02 09:40:00-05:00", "sell", "fill", 1.0, "MSFT", "stock", 5.0),
    ("2024-01-01 09:40:00-05:00", "sell", "fill", 1.0, "AAPL", "stock", 5.0),
    ("2024-07-01 09:40:00-04:00", "sell", "fill", 1.0, "AAPL", "stock", 5.0),
)


@pytest.mark.parametrize("as_file", [True, False])
def test_fills_are_on_their_candles(storage: DuckDBDataStorage, tmp_path: Path, as_file: bool) -> None:
    bars = frame(60)
    storage.store_ohlcv_data("AAPL", bars, "test", "minute")
    file = tmp_path / "My_trades.csv"
    TRADES.to_csv(file, index=False)
    figure = storage.chart("AAPL", "minute", trades=file if as_file else TRADES)
    bought, sold = traces(figure)["bought"], traces(figure)["sold"]
    assert bought.x == ("2024-01-02<br>09:31", "2024-01-02<br>09:33")
    assert bought.y == (101.25, 102.0)
    assert bought.customdata == (
        "buy 10 at 101.25, 2024-01-02 09:31",
        "buy to open 0.5 at 102, 2024-01-02 09:33",
    )
    assert (sold.x, sold.y) == (("2024-01-02<br>09:40",), (bars["close"].iloc[10],))
    assert sold.customdata == ("sell 10.5, 2024-01-02 09:40",)
    assert "2 of 5 fills are outside of this range." in figure.layout.title.text


def test_fills_on_larger_candles_and_at_other_times(storage: DuckDBDataStorage) -> None:
    storage.store_ohlcv_data("AAPL", frame(9_000), "test", "minute")
    times = pd.to_datetime(["2024-01-02 09:34:59", "2024-01-02 09:35:00", "2024-01-08 15:29:30", "2024-01-08 15:30:00"])
    trades = table(*((time, "buy", "fill", 1.0, "AAPL", "stock", 1.0) for time in times))
    figure = storage.chart("AAPL", "minute", trades=trades)  # naive times are New York's
    assert traces(figure)["bought"].x == ("2024-01-02<br>09:30", "2024-01-02<br>09:35", "2024-01-08<br>15:25")
    assert "1 of 4 fills are outside" in figure.layout.title.text


def test_contracts_and_pairs_are_told_apart() -> None:
    columns = [*COLUMNS, "asset.right", "asset.strike", "asset.expiration"]
    common = ("2024-01-02 10:00:00-05:00", "buy", "fill")
    rows = [
        (*common, 1.0, "SPY", "stock", 470.0, None, 0.0, None),
        (*common, 2.0, "SPY", "option", 3.0, "CALL", 470.0, "2024-01-19"),
        (*common, 3.0, "SPY", "option", 2.0, "PUT", 470.0, "2024-01-19"),
        (*common, 4.0, "SPY", "option", 1.0, "CALL", 480.0, "2024-01-19"),
        (*common, 5.0, "SPY", "option", 1.0, "CALL", 470.0, "2024-02-16"),
        (*common, 6.0, "BTC", "crypto", 1.0, None, 0.0, None),
    ]
    trades = pd.DataFrame(rows, columns=columns)
    call = AssetKey("SPY", "option", expiration=date(2024, 1, 19), strike=470, right="CALL")
    for asset, quantity in ((AssetKey("SPY"), 1.0), (call, 2.0), (AssetKey("BTC", "crypto", "USD"), 6.0)):
        assert [fill.quantity for fill in fills_of(trades, asset)] == [quantity]


def test_mistakes_are_named(storage: DuckDBDataStorage, tmp_path: Path) -> None:
    storage.store_ohlcv_data("TSLA", frame(60), "test", "minute")
    file = tmp_path / "a.csv"
    for trades, message in (
        (TRADES, "the frame of trades has no fill of TSLA stock; it has fills of AAPL, MSFT"),
        (TRADES.iloc[:1], "has no fill of TSLA stock; it has no fills at all"),
        (TRADES.drop(columns="price"), "lacks the column 'price': pass the trades of a backtest"),
        (table(("noon", "buy", "fill", 1.0, "TSLA", "stock", 1.0)), "has an unusable time: "),
        (file, r"a.csv: No such file or directory; name the \*_trades.csv of a backtest"),
        (7, "trades are a file or a frame, not int"),
    ):
        with pytest.raises(ChartError, match=message):
            storage.chart("TSLA", "minute", trades=trades)
    file.write_bytes(b"")
    with pytest.raises(ChartError, match=r"a.csv is not a CSV file of trades"):
        storage.chart("TSLA", "minute", trades=file)
