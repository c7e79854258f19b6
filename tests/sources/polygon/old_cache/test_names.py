"""File names of the cache, made by Lumibot's own function, and back to the series that they are of."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lumibot.entities import Asset
from lumibot.tools import polygon_helper

from lumibot_duckdb.sources.polygon.old_cache.names import ChainName, bars_name, chain_name
from lumibot_duckdb.sources.shared.old_cache.errors import LeftAloneError
from lumibot_duckdb.storage.api import AssetKey
from lumibot_duckdb.storage.identity import asset_key

DOLLAR, EURO = Asset("USD", "forex"), Asset("EUR", "forex")
SYMBOLS = st.from_regex(r"[A-Z][A-Z0-9.]{0,5}", fullmatch=True)


@st.composite
def assets(draw: Any) -> tuple[Asset, Asset | None]:
    kind = draw(st.sampled_from(["stock", "index", "crypto", "forex", "option"]))
    symbol = draw(SYMBOLS)
    if kind == "option":
        expiration = draw(st.dates(dt.date(2015, 1, 1), dt.date(2060, 1, 1)))
        strike = draw(st.sampled_from([5, 470.0, 0.5, 1234.625, 12.25]))
        return Asset(
            symbol, "option", expiration=expiration, strike=strike, right=draw(st.sampled_from(["CALL", "PUT"]))
        ), DOLLAR
    return Asset(symbol, kind), draw(st.sampled_from([DOLLAR, EURO, *([None] if kind in ("stock", "index") else [])]))


@given(assets(), st.sampled_from(["minute", "hour", "day"]))
def test_a_name_says_which_series_our_source_keeps_it_in(pair: tuple[Asset, Asset | None], timespan: str) -> None:
    asset, quote = pair
    path: Path = polygon_helper.build_cache_filename(asset, timespan, quote)
    name = bars_name(path.stem)
    assert name.key.asset == asset_key((asset, DOLLAR if asset.asset_type == "option" or quote is None else quote))
    assert (name.key.source, name.key.timeframe) == ("polygon", timespan)
    assert name.key.adjustment == ("split" if asset.asset_type in ("stock", "option") else "")
    if asset.asset_type != "option":
        assert name.ticker == polygon_helper.get_polygon_symbol(asset, None, quote)


@pytest.mark.parametrize(
    "stem",
    ["stock", "stock_SPY", "future_ES_USD_minute", "crypto_BTC_minute", "stock_SPY_USD_minute_splits", "a_b_c_day"],
)
def test_other_names_are_left_alone(stem: str) -> None:
    with pytest.raises(LeftAloneError):
        bars_name(stem)


def test_names_of_chains() -> None:
    spy = AssetKey("SPY")
    assert chain_name("SPY_2023-11-06") == ChainName(spy, dt.date(2023, 11, 6), None)
    assert chain_name("SPY_2023-11-06_max30d") == ChainName(spy, dt.date(2023, 11, 6), 30)
    for stem in ("SPY", "SPY_2023-13-06", "SPY_2023-11-06_max", "A_B_2023-11-06"):
        with pytest.raises(LeftAloneError):
            chain_name(stem)
