"""Points `yfinance` at a loopback server, with separate caches."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import yfinance
from curl_cffi.requests import Session
from yfinance import base, cache
from yfinance.data import SingletonMeta, YfData

_HOSTS = {
    "https://query1.finance.yahoo.com": "",
    "https://query2.finance.yahoo.com": "",
    "https://fc.yahoo.com": "/fc",
    "https://guce.yahoo.com": "/guce",
    "https://consent.yahoo.com": "/consent",
}


@contextmanager
def yfinance_redirected_to(server: str, folder: Path) -> Iterator[None]:
    """Direct Yahoo's base addresses to a `server` (its address); start with the caches in a folder."""
    request = Session.request

    def redirected(self: Any, method: str, url: str, *rest: Any, **settings: Any) -> Any:
        host = next((host for host in _HOSTS if url.startswith(host)), None)
        assert host is not None, f"a test wanted to reach {url}"
        return request(self, method, server + _HOSTS[host] + url.removeprefix(host), *rest, **settings)

    folder.mkdir(parents=True, exist_ok=True)
    before = cache._TzDBManager.get_location()
    _forget(folder)
    with mock.patch.object(Session, "request", redirected), mock.patch.dict(SingletonMeta._instances, clear=True):
        try:
            yield
        finally:
            _forget(Path(before))


def _forget(folder: Path) -> None:
    """Limit what `yfinance` knows to its caches in a folder."""
    yfinance.set_tz_cache_location(str(folder))
    for manager, name in (
        (cache._TzCacheManager, "_tz_cache"),
        (cache._CookieCacheManager, "_Cookie_cache"),
        (cache._ISINCacheManager, "_isin_cache"),
    ):
        assert hasattr(manager, name), name
        setattr(manager, name, None)
    YfData.cache_get.cache_clear()
    base._tz_info_fetch_ctr = 0
