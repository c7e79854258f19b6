"""Lets an old release of Lumibot fill its Polygon cache from a loopback server. Runs in that release's environment.

python old_market.py        # in this project's environment: prints an address
python write_old_cache.py ADDRESS FOLDER        # in an environment with the old release
"""

from __future__ import annotations

import datetime as dt
import inspect
import sys
from typing import Any

from lumibot.entities import Asset
from lumibot.tools import polygon_helper

KEY = "loopback-key-which-no-log-may-show"
START, END = dt.datetime(2023, 3, 6), dt.datetime(2023, 3, 10, 23)


def main(url: str, folder: str) -> None:
    made = polygon_helper.RESTClient.__init__
    made.__defaults__ = tuple(url if value == "https://api.polygon.io" else value for value in made.__defaults__)
    polygon_helper.LUMIBOT_CACHE_FOLDER = folder
    option = Asset("OLD", "option", expiration=dt.date(2023, 3, 17), strike=100.0, right="CALL")
    dollar = Asset("USD", "forex")
    for asset, timespan in ((Asset("OLD"), "minute"), (option, "minute"), (Asset("BTC", "crypto"), "hour")):
        settings: dict[str, Any] = {"has_paid_subscription": True, "quote_asset": dollar}
        known = inspect.signature(polygon_helper.get_price_data_from_polygon).parameters
        wanted = {name: value for name, value in settings.items() if name in known}
        for _ in range(2):  # the second time, newer releases look for splits
            polygon_helper.get_price_data_from_polygon(KEY, asset, START, END, timespan=timespan, **wanted)
    if hasattr(polygon_helper, "get_chains_cached"):
        client = polygon_helper.PolygonClient.create(api_key=KEY)
        polygon_helper.get_chains_cached(KEY, Asset("OLD"), current_date=START.date(), polygon_client=client)


if __name__ == "__main__":
    main(*sys.argv[1:])
