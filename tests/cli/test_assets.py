"""Names of assets on the command line: every usual spelling is understood, and an ambiguous one is reported."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from cli.files import Command
from lumibot_duckdb.cli.assets import asset_named, find_assets, short_name, stored_assets
from lumibot_duckdb.cli.errors import CommandError
from lumibot_duckdb.duckdb_storage import DuckDBDataStorage
from lumibot_duckdb.storage.api import AssetKey
from storage.frames import minute_bars

CALL = AssetKey("SPY", "option", expiration=date(2024, 1, 19), strike=470.0, right="CALL")
BITCOIN = AssetKey("BTC", "crypto", "USD")
YEN = AssetKey("USD", "forex", "JPY")
FUTURE = AssetKey("ES", "future", expiration=date(2024, 3, 15))
ROLLING = AssetKey("NQ", "future", auto_expiry="front_month")
LISTED = AssetKey("AAPL", exchange="NYSE")
STORED = [
    *(CALL, AssetKey("SPY"), BITCOIN, AssetKey("ETH", "crypto", "BTC"), YEN, FUTURE, ROLLING, LISTED),
    *(AssetKey("AAPL"), AssetKey("BRK-B"), AssetKey("SPX", "index"), AssetKey("OP", "crypto", "USD")),
]


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("SPY 2024-01-19 470 CALL option", [CALL]),
        ("spy  2024-01-19 470 call", [CALL]),
        ("SPY 2024-01-19 470.0 CALL", [CALL]),
        ("SPY240119C00470000", [CALL]),
        ("SPY   240119C00470000", [CALL]),
        ("o:spy240119c00470000", [CALL]),
        ("SPY", [CALL, AssetKey("SPY")]),
        ("SPY stock", [AssetKey("SPY")]),
        ("SPY option", [CALL]),
        ("BTC", [BITCOIN]),
        *((name, [BITCOIN]) for name in ("BTC/USD crypto", "btc/usd", "BTC-USD", "btc_usd", "BTCUSD", "X:BTCUSD")),
        ("BTC-USD crypto", [BITCOIN]),
        ("ETH_BTC", [AssetKey("ETH", "crypto", "BTC")]),
        ("ETH-BTC", [AssetKey("ETH", "crypto", "BTC")]),
        ("USDJPY", [YEN]),
        ("usd/jpy forex", [YEN]),
        ("C:USDJPY", [YEN]),
        ("opusd", [AssetKey("OP", "crypto", "USD")]),
        ("ES 2024-03-15 future", [FUTURE]),
        ("es 2024-03-15", [FUTURE]),
        ("NQ front_month future", [ROLLING]),
        ("AAPL", [LISTED, AssetKey("AAPL")]),
        ("AAPL stock on NYSE", [LISTED]),
        ("brk-b", [AssetKey("BRK-B")]),
        ("I:SPX", [AssetKey("SPX", "index")]),
    ],
)
def test_a_name_stands_for_stored_assets(name: str, found: list[AssetKey]) -> None:
    assert find_assets(name, STORED) == found


def test_every_printed_name_is_understood() -> None:
    for asset in STORED:
        assert asset in find_assets(asset.label(), STORED)
        assert asset in find_assets(short_name(asset), STORED)


@pytest.mark.parametrize(
    ("name", "others", "message"),
    [
        ("BTC-USD", [AssetKey("BTC-USD")], "BTC-USD is ambiguous: it may be BTC-USD stock or BTC/USD crypto"),
        ("USDJPY", [AssetKey("USDJPY")], "USDJPY is ambiguous: it may be USDJPY stock or USD/JPY forex"),
        (
            "ABCUSD",
            [AssetKey("ABC", "crypto", "USD"), AssetKey("AB", "crypto", "CUSD")],
            "ABCUSD is ambiguous: it may be AB/CUSD crypto or ABC/USD crypto",
        ),
    ],
)
def test_an_ambiguous_name_is_reported(name: str, others: list[AssetKey], message: str) -> None:
    with pytest.raises(CommandError, match=message):
        find_assets(name, [*others, *STORED])
    for asset in others:
        assert find_assets(asset.label(), [*others, *STORED]) == [asset]


@pytest.mark.parametrize(
    "name", ["", " ", "APPL", "BTC/EUR", "SPY 2024-01-19 480 CALL", "SPY240119P00470000", "JPYUSD"]
)
def test_a_name_of_nothing_is_an_error(name: str) -> None:
    with pytest.raises(CommandError, match="the store has no bars of"):
        find_assets(name, STORED)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("A/B crypto", "; there is A/B stock$"),
        ("btc-usd forex", "; there is BTC/USD crypto$"),
        ("SPY index", "; there are SPY .* option, SPY stock$"),
        ("AAPL stock on ARCA", "; there are AAPL stock.*, AAPL stock"),
        ("ZZZZ stock", "; there are .* more$"),
    ],
)
def test_a_name_of_another_type_is_shown(name: str, hint: str) -> None:
    with pytest.raises(CommandError, match=f"^the store has no bars of {name}{hint}"):
        find_assets(name, [AssetKey("A/B"), *STORED])


@pytest.mark.parametrize(
    ("name", "asset"),
    [
        ("AAPL", AssetKey("AAPL")),
        (" aapl stock", AssetKey("AAPL")),
        ("BRK-B", AssetKey("BRK-B")),
        ("BRK.B", AssetKey("BRK.B")),
        ("GOOGL", AssetKey("GOOGL")),
        *((name, BITCOIN) for name in ("BTC/USD", "btc/usd crypto", "BTC-USD", "BTC_USD", "BTCUSD", "X:BTCUSD")),
        ("BTCUSDT", AssetKey("BTC", "crypto", "USDT")),
        ("ETH_BTC", AssetKey("ETH", "crypto", "BTC")),
        ("USDJPY", YEN),
        ("EUR/USD", AssetKey("EUR", "forex", "USD")),
        ("SPY240119C00470000", CALL),
        ("O:SPY240119C00470000", CALL),
        ("SPY 2024-01-19 470 CALL option", CALL),
        ("ES 2024-03-15", FUTURE),
    ],
)
def test_a_name_stands_for_an_asset_without_a_store(name: str, asset: AssetKey) -> None:
    assert asset_named(name) == asset


def test_an_ambiguous_name_is_reported_without_a_store() -> None:
    with pytest.raises(CommandError, match="BTCFDUSD is ambiguous: it may be BTC/FDUSD or BTCFD/USD"):
        asset_named("BTCFDUSD")


def test_status_takes_names_of_assets_and_series(command: Command) -> None:
    storage = command.storage()
    for asset in (CALL, BITCOIN, YEN, AssetKey("SPY")):
        storage.store_ohlcv_data(asset, minute_bars(), "polygon", "minute")
    storage.store_ohlcv_data(BITCOIN, minute_bars(), "kraken", "minute", adjustment="none")
    for name in ("BTC/USD crypto, minute bars from kraken (none)", "usdjpy", "O:SPY240119C00470000"):
        ended = command("status", name)
        assert ended.code == 0, ended
        assert "1 series, " in ended.out
    assert "2 series, " in command("status", "btc_usd").out
    storage.store_ohlcv_data("BTC-USD", minute_bars(), "yahoo", "minute")
    assert command("status", "BTC-USD").code == 2
    assert "1 series, " in command("status", "BTC-USD stock").out


def test_deleted_series_are_not_stored(tmp_path: Path) -> None:
    storage = DuckDBDataStorage(tmp_path / "x.duckdb")
    for symbol in ("A", "B"):
        storage.store_ohlcv_data(symbol, minute_bars(), "own", "minute")
    storage.delete_series("A")
    assert stored_assets(storage.path) == [AssetKey("B")]
