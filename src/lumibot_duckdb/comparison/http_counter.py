"""Counts the HTTP requests of a process by host.

`requests` and the clients of Polygon, Alpaca and ccxt use urllib3; yfinance uses curl_cffi. A client is patched when it
is imported, so none is imported only to be counted.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Sequence
from functools import wraps
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

from lumibot_duckdb.comparison.locks import fork_safe_lock


class RequestCount:
    """Requests made since `begin`, by host. URLs are not kept, because they may contain keys."""

    def __init__(self) -> None:
        self.by_host: Counter[str] = Counter()
        self._lock = fork_safe_lock()

    def begin(self) -> None:
        """Count from now on, until the process ends."""
        clients: dict[str, Callable[[ModuleType], None]] = {
            "urllib3": self._in_urllib3,
            "curl_cffi.requests": self._in_curl,
            "httpx": self._in_httpx,
            "aiohttp": self._in_aiohttp,
        }
        for name, count in clients.items():
            if name in sys.modules:
                count(sys.modules[name])
        sys.meta_path.insert(0, _WhenImported({name: do for name, do in clients.items() if name not in sys.modules}))

    def note(self, host: str | None) -> None:
        """Count one request."""
        with self._lock:
            self.by_host[host or "?"] += 1

    def _in_urllib3(self, urllib3: ModuleType) -> None:
        # Every attempt is a call, retries and redirects included.
        self._before(urllib3.HTTPConnectionPool, "urlopen", lambda pool, *_, **__: pool.host)

    def _in_curl(self, requests: ModuleType) -> None:
        self._before(requests.Session, "request", _host_of_second)
        self._before(requests.AsyncSession, "request", _host_of_second)

    def _in_httpx(self, httpx: ModuleType) -> None:
        self._before(httpx.HTTPTransport, "handle_request", lambda transport, request: request.url.host)
        self._before(httpx.AsyncHTTPTransport, "handle_async_request", lambda transport, request: request.url.host)

    def _in_aiohttp(self, aiohttp: ModuleType) -> None:
        self._before(aiohttp.ClientSession, "_request", _host_of_second)

    def _before(self, owner: Any, name: str, host_of: Callable[..., str | None]) -> None:
        """Count the host of each call of a method."""
        method = getattr(owner, name)

        @wraps(method)
        def counted(*args: Any, **kwargs: Any) -> Any:
            self.note(host_of(*args, **kwargs))
            return method(*args, **kwargs)

        setattr(owner, name, counted)


def _host_of_second(session: Any, method: str, url: Any, *_: Any, **__: Any) -> str | None:
    return urlsplit(str(url)).hostname


class _WhenImported(MetaPathFinder):
    """Calls an action with a module as soon as it has been imported."""

    def __init__(self, actions: dict[str, Callable[[ModuleType], None]]) -> None:
        self._actions = actions

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find the module as usual; the first time, add the action to its loader."""
        action = self._actions.pop(fullname, None)
        spec = find_spec(fullname) if action is not None else None
        if action is None or spec is None or spec.loader is None:
            return spec
        loader, execute = spec.loader, spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            action(module)

        loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec
