"""Runs Lumibot's Polygon source and ours against one loopback server, each on ground of its own.

A `Side` is a class and a folder that was empty. While it is entered, Lumibot keeps its Polygon cache in that folder and
a store of ours is there too, the official client talks to the loopback server, and nothing else can be reached.
"""

from __future__ import annotations

import datetime as dt
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from lumibot.backtesting import PolygonDataBacktesting as LumibotPolygonDataBacktesting
from lumibot.tools import polygon_helper

import lumibot_duckdb.backtesting
from wire.client import client_redirected_to
from wire.polygon_server import KEY, PolygonServer

# Set on the developer's machine, these would choose another source, key or storage.
FOREIGN = ("BACKTESTING_DATA_SOURCE", "POLYGON_API_KEY", "POLYGON_MAX_MEMORY_BYTES", "LUMIBOT_USE_DUCKDB")
# Lumibot sleeps for a minute when the client has given up; a second will do, and one more try.
PATIENCE = {"POLYGON_WAIT_SECONDS_RETRY": "1", "POLYGON_MAX_RETRY_ATTEMPTS": "1"}


class NetworkRefusedError(AssertionError):
    """Something wanted to leave this machine."""


def our_class() -> Any:
    """Return our class; the test that needs it is skipped while there is none."""
    try:
        return lumibot_duckdb.backtesting.PolygonDataBacktesting
    except AttributeError:
        pytest.skip("lumibot_duckdb.backtesting has no PolygonDataBacktesting yet")


@dataclass(frozen=True)
class Side:
    """A class of data source and the folder that it keeps its things in."""

    source_class: Any
    folder: Path

    @property
    def store(self) -> Path:
        """Where the store lies, for a class that has one."""
        return self.folder / "polygon.duckdb"

    @contextmanager
    def entered(self, server: PolygonServer) -> Iterator[None]:
        """Stand on this side's ground."""
        self.folder.mkdir(parents=True, exist_ok=True)
        kept = {name: value for name, value in os.environ.items() if name not in FOREIGN}
        environment = {**kept, **PATIENCE, "LUMIBOT_DUCKDB_PATH": str(self.store)}
        with (
            mock.patch.dict("os.environ", environment, clear=True),
            mock.patch.object(polygon_helper, "LUMIBOT_CACHE_FOLDER", str(self.folder / "lumibot")),
            mock.patch.dict(polygon_helper.schedule_cache, clear=True),
            mock.patch.dict(polygon_helper.buffered_schedules, clear=True),
            client_redirected_to(server.url),
            only_loopback(),
        ):
            yield

    def source(self, start: dt.datetime, end: dt.datetime, **settings: Any) -> Any:
        """Return a source over a span; the side must be entered."""
        return self.source_class(
            **{"datetime_start": start, "datetime_end": end, "api_key": KEY, "show_progress_bar": False, **settings}
        )


def both_sides(folder: Path) -> tuple[Side, Side]:
    """Return Lumibot's side and ours."""
    return Side(LumibotPolygonDataBacktesting, folder / "theirs"), Side(our_class(), folder / "ours")


@contextmanager
def silence() -> Iterator[None]:
    """Log nothing: Lumibot warns at every other random request, which takes longer than the answer."""
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


@contextmanager
def only_loopback() -> Iterator[None]:
    """Refuse every connection that leaves this machine."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        host = address[0] if isinstance(address, tuple) else address
        if self.family in (socket.AF_INET, socket.AF_INET6) and host not in ("127.0.0.1", "::1", "localhost"):
            raise NetworkRefusedError(f"a test wanted to reach {address}")
        connect(self, address)

    with mock.patch.object(socket.socket, "connect", guarded):
        yield
