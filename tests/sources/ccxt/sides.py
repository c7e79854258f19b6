"""Runs Lumibot's CCXT source and ours against one loopback server, each on ground of its own.

While a side is entered, Lumibot keeps its cache in that folder and a store of ours is there too, ccxt talks to the
loopback server, and nothing else can be reached. Nobody sleeps: Lumibot's cache does after every tenth page.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

from lumibot.backtesting import CcxtBacktesting as LumibotCcxtBacktesting
from lumibot.tools import ccxt_data_store

from lumibot_duckdb.backtesting import CcxtBacktesting
from parity import ground
from parity.ground import environment, only_loopback
from sources.ccxt.exchanges import exchange_redirected_to
from wire.loopback import LoopbackServer


@dataclass(frozen=True)
class Side(ground.Side):
    """The ground of this source."""

    exchange_id: str = "binance"

    @property
    def usual(self) -> dict[str, Any]:
        """The exchange."""
        return {"exchange_id": self.exchange_id}

    @contextmanager
    def entered(self, server: LoopbackServer) -> Iterator[None]:
        """Stand on this side's ground."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (
            environment({"LUMIBOT_DUCKDB_PATH": str(self.store)}),
            mock.patch.object(ccxt_data_store, "LUMIBOT_CACHE_FOLDER", str(self.folder / "lumibot")),
            mock.patch.object(ccxt_data_store, "time", SimpleNamespace(sleep=lambda seconds: None)),
            exchange_redirected_to(server.url, self.exchange_id),
            only_loopback(),
        ):
            yield


def both_sides(folder: Path, exchange_id: str = "binance") -> tuple[Side, Side]:
    """Return Lumibot's side and ours."""
    return (
        Side(LumibotCcxtBacktesting, folder / "theirs", exchange_id),
        Side(CcxtBacktesting, folder / "ours", exchange_id),
    )
