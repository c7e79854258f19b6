"""Runs Lumibot's Polygon source and ours against one loopback server, each in its own environment.

A `Side` is a class and a folder that was empty. While it is entered, Lumibot keeps its Polygon cache in that folder and
a store of ours is there too, the official client talks to the loopback server, and nothing else can be reached.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from lumibot.backtesting import PolygonDataBacktesting as LumibotPolygonDataBacktesting
from lumibot.tools import polygon_helper

import lumibot_duckdb.backtesting
from lumibot_duckdb.sources.polygon import client as our_client
from lumibot_duckdb.sources.retry_policy import RetryPolicy
from parity import ground
from parity.ground import environment, only_loopback
from sources.polygon.loopback_client import client_redirected_to
from sources.polygon.server import KEY, PolygonServer

# Lumibot sleeps for a minute when the client has given up; a second will do, and one more try.
PATIENCE = {"POLYGON_WAIT_SECONDS_RETRY": "1", "POLYGON_MAX_RETRY_ATTEMPTS": "1"}


def our_class() -> Any:
    """Return our class; the test that needs it is skipped while there is none."""
    try:
        return lumibot_duckdb.backtesting.PolygonDataBacktesting
    except AttributeError:
        pytest.skip("lumibot_duckdb.backtesting has no PolygonDataBacktesting yet")


class Side(ground.Side):
    """The environment of this source."""

    @property
    def usual(self) -> dict[str, Any]:
        """The server's key."""
        return {"api_key": KEY}

    @contextmanager
    def entered(self, server: PolygonServer) -> Iterator[None]:
        """Enter this side's environment."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (
            environment({**PATIENCE, "LUMIBOT_DUCKDB_PATH": str(self.store)}),
            mock.patch.object(polygon_helper, "LUMIBOT_CACHE_FOLDER", str(self.folder / "lumibot")),
            mock.patch.object(our_client, "RetryPolicy", partial(RetryPolicy, fault_pause=0.01)),
            mock.patch.dict(polygon_helper.schedule_cache, clear=True),
            mock.patch.dict(polygon_helper.buffered_schedules, clear=True),
            client_redirected_to(server.url),
            only_loopback(),
        ):
            yield


def both_sides(folder: Path) -> tuple[Side, Side]:
    """Return Lumibot's side and ours."""
    return Side(LumibotPolygonDataBacktesting, folder / "theirs"), Side(our_class(), folder / "ours")
