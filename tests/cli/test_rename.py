"""`rename`: what OLD and NEW mean, the question, and what is printed."""

from __future__ import annotations

import datetime as dt
import io
import json

import pytest

from cli.files import Command, no_store
from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.storage.api import AssetKey
from storage.frames import assert_same, minute_bars
from templates import template

FRAME = minute_bars("2022-06-08 09:30", rows=1000)
OPTION = AssetKey("FB", "option", expiration=dt.date(2022, 7, 15), strike=200.0, right="CALL")


@template
def several(storage: DuckDBDataStorage) -> None:
    for asset in ("FB", OPTION, "MATIC/USD", "FBX"):
        storage.store_ohlcv_data(asset, FRAME, "polygon", "minute")
    storage.store_ohlcv_data("FB", FRAME, "alpaca", "minute", adjustment="split")


@pytest.fixture
def filled(command: Command) -> Command:
    several(command.store)
    return command


def stored(command: Command) -> list[str]:
    storage = command.storage()
    found = [info.key.label().removesuffix(", minute bars from polygon") for info in storage.list_series()]
    assert storage.verify().sound
    storage.close()
    return sorted(found)


BEFORE = ["FB 2022-07-15 200 CALL option", "FB stock", "FB stock, minute bars from alpaca (split)", "FBX stock"]
REST = ["MATIC/USD crypto"]
META = "META stock, minute bars from alpaca (split)"


@pytest.mark.parametrize(
    ("arguments", "after"),
    [
        (("fb", "meta"), [each.replace("FB ", "META ") for each in BEFORE] + REST),
        (("FB stock", "META"), [BEFORE[0], *(each.replace("FB ", "META ") for each in BEFORE[1:]), *REST]),
        (("FB", "META", "--source", "Alpaca"), [*BEFORE[:2], META, BEFORE[3], *REST]),
        (
            ("FB", "META", "--timeframe", "1m", "--adjustment", "split"),
            [*BEFORE[:2], "META" + BEFORE[2][2:], BEFORE[3], *REST],
        ),
        (("MATIC", "POL"), [*BEFORE, "POL/USD crypto"]),
        (("MATIC-USD", "POL/USDT"), [*BEFORE, "POL/USDT crypto"]),
        (("MATICUSD", "pol"), [*BEFORE, "POL/USD crypto"]),
        (("FBX stock", "BTCUSD"), [*BEFORE[:3], "BTCUSD stock", *REST]),
        (("FB220715C00200000", "META 2022-07-15 200 CALL"), ["META 2022-07-15 200 CALL option", *BEFORE[1:], *REST]),
        (("O:FB220715C00200000", "META"), ["META 2022-07-15 200 CALL option", *BEFORE[1:], *REST]),
    ],
)
def test_what_names_mean(filled: Command, arguments: tuple[str, ...], after: list[str]) -> None:
    before = stored(filled)
    shown = filled("rename", *arguments, "--dry-run")
    assert (shown.code, shown.err) == (0, "")
    assert stored(filled) == before
    ended = filled("rename", *arguments, "--yes")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out == shown.out.replace("would be renamed", "renamed")
    assert stored(filled) == sorted(after)


def test_from_a_date(filled: Command) -> None:
    ended = filled("rename", "FB stock", "META", "--from", "2022-06-09", "--source", "polygon", "--yes")
    assert ended.out == (
        "FB stock, minute bars from polygon -> META stock: 870 bars; 130 later bars stay\n"
        "1 series with 870 bars renamed.\n"
    )
    assert_same(filled.bars("META"), FRAME[:870])
    assert_same(filled.bars("FB", source="polygon"), FRAME[870:])
    ended = filled("rename", "META", "FB", "--from", "2022-06-09", "--yes")
    assert "870 bars; joins the bars that are there" in ended.out
    assert_same(filled.bars("FB", source="polygon"), FRAME)


def test_a_series_that_a_snapshot_has(command: Command) -> None:
    storage = command.storage()
    storage.store_ohlcv_data("FB", FRAME[:5], "polygon", "minute")
    storage.snapshot("one")
    storage.close()
    stays = "5 bars; the old series stays without bars, because a snapshot has it\n"
    assert stays in command("rename", "FB", "META", "--dry-run").out
    assert stays in command("rename", "FB", "META", "--yes").out
    assert stored(command) == ["FB stock", "META stock"]


