"""The self-test's script on sources of ours in which the last bit of one price was changed."""

from __future__ import annotations

import os
import runpy
import sys
from functools import wraps
from typing import Any

import numpy as np

FRAMES, PRICES = ("Polygon", "Alpaca", "Ccxt"), ("Yahoo", "Pandas")
"""Sources whose frames, and whose last prices, are changed."""
_CLASSES = {
    "Polygon": "PolygonDataBacktesting",
    "Yahoo": "YahooDataBacktesting",
    "Alpaca": "AlpacaBacktesting",
    "Ccxt": "CcxtBacktesting",
    "Pandas": "PandasDataBacktesting",
}


def _change_frames(source_class: Any) -> None:
    answer = source_class.get_historical_prices

    @wraps(answer)
    def changed(source: Any, *args: Any, **kwargs: Any) -> Any:
        bars = answer(source, *args, **kwargs)
        if bars is not None and len(bars.df):
            frame = bars.df.copy()
            frame.iloc[-1, frame.columns.get_loc("low")] = np.nextafter(frame["low"].iloc[-1], np.inf)
            bars.df = frame
        return bars

    source_class.get_historical_prices = changed


def _change_prices(source_class: Any) -> None:
    answer = source_class.get_last_price

    @wraps(answer)
    def changed(source: Any, *args: Any, **kwargs: Any) -> Any:
        price = answer(source, *args, **kwargs)
        return price if price is None else type(price)(np.nextafter(float(price), np.inf))

    source_class.get_last_price = changed


def main() -> None:
    if os.environ["LUMIBOT_USE_DUCKDB"] == "true":
        from lumibot_duckdb import backtesting

        for change, names in ((_change_frames, FRAMES), (_change_prices, PRICES)):
            for name in names:
                change(getattr(backtesting, _CLASSES[name]))
    runpy.run_module("lumibot_duckdb.doctor.self_test.script", run_name="__main__")


if __name__ == "__main__":
    assert len(sys.argv) == 2
    main()
