"""A script as a side of a comparison runs it: Lumibot's classes of all four sources, in a process without any key.

`python -m comparison.on_stored_bars STORE` prints, as JSON, last prices, what was not stored, and which sockets were
connected.
"""

from __future__ import annotations

import json
import sys
from datetime import datetime
from typing import Any

import pytz

from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.comparison.stored_provider import serve_from_store, unanswered

connected: list[str] = []


def watch(event: str, arguments: Any) -> None:
    if event == "socket.connect":
        connected.append(str(arguments[1]))


def main(store: str) -> None:
    sys.addaudithook(watch)
    storage = DuckDBDataStorage(store)
    serve_from_store(storage)

    from lumibot.backtesting import (
        AlpacaBacktesting,
        CcxtBacktesting,
        PolygonDataBacktesting,
        YahooDataBacktesting,
    )
    from lumibot.entities import Asset

    new_york = pytz.timezone("America/New_York")
    start, end, now = (new_york.localize(datetime(2024, 3, day, 12)) for day in (5, 8, 7))
    stock, coin, dollar = Asset("AAA"), Asset("BBB", "crypto"), Asset("USDT", "crypto")
    prices = {}
    for source_class, asset, quote, settings in (
        (PolygonDataBacktesting, stock, None, {}),
        (YahooDataBacktesting, stock, None, {}),
        (AlpacaBacktesting, stock, None, {"timestep": "minute"}),
        (CcxtBacktesting, coin, dollar, {"exchange_id": "binance"}),
    ):
        source = source_class(datetime_start=start, datetime_end=end, show_progress_bar=False, **settings)
        source._datetime = now
        prices[source_class.__name__] = float(source.get_last_price(asset, quote=quote))
    print(json.dumps({"prices": prices, "unanswered": unanswered(), "connected": connected}))


if __name__ == "__main__":
    main(sys.argv[1])