def test_it_asks(filled: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    before = stored(filled)
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    ended = filled("rename", "FBX", "META")
    assert ended.code == 2
    assert (
        "Rename 1 series with 1,000 bars? Nothing was changed, because nobody can answer here: add --yes" in ended.err
    )
    assert stored(filled) == before


def test_json(filled: Command) -> None:
    filled("label", "FBX", "sector=Media")
    printed = json.loads(filled("rename", "FBX", "META", "--yes", "--json").out)
    (renamed,) = printed.pop("renamed")
    assert printed == {"dry_run": False, "actions": 0, "option_chains": 0, "labels": 1}
    assert (renamed["old"]["symbol"], renamed["new"]["symbol"], renamed["bars"], renamed["kept"]) == (
        "FBX",
        "META",
        1000,
        0,
    )


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("NONE", "META"), 1, "the store has no bars of NONE"),
        (("FB", "fb"), 1, "FB stock has that name already"),
        (
            ("FB crypto", "X"),
            1,
            "no bars of FB crypto; there are FB 2022-07-15 200 CALL option, FB stock",
        ),
        (
            ("FB stock, minute bars from alpaca (split)", "X"),
            2,
            "is a series: name its asset, 'FB stock', and choose the series with --source alpaca --timeframe minute "
            "--adjustment split",
        ),
        (("FB", "META stock"), 2, "FB means 2 assets"),
        (("FBX", "META index"), 1, "another type of asset"),
        (("FBX", "SPY240119C00470000"), 1, "cannot become SPY 2024-01-19 470 CALL option, which is another type"),
        (("FBX", "SPY 2024-01-19 470 CALL stock"), 1, "is no asset, because type stock has no strike or right"),
        (("FBX", "ES 2024-03-15"), 1, "ES 2024-03-15 stock is no asset, because type stock has no expiration"),
        (("FB", "FBX"), 0, ""),
        (("FB", "META", "--from", "2022-06-01"), 1, "nothing of FB is from before 2022-06-01"),
        (("FB", "META", "--from", "June"), 2, "--from June: write a date as 2024-01-31"),
        (("FB", "META", "--timeframe", "fortnight"), 2, "'fortnight' is not a timeframe"),
        (("FB", "META", "--source", "alpca"), 1, "no series matches --source alpca; did you mean alpaca?"),
        (("FBX", "META", "--source", "yahoo"), 1, "no series matches --source yahoo; there is FBX stock, minute bars"),
        (("F*", "META"), 2, "F* means 3 assets (FB 2022-07-15 200 CALL option, FB stock, FBX stock): rename them one"),
        (("FB", " "), 2, "NEW is empty"),
        (("FB",), 2, "NEW"),
    ],
)
def test_mistakes(filled: Command, arguments: tuple[str, ...], code: int, message: str) -> None:
    before = filled.store.read_bytes()
    ended = filled("rename", *arguments, "--dry-run")
    assert ended.code == code
    assert message in ended.err
    assert filled.store.read_bytes() == before


def test_a_stock_with_a_strike_becomes_a_stock_again(command: Command) -> None:
    storage = command.storage()
    wrong = AssetKey("SPY", "stock", expiration=dt.date(2024, 1, 19), strike=470.0, right="CALL")
    storage.store_ohlcv_data(wrong, FRAME[:5], "polygon", "minute")
    storage.close()
    assert command("rename", wrong.label(), "IBM stock", "--yes").code == 0
    assert stored(command) == ["IBM stock"]


def test_differing_bars(filled: Command) -> None:
    storage = filled.storage()
    storage.store_ohlcv_data("META", FRAME + 1, "polygon", "minute")
    storage.close()
    ended = filled("rename", "FB", "META", "--yes")
    assert ended.code == 1
    assert "because 1,000 bars differ from bars of META stock" in ended.err
    assert ended.err.endswith("Rename only the bars before a date (--from), or delete the wrong ones first\n")


def test_without_a_store(command: Command) -> None:
    ended = command("rename", "FB", "META", "--yes")
    assert (ended.code, ended.err) == (1, no_store(command))
    assert not command.store.exists()
