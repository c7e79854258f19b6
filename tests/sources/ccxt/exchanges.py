"""Points ccxt's exchanges at a loopback server."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import ccxt

from lumibot_duckdb.sources.ccxt import client as provider


@contextmanager
def exchange_redirected_to(url: str, exchange_id: str = "binance") -> Iterator[None]:
    """Change the base addresses of every exchange object made meanwhile. ccxt does not pause between requests then.

    Markets that were loaded before are forgotten, and those loaded meanwhile afterwards.
    """
    exchange_class = getattr(ccxt, exchange_id)
    describe = exchange_class.describe

    def described(self: Any) -> Any:
        return self.deep_extend(
            describe(self),
            {"urls": {"api": _moved(describe(self)["urls"]["api"], url)}, "rateLimit": 0.001},
        )

    with (
        mock.patch.object(exchange_class, "describe", described),
        mock.patch.dict(provider.PROVIDERS, clear=True),
        mock.patch.dict("os.environ", {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}),
    ):
        yield


def _moved(address: Any, url: str) -> Any:
    if isinstance(address, dict):
        return {name: _moved(each, url) for name, each in address.items()}
    return url + re.sub(r"^https://[^/]*", "", address)
