"""Points the clients of Polygon and Yahoo at loopback servers, in every process that has this folder on its path.

Scripts that run alone need it as much as those of a sweep, so Python imports it at its start.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

_stack = ExitStack()  # to the end of the process

if url := os.environ.get("TEST_POLYGON"):
    from sources.polygon.loopback_client import client_redirected_to

    _stack.enter_context(client_redirected_to(url))

if url := os.environ.get("TEST_YAHOO"):
    from lumibot.tools import yahoo_helper

    from sources.yahoo.loopback_client import yfinance_redirected_to

    helper = yahoo_helper.YahooHelper
    _stack.enter_context(mock.patch.object(helper, "sleep_and_get_proxy", staticmethod(lambda: None)))
    _stack.enter_context(mock.patch.object(yahoo_helper, "time", SimpleNamespace(sleep=lambda seconds: None)))
    _stack.enter_context(yfinance_redirected_to(url, Path(os.environ["LUMIBOT_CACHE_FOLDER"], "yfinance")))
