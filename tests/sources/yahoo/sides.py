"""Runs Lumibot's Yahoo source and ours against one loopback server, each in its own environment.

A `Side` is a class and a folder that was empty. While it is entered, Lumibot keeps its pickles and `yfinance` its
caches in that folder and a store of ours is there too; Lumibot does not sleep, and requests to Yahoo go to the loopback
server. If the server serves a moment of the past, our side takes that for the present.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

from lumibot.backtesting import YahooDataBacktesting as LumibotYahooDataBacktesting

from lumibot_duckdb import clock
from lumibot_duckdb.backtesting import YahooDataBacktesting
from parity import ground
from parity.ground import environment, only_loopback
from sources.yahoo import ground as yahoo_ground
from sources.yahoo.server import YahooServer


class Side(ground.Side):
    """The environment of this source."""

    @property
    def pickles(self) -> Path:
        """Where Lumibot keeps its histories."""
        return yahoo_ground.pickles(self.folder)

    @contextmanager
    def entered(self, server: YahooServer) -> Iterator[None]:
        """Stand on this side's ground."""
        with (
            environment({"LUMIBOT_DUCKDB_PATH": str(self.store)}),
            mock.patch.object(clock, "utc_now", side_effect=lambda: server.moment().to_pydatetime()),
            yahoo_ground.yahoo_at(server, self.folder),
            only_loopback(),
        ):
            yield


def both_sides(folder: Path) -> tuple[Side, Side]:
    """Return Lumibot's side and ours."""
    return Side(LumibotYahooDataBacktesting, folder / "theirs"), Side(YahooDataBacktesting, folder / "ours")
