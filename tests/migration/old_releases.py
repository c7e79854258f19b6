"""Makes the caches in `data/`: in an environment with an older Lumibot, against the loopback servers of these tests.

    python tests/migration/old_releases.py NAME PYTHON

`PYTHON` is the interpreter of such an environment. Only base addresses are redirected there; what is cached is then
kept in `data/NAME.tar.xz`. The markets are those of `small_yahoo`, `small_exchange` and `small_alpaca`.
"""

from __future__ import annotations

import datetime as dt
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

DATA = Path(__file__).parent / "data"
SATURDAY = "2024-06-29 12:00"

IN_THE_OLD_ENVIRONMENT = """
import datetime as dt, re, sys, types
from types import SimpleNamespace
import pytz

kind, server = sys.argv[1:]
if kind == "yahoo":
    from curl_cffi.requests import Session
    request = Session.request
    hosts = {"query1.finance": "", "query2.finance": "", "fc": "/fc", "guce": "/guce", "consent": "/consent"}
    def redirected(self, method, url, *rest, **settings):
        for host, path in hosts.items():
            url = url.replace(f"https://{host}.yahoo.com", server + path)
        return request(self, method, url, *rest, **settings)
    Session.request = redirected
    from lumibot.tools import yahoo_helper
    helper = yahoo_helper.YahooHelper
    now = pytz.timezone("America/New_York").localize(dt.datetime(2024, 6, 29, 12))
    yahoo_helper.get_lumibot_datetime = lambda: now
    fetch = getattr(helper, "fetch_symbol_data", None) or helper.fetch_symbol_day_data
    for symbol in ("AAA", "BTC-USD", "VOD.L"):
        fetch(symbol)
elif kind == "ccxt":
    import ccxt
    describe = ccxt.binance.describe
    def moved(address):
        if isinstance(address, dict):
            return {name: moved(each) for name, each in address.items()}
        return server + re.sub(r"^https://[^/]*", "", address)
    def described(self):
        return self.deep_extend(
            describe(self), {"urls": {"api": moved(describe(self)["urls"]["api"])}, "rateLimit": 0.001}
        )
    ccxt.binance.describe = described
    from lumibot.tools.ccxt_data_store import CcxtCacheDB
    cache = CcxtCacheDB("binance")
    cache.download_ohlcv("GAPS/USDT", "1m", dt.datetime(2023, 3, 11), dt.datetime(2023, 3, 11))
    cache.download_ohlcv("GAPS/USDT", "1m", dt.datetime(2023, 3, 10), dt.datetime(2023, 3, 11))
    cache.download_ohlcv("BTC/USDT", "1d", dt.datetime(2023, 2, 24), dt.datetime(2023, 3, 14))
else:
    from alpaca.common.enums import BaseURL
    from alpaca.data.historical import crypto, stock
    addresses = {name: str(value.value) for name, value in BaseURL.__members__.items()}
    for module in (stock, crypto):
        module.BaseURL = SimpleNamespace(**{**addresses, "DATA": server})
    from lumibot.backtesting import AlpacaBacktesting
    from lumibot.entities import Asset
    new_york = pytz.timezone("America/New_York")
    span = [new_york.localize(dt.datetime(2023, 11, day)) for day in (6, 9)]
    config = {"API_KEY": "PKLOOPBACKKEYFORTESTS", "API_SECRET": "loopback-secret-which-no-log-may-show", "PAPER": True}
    for timestep, assets in (("minute", ["THIN"]), ("day", ["THIN", "SPLT", "BTC"])):
        source = AlpacaBacktesting(
            datetime_start=span[0], datetime_end=span[1], config=config, timestep=timestep, market="NASDAQ"
        )
        for symbol in assets:
            asset = Asset(symbol, "crypto") if symbol == "BTC" else Asset(symbol)
            source.get_historical_prices_between_dates(
                base_asset=asset, quote_asset=Asset("USD", "forex"), timestep=timestep
            )
"""


def small_yahoo():  # type: ignore[no-untyped-def]
    """Return a server with three symbols of half a year."""
    import pandas as pd

    from sources.yahoo.market import new_york_days, walk
    from sources.yahoo.server import Instrument, YahooServer

    days, every_day = new_york_days("2024-02-01", "2024-06-28"), pd.date_range("2024-02-01", "2024-06-28")
    paid = {dt.date(2024, 3, 15): 0.25, dt.date(2024, 6, 14): 0.25}
    instruments = {
        "AAA": Instrument(walk(days, 1), dividends=paid, splits={dt.date(2024, 4, 15): (4.0, 1.0)}),
        "BTC-USD": Instrument(
            walk(every_day, 3), kind="CRYPTOCURRENCY", market="ccc_market", zone="UTC", hours=("00:00", "24:00")
        ),
        "VOD.L": Instrument(
            walk(pd.bdate_range("2024-02-01", "2024-06-28"), 7),
            market="gb_market",
            zone="Europe/London",
            hours=("08:00", "16:30"),
        ),
    }
    server = YahooServer(instruments=instruments)
    server.now = pd.Timestamp(SATURDAY, tz="America/New_York").tz_convert("UTC")
    return server


def small_exchange():  # type: ignore[no-untyped-def]
    """Return Binance with a few coins."""
    from sources.ccxt.market import spring

    return spring().server()


def small_alpaca():  # type: ignore[no-untyped-def]
    """Return Alpaca with an autumn."""
    from sources.alpaca.market import MARKETS, fill
    from sources.alpaca.server import AlpacaServer

    server = AlpacaServer()
    fill(server, MARKETS["autumn"]())
    return server


def make(name: str, python: str) -> None:
    """Fill a cache with an older Lumibot, and keep it."""
    with tempfile.TemporaryDirectory() as folder:
        home = {**os.environ, "XDG_CACHE_HOME": folder, "HOME": folder, "NO_PROXY": "127.0.0.1"}
        home.pop("PYTHONPATH", None)
        for kind, server in (("yahoo", small_yahoo()), ("ccxt", small_exchange()), ("alpaca", small_alpaca())):
            with server:
                ran = subprocess.run(
                    [python, "-c", IN_THE_OLD_ENVIRONMENT, kind, server.url],
                    env=home,
                    cwd=folder,
                    capture_output=True,
                    text=True,
                )
            print(kind, ran.returncode, ran.stderr.strip().splitlines()[-1:])
        archive = DATA / f"{name}.tar.xz"
        archive.parent.mkdir(exist_ok=True)
        with tarfile.open(archive, "w:xz") as kept:
            for path in sorted(Path(folder).rglob("*")):
                if path.suffix in (".pickle", ".csv", ".duckdb") and path.parent.name in ("yahoo", "alpaca", "binance"):
                    kept.add(path, f"{path.parent.name}/{path.name}")
                    print(path.relative_to(folder), path.stat().st_size)
        print(archive.stat().st_size)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))
    make(*sys.argv[1:])
