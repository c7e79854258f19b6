"""The provider protocol, as all four providers implement it."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

from lumibot_duckdb.sources.alpaca.client import AlpacaProvider
from lumibot_duckdb.sources.ccxt.client import CcxtProvider
from lumibot_duckdb.sources.polygon.client import PolygonProvider
from lumibot_duckdb.sources.provider import BarProvider, BarRequest
from lumibot_duckdb.sources.yahoo.client import YahooProvider

PROVIDERS = {
    "Polygon": lambda: PolygonProvider.with_key("key"),
    "Yahoo": YahooProvider,
    "Alpaca": lambda: AlpacaProvider("key", "secret"),
    "ccxt": lambda: CcxtProvider.of("binance"),
}


@pytest.mark.parametrize("make", PROVIDERS.values(), ids=PROVIDERS.keys())
def test_every_provider_has_the_one_method(make: type) -> None:
    provider = make()
    assert isinstance(provider, BarProvider)
    assert list(inspect.signature(type(provider).bars).parameters) == ["self", "request"]


@pytest.mark.parametrize("make", PROVIDERS.values(), ids=PROVIDERS.keys())
def test_a_timeframe_that_a_provider_lacks_is_a_value_error_before_any_request(make: type) -> None:
    with pytest.raises(ValueError, match="'fortnight'"):
        list(make().bars(BarRequest("SPY", "fortnight", ((0, 86_400),))))


def test_clients_import_neither_lumibot_nor_the_storage() -> None:
    clients = [f"lumibot_duckdb.sources.{name}.client" for name in ("alpaca", "ccxt", "polygon", "yahoo")]
    check = (
        f"import sys, {', '.join(clients)};"
        "found = [name for name in sys.modules if name.startswith(('lumibot.', 'lumibot_duckdb.storage'))];"
        "assert not found, found"
    )
    subprocess.run([sys.executable, "-c", check], check=True, timeout=300)
