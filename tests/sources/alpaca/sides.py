"""Runs Lumibot's Alpaca source and ours against one loopback server, each in its own environment.

A `Side` is a class and a folder that was empty. While it is entered, Lumibot keeps its caches in that folder and a
store of ours is there too, the official clients talk to the loopback server, and nothing else can be reached.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import lumibot.credentials  # noqa: F401  (with a key in the environment it would start a broker)
from lumibot import constants
from lumibot.backtesting import AlpacaBacktesting as LumibotAlpacaBacktesting
from lumibot.backtesting import alpaca_backtesting

from lumibot_duckdb.backtesting import AlpacaBacktesting
from parity import ground
from parity.ground import environment, only_loopback
from sources.alpaca.loopback_client import clients_redirected_to
from sources.alpaca.server import KEY, SECRET, AlpacaServer

try:
    from lumibot.tools import shared_bar_cache
except ImportError:  # before Lumibot 4.6.25
    shared_bar_cache = None

CONFIG = {"API_KEY": KEY, "API_SECRET": SECRET, "PAPER": True}
IN_THE_ENVIRONMENT = {"ALPACA_API_KEY": KEY, "ALPACA_API_SECRET": SECRET, "ALPACA_IS_PAPER": "true"}


class Side(ground.Side):
    """The environment of this source."""

    @property
    def usual(self) -> dict[str, Any]:
        """The server's key and secret."""
        return {"config": dict(CONFIG)}

    @contextmanager
    def entered(self, server: AlpacaServer, **settings: str) -> Iterator[None]:
        """Enter this side's environment; `settings` are environment variables."""
        self.folder.mkdir(parents=True, exist_ok=True)
        cache = str(self.folder / "lumibot")
        if hasattr(shared_bar_cache, "_reset_process_memory"):  # releases without it keep no bars in memory
            shared_bar_cache._reset_process_memory()
        with (
            environment({"LUMIBOT_DUCKDB_PATH": str(self.store), **settings}),
            mock.patch.object(alpaca_backtesting, "LUMIBOT_CACHE_FOLDER", cache),
            mock.patch.object(constants, "LUMIBOT_CACHE_FOLDER", cache),
            mock.patch.object(LumibotAlpacaBacktesting, "ALPACA_MAX_REQUESTS_PER_MINUTE", 1_000_000),
            clients_redirected_to(server.url),
            only_loopback(),
        ):
            yield


def both_sides(folder: Path) -> tuple[Side, Side]:
    """Return Lumibot's side and ours."""
    return Side(LumibotAlpacaBacktesting, folder / "theirs"), Side(AlpacaBacktesting, folder / "ours")
