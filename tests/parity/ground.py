"""The environment in which two sources are compared: quiet, and isolated from networks and the user's settings."""

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

# Set on the developer's machine, these would choose another source, key or storage.
FOREIGN = (
    "ALPACA_API_KEY",
    "ALPACA_API_SECRET",
    "ALPACA_IS_PAPER",
    "ALPACA_OAUTH_TOKEN",
    "BACKTESTING_DATA_SOURCE",
    "LUMIBOT_DUCKDB_LOG_STATS",
    "LUMIBOT_DUCKDB_PATH",
    "LUMIBOT_DUCKDB_ROLLOUT",
    "LUMIBOT_DUCKDB_STORE_FRAMES",
    "LUMIBOT_USE_DUCKDB",
    "MARKET",
    "POLYGON_API_KEY",
    "POLYGON_MAX_MEMORY_BYTES",
)


@dataclass(frozen=True)
class Side:
    """A class of data source and the folder that it keeps its things in, which was empty.

    Each source's own says how to stand on its ground (`entered`).
    """

    source_class: Any
    folder: Path

    @property
    def store(self) -> Path:
        """The path of the store, for a class that has one."""
        return self.folder / "store.duckdb"

    @property
    def usual(self) -> dict[str, Any]:
        """Default keyword arguments of the class."""
        return {}

    def source(self, start: dt.datetime, end: dt.datetime, **settings: Any) -> Any:
        """Return a source over a span; the side must be entered."""
        span = {"datetime_start": start, "datetime_end": end, "show_progress_bar": False}
        return self.source_class(**{**span, **self.usual, **settings})


class NetworkRefusedError(AssertionError):
    """Something tried to connect to another machine."""


@contextmanager
def environment(settings: dict[str, str]) -> Iterator[None]:
    """Set these environment variables, and remove those of the developer's machine."""
    kept = {name: value for name, value in os.environ.items() if name not in FOREIGN}
    with mock.patch.dict("os.environ", {**kept, **settings}, clear=True):
        yield


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
    """Refuse every connection of a Python socket that leaves this machine."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        host = address[0] if isinstance(address, tuple) else address
        if self.family in (socket.AF_INET, socket.AF_INET6) and host not in ("127.0.0.1", "::1", "localhost"):
            raise NetworkRefusedError(f"a test wanted to reach {address}")
        connect(self, address)

    with mock.patch.object(socket.socket, "connect", guarded):
        yield
