"""The two Polygon sources, for a process that reaches no other machine.

The environment says where each finds its bars. Lumibot reads it when it is imported, so this module imports nothing
of Lumibot's at its top.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any
from unittest import mock

from benchmarks.sides import new_york

KEY = "no-key-is-needed"
OPPONENT = "Lumibot's PolygonDataBacktesting"
_MODULES = {"lumibot": "lumibot.backtesting", "duckdb": "lumibot_duckdb.backtesting"}
_READERS = {"lumibot": "pyarrow.parquet", "duckdb": "lumibot_duckdb.duckdb_storage"}


class NetworkRefusedError(AssertionError):
    """A side tried to reach another machine."""


def source_class(side: str) -> Any:
    """Import what a script of this side imports, and its reader of bars; return its data source class."""
    for module in ("lumibot.strategies", "lumibot.entities", _READERS[side]):
        import_module(module)
    return import_module(_MODULES[side]).PolygonDataBacktesting


def make_source(side: str, start: str, end: str, key: str = KEY) -> Any:
    """Return a data source for a backtest between two days."""
    source = source_class(side)(
        datetime_start=new_york(start), datetime_end=new_york(end), api_key=key, show_progress_bar=False
    )
    source.load_data()
    return source


@contextmanager
def only_this_machine() -> Iterator[None]:
    """Refuse connections to other machines, and fail at the end if anything tried one.

    Lumibot swallows errors in downloads, so the refusal alone would go unnoticed.
    """
    refused: list[NetworkRefusedError] = []
    look_up, connect = socket.getaddrinfo, socket.socket.connect

    def refuse_foreign(host: Any) -> None:
        if host not in ("127.0.0.1", "::1", "localhost"):
            refused.append(NetworkRefusedError(f"a benchmark tried to reach {host}"))
            raise refused[-1]

    def guarded_look_up(host: Any, *arguments: Any, **options: Any) -> Any:
        refuse_foreign(host)
        return look_up(host, *arguments, **options)

    def guarded_connect(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6):
            refuse_foreign(address[0])
        connect(self, address)

    with (
        mock.patch.object(socket, "getaddrinfo", guarded_look_up),
        mock.patch.object(socket.socket, "connect", guarded_connect),
    ):
        yield
    if refused:
        raise refused[0]  # again, with the traceback of the first attempt
