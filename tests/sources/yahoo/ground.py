"""An environment in which Lumibot's Yahoo helper uses a loopback server and a cache folder, and does not sleep."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

from lumibot.tools import yahoo_helper

from sources.yahoo.loopback_client import yfinance_redirected_to
from sources.yahoo.server import YahooServer


def pickles(folder: Path) -> Path:
    """Return where Lumibot keeps its histories."""
    return folder / "lumibot"


@contextmanager
def yahoo_at(server: YahooServer, folder: Path) -> Iterator[None]:
    """Enter the environment."""
    pickles(folder).mkdir(parents=True, exist_ok=True)
    helper = yahoo_helper.YahooHelper
    with (
        mock.patch.object(helper, "LUMIBOT_YAHOO_CACHE_FOLDER", str(pickles(folder))),
        mock.patch.object(helper, "CACHING_ENABLED", True),
        mock.patch.object(helper, "sleep_and_get_proxy", staticmethod(lambda: None)),
        mock.patch.object(yahoo_helper, "time", SimpleNamespace(sleep=lambda seconds: None)),
        yfinance_redirected_to(server.url, folder / "yfinance"),
    ):
        yield
