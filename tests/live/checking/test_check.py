"""`live check` and `live status`, against the providers' REST APIs on loopback servers."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from cli.files import Command
from live.conftest import SetClock
from live.markets import BTC, QQQ, SPY, Markets, between, minutes_of, new_york, record, session
from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.live.backfill.backfill import Backfill
from lumibot_duckdb.live.checking.verified import VerifiedKinds
from lumibot_duckdb.storage.api import SeriesKey, TimeRange
from sources.alpaca.server import KEY, SECRET, Action
from templates import template
from wire.loopback import Answer, Fault

TUESDAY = session(1)


@template
def one_series(storage: DuckDBDataStorage) -> None:
    storage.store_ohlcv_data("SPY", minutes_of("SPY").iloc[:5], "alpaca", "minute", adjustment="all")


@pytest.fixture
def command(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    markets: Markets,
    set_clock: SetClock,
) -> Command:
    for name, value in {"ALPACA_API_KEY": KEY, "ALPACA_API_SECRET": SECRET, "LUMIBOT_DISABLE_DOTENV": "1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    set_clock(new_york(1, "17:00"))
    return Command(tmp_path, capsys)


def recorded(command: Command, markets: Markets, key: SeriesKey, within: TimeRange = TUESDAY) -> pd.DataFrame:
    bars = markets.bars(key, within)
    with command.storage() as storage:
        record(storage, key, bars, within)
    return bars


def verified(command: Command) -> VerifiedKinds:
    return VerifiedKinds(command.store)


def test_equal_bars_allow_warm_up(command: Command, markets: Markets) -> None:
    for key in (SPY, QQQ, BTC):
        recorded(command, markets, key)
    ended = command("live", "check")
    assert (ended.code, ended.err) == (0, "")
    rows = [line.split("  ") for line in ended.out.splitlines() if line.endswith("equal")]
    assert {row[0] for row in rows} == {each.label() for each in (BTC, SPY, QQQ)}
    assert ended.out.splitlines()[-1] == (
        "2024-03-12: warm-up may read crypto on binance, minute bars from ccxt; stock, minute bars from alpaca (all)."
    )
    assert all(verified(command).has(key) for key in (SPY, QQQ, BTC))


def test_differences_are_listed_and_end_warm_up(command: Command, markets: Markets) -> None:
    recorded(command, markets, QQQ)
    assert command("live", "check", "--symbols", "QQQ").code == 0
    assert verified(command).has(SPY)
    bars = markets.bars(SPY, TUESDAY)
    changed = bars.copy()
    changed.loc[new_york(1, "10:05"), ["close", "volume"]] = [1.5, 7.0]
    changed = changed.drop(new_york(1, "11:00"))
    changed.loc[new_york(1, "11:01:30").tz_convert("UTC")] = bars.iloc[0]
    with command.storage() as storage:
        record(storage, SPY, changed.sort_index(), TUESDAY)
    ended = command("live", "check", "--day", "2024-03-12", "--provider", "alpaca")
    assert ended.code == 1
    close, volume = (float(bars.loc[new_york(1, "10:05"), name]) for name in ("close", "volume"))
    assert ended.out.splitlines()[-7:] == [
        f"{SPY.label()}:",
        f"  2024-03-12 10:05 close: stored 1.5, provider {close!r}",
        f"  2024-03-12 10:05 volume: stored 7.0, provider {volume!r}",
        "  missing in the store: 2024-03-12 11:00",
        "  not at the provider: 2024-03-12 11:01:30",
        "",
        "2024-03-12: no kind of series is verified.",
    ]
    assert not verified(command).has(SPY)
    assert not verified(command).has(QQQ)
    shown = json.loads(command("live", "check", "--json", "--symbols", "SPY").out)
    (series,) = shown["series"]
    assert (series["symbol"], series["equal"], shown["verified"]) == ("SPY", False, [])
    assert (series["bars_compared"], series["bars_different"]) == (len(bars) - 1, 1)
    assert series["missing"] == ["2024-03-12T15:00:00+00:00"]
    assert series["first_differences"][0] == {
        "bar": "2024-03-12T14:05:00+00:00",
        "column": "close",
        "stored": 1.5,
        "provider": close,
    }


def test_a_day_that_the_provider_has_corrected_is_downloaded_again_and_verified(
    command: Command, markets: Markets
) -> None:
    """As docs/live.md says: forget the day, let the backfill of a live program request it, and check it again."""
    bars = markets.bars(SPY, TUESDAY)
    corrected = new_york(1, "10:05")
    changed = bars.copy()
    changed.loc[corrected, "volume"] += 100
    with command.storage() as storage:
        record(storage, SPY, changed, TUESDAY)
    assert command("live", "check").code == 1
    day = ("--source", "alpaca", "--from", "2024-03-12", "--to", "2024-03-12")
    assert command("forget", "SPY stock", *day).code == 0
    with command.storage() as storage:
        Backfill(lambda: storage, markets.rest, days=1).round(storage)
        assert storage.read_pandas(storage.pin(SPY)).loc[corrected, "volume"] == bars.loc[corrected, "volume"]
    ended = command("live", "check")
    assert ended.code == 0, ended.out
    assert verified(command).has(SPY)


def test_what_was_not_recorded_is_no_difference(command: Command, markets: Markets) -> None:
    recorded(command, markets, SPY, between(new_york(1, "10:00"), new_york(1, "12:00")))
    recorded(command, markets, SPY, between(new_york(1, "13:00"), new_york(1, "16:00")))
    ended = command("live", "check", "--json")
    assert ended.code == 0
    (series,) = json.loads(ended.out)["series"]
    assert series["seconds_not_recorded"] == 90 * 60
    assert series["bars_compared"] > 200


def test_bars_that_are_not_settled_are_not_compared(command: Command, markets: Markets, set_clock: SetClock) -> None:
    recorded(command, markets, SPY, between(new_york(1, "09:30"), new_york(1, "12:00")))
    set_clock(new_york(1, "11:16"))
    (series,) = json.loads(command("live", "check", "--json").out)["series"]
    assert series["bars_compared"] == len(markets.bars(SPY, between(new_york(1, "09:30"), new_york(1, "11:01"))))


def test_the_last_recorded_day_is_checked(command: Command, markets: Markets) -> None:
    recorded(command, markets, SPY, session(0))
    assert json.loads(command("live", "check", "--json").out)["day"] == "2024-03-11"


def test_downloads_of_backtests_are_not_checked(command: Command, markets: Markets) -> None:
    with command.storage() as storage:
        storage.store_ohlcv_data("SPY", markets.bars(SPY, TUESDAY), "alpaca", "minute", adjustment="all")
    ended = command("live", "check")
    assert ended.code == 1
    assert "no settled bars were recorded live in the last 30 days" in ended.err
    ended = command("live", "check", "--day", "2024-03-12", "--symbols", "SPY")
    assert "no settled bars of SPY were recorded live on 2024-03-12" in ended.err
    assert command("live", "status").out == "No series was recorded live in the last 7 days.\n"


def test_a_provider_that_does_not_answer_changes_no_verification(command: Command, markets: Markets) -> None:
    for key in (SPY, QQQ):
        recorded(command, markets, key)
    assert command("live", "check").code == 0
    markets.alpaca.faults.append(Fault("/v2/stocks/bars", times=1_000, answer=Answer({"message": "forbidden."}, 403)))
    ended = command("live", "check")
    assert ended.code == 1
    assert ended.out.count("could not be downloaded: Alpaca does not accept the API key") == 1
    assert "QQQ stock, minute bars from alpaca (all) and 1 more:" in ended.out
    assert ended.out.endswith("2024-03-12: nothing was compared, so warm-up reads the same series as before.\n")
    assert SECRET not in ended.out + ended.err
    assert verified(command).has(SPY)


def test_a_split_since_that_day_is_no_fault_of_the_recording(command: Command, markets: Markets) -> None:
    recorded(command, markets, SPY)
    assert command("live", "check").code == 0
    markets.alpaca.actions.append(Action("SPY", new_york(2, "00:00").date().isoformat(), before=1, after=4))
    ended = command("live", "check")
    assert (ended.code, "adjusted anew" in ended.out) == (1, True)
    assert "every bar differs, as after a split or dividend since that day: check a later day" in ended.out
    assert verified(command).has(SPY)
    (series,) = json.loads(command("live", "check", "--json").out)["series"]
    assert (series["equal"], series["adjusted_anew"]) == (False, True)


def test_without_a_key_the_message_names_the_variables(
    command: Command, markets: Markets, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded(command, markets, SPY)
    monkeypatch.delenv("ALPACA_API_KEY")
    ended = command("live", "check")
    assert (ended.code, "set ALPACA_API_KEY and ALPACA_API_SECRET" in " ".join(ended.out.split())) == (1, True)


def test_columns_that_were_not_recorded_are_named(command: Command, markets: Markets) -> None:
    with command.storage() as storage:
        record(storage, SPY, markets.bars(SPY, TUESDAY).drop(columns=["vwap", "trade_count"]), TUESDAY)
    ended = command("live", "check")
    assert (ended.code, "the store lacks trade_count, vwap" in ended.out) == (0, True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("check", "--day", "12.3.2024"), "--day 12.3.2024 is not a day: write it as in 2026-11-27"),
        (("check", "--day", "2024-03-13"), "--day 2024-03-13 has not begun: name a recorded day, until 2024-03-12"),
        (("check", "--day", "9999-12-31"), "--day 9999-12-31 has not begun"),
        (("check", "--symbols", ","), "--symbols names no symbol"),
        (("check", "--days", "3"), "unrecognized arguments: --days"),
        (("status", "--day", "2024-03-12"), "unrecognized arguments: --day"),
        (("status", "--days", "0"), "argument --days"),
        (("check", "--provider", "polygon"), "invalid choice: 'polygon'"),
        (("check", "--symbols", "SPYY"), "SPYY; did you mean SPY?"),
        (("chek",), "did you mean check?"),
        ((), "the following arguments are required: ACTION"),
    ],
)
def test_mistakes(command: Command, arguments: tuple[str, ...], message: str) -> None:
    one_series(command.store)
    ended = command("live", *arguments)
    assert ended.code in (1, 2)
    assert message in ended.err
    assert ended.out == ""


def test_there_is_no_store(command: Command) -> None:
    for action in ("check", "status"):
        ended = command("live", action)
        assert (ended.code, command.store.exists()) == (1, False)
        assert "there is no store" in ended.err
        assert "record bars into it (lumibot-duckdb run --live, or lumibot-duckdb record)" in ended.err


def test_status_shows_what_is_missing_today(command: Command, markets: Markets, set_clock: SetClock) -> None:
    recorded(command, markets, SPY, between(new_york(1, "09:30"), new_york(1, "11:00")))
    recorded(command, markets, SPY, between(new_york(1, "11:30"), new_york(1, "14:00")))
    recorded(command, markets, BTC, between(new_york(1, "00:00"), new_york(1, "14:45")))
    set_clock(new_york(1, "15:00"))
    shown = json.loads(command("live", "status", "--json").out)
    bitcoin, spy = shown["series"]
    assert (spy["symbol"], spy["seconds_missing_today"]) == ("SPY", (30 + 45) * 60)
    assert spy["missing_today"][0] == ["2024-03-12T15:00:00+00:00", "2024-03-12T15:30:00+00:00"]
    assert spy["seconds_behind"] >= 45 * 60
    assert (bitcoin["exchange"], bitcoin["missing_today"]) == ("binance", [])
    assert shown["spooled"] == {"writes": 0, "bars": 0, "quarantined": 0}
    text = command("live", "status").out
    assert "1 h 15 min  11:00-11:30, 14:00-14:45" in text
    assert text.splitlines()[-1] == "2 series recorded live in the last 7 days. Times are New York time."
    set_clock(new_york(1, "15:00") + pd.Timedelta(days=20))
    assert json.loads(command("live", "status", "--json").out)["series"] == []
    assert len(json.loads(command("live", "status", "--json", "--days", "30").out)["series"]) == 2
    assert len(json.loads(command("live", "status", "--json", "--days", "9" * 12).out)["series"]) == 2


def test_after_the_close_a_stock_is_not_behind(command: Command, markets: Markets, set_clock: SetClock) -> None:
    recorded(command, markets, SPY)
    set_clock(new_york(1, "23:00"))
    (spy,) = json.loads(command("live", "status", "--json").out)["series"]
    assert (spy["seconds_behind"], spy["seconds_missing_today"]) == (0, 0)
