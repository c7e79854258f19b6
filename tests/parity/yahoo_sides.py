"""Runs Lumibot's Yahoo source and ours against one loopback server, each on ground of its own.

A `Side` is a class and a folder that was empty. While it is entered, Lumibot keeps its pickles and `yfinance` its
caches in that folder and a store of ours is there too; Lumibot does not sleep, and what is asked of Yahoo goes to the
loopback server. If the server serves a moment of the past, our side takes that for the present.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

from lumibot.backtesting import YahooDataBacktesting as LumibotYahooDataBacktesting
from lumibot.tools import yahoo_helper

from lumibot_duckdb.backtesting import YahooDataBacktesting, yahoo_history
from parity import ground
from parity.ground import environment, only_loopback
from wire.yahoo_client import yfinance_redirected_to
from wire.yahoo_server import YahooServer


class Side(ground.Side):
    """The ground of this source."""

    @property
    def pickles(self) -> Path:
        """Where Lumibot keeps its histories."""
        return self.folder / "lumibot"

    @contextmanager
    def entered(self, server: YahooServer) -> Iterator[None]:
        """Stand on this side's ground."""
        self.pickles.mkdir(parents=True, exist_ok=True)
        helper = yahoo_helper.YahooHelper

        def now() -> float:
            return server.moment().timestamp()

        with (
            environment({"LUMIBOT_DUCKDB_PATH": str(self.store)}),
            mock.patch.object(helper, "LUMIBOT_YAHOO_CACHE_FOLDER", str(self.pickles)),
            mock.patch.object(helper, "CACHING_ENABLED", True),
            mock.patch.object(helper, "sleep_and_get_proxy", staticmethod(lambda: None)),
            mock.patch.object(yahoo_helper, "time", SimpleNamespace(sleep=lambda seconds: None)),
            mock.patch.object(yahoo_history, "now", now),
            yfinance_redirected_to(server.url, self.folder / "yfinance"),
            only_loopback(),
        ):
            yield


def both_sides(folder: Path) -> tuple[Side, Side]:
    """Return Lumibot's side and ours."""
    return Side(LumibotYahooDataBacktesting, folder / "theirs"), Side(YahooDataBacktesting, folder / "ours")
