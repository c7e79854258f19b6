"""Points Alpaca's official clients at a loopback server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from unittest import mock

from alpaca.common.enums import BaseURL
from alpaca.data.historical import corporate_actions, crypto, option, stock
from alpaca.trading import client as trading


@contextmanager
def clients_redirected_to(url: str) -> Iterator[None]:
    """Change the default base addresses of Alpaca's official clients, and nothing else."""
    addresses = {name: str(value.value) for name, value in BaseURL.__members__.items()}
    addresses |= {"DATA": url, "TRADING_PAPER": f"{url}/paper", "TRADING_LIVE": f"{url}/live"}
    with ExitStack() as patched:
        for module in (stock, crypto, option, corporate_actions, trading):
            assert module.BaseURL is BaseURL
            patched.enter_context(mock.patch.object(module, "BaseURL", SimpleNamespace(**addresses)))
        yield
