"""The self-test: every source passes, a difference in the last bit is found in each, and nothing else is touched."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

import pytest

from lumibot_duckdb.comparison.differences import Run
from lumibot_duckdb.comparison.outcome import DUCKDB, LUMIBOT
from lumibot_duckdb.comparison.runner import RunError
from lumibot_duckdb.doctor.check import FAILED, OK, Check
from lumibot_duckdb.doctor.self_test import run as self_test
from lumibot_duckdb.doctor.self_test.market import fill_store
from lumibot_duckdb.doctor.self_test.run import compare_sides, run_one_side, run_self_test
from lumibot_duckdb.doctor.self_test.sources import LABELS, errors_file

pytestmark = pytest.mark.xdist_group("self_test")  # the sides are run once
SECRET = "sk-live-0123456789abcdef"
TESTS = Path(__file__).parents[1]


@dataclass(frozen=True)
class Sides:
    """The runs of both sides, and how to run another script on our side in another folder."""

    lumibot: Run
    duckdb: Run
    home: Path
    run_ours: Callable[[str, str], Run]


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sides]:
    folder, home = tmp_path_factory.mktemp("sides"), tmp_path_factory.mktemp("home")
    store = folder / "store.duckdb"
    fill_store(store)
    moment = datetime.now(timezone.utc)
    (home / ".env").write_text("POLYGON_API_KEY=from-the-file\n")

    def run_ours(script: str, name: str) -> Run:
        (folder / name).mkdir()
        return run_one_side(DUCKDB, store, folder / name, moment, script)

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(TESTS), *filter(None, sys.path)]))
        patch.setenv("POLYGON_API_KEY", SECRET)
        patch.setenv("HOME", str(home))
        patch.setenv("LUMIBOT_DUCKDB_PATH", str(home / "store"))
        patch.setenv("LUMIBOT_CACHE_FOLDER", str(home / "cache"))
        patch.chdir(home)
        lumibot = run_one_side(LUMIBOT, store, folder, moment)
        duckdb = run_one_side(DUCKDB, store, folder, moment)
        yield Sides(lumibot, duckdb, home, run_ours)


def by_name(checks: Iterator[Check]) -> dict[str, Check]:
    return {check.name.removeprefix("self_test."): check for check in checks}


def test_every_source_is_identical_and_no_connection_was_opened(sides: Sides) -> None:
    remembered: list[str] = []
    found = by_name(compare_sides(sides.lumibot, sides.duckdb, remembered.append))
    assert list(found) == [*LABELS, "network"]
    assert {check.summary for check in found.values() if check.status != OK} == set()
    assert remembered == list(LABELS)
    for source in LABELS:
        details = found[source].details
        assert details["differences"] == 0
        assert details["frames"] >= 30
        assert min(details["prices"], details["fills"], details["portfolio_values"]) >= 10
    assert sides.lumibot.outcome.not_stored == []


@pytest.mark.long
def test_a_change_of_the_last_bit_is_found_in_every_source(sides: Sides) -> None:
    changed = sides.run_ours("doctor.patched_sources", "changed")
    remembered: list[str] = []
    found = by_name(compare_sides(sides.lumibot, changed, remembered.append))
    assert {found[source].status for source in LABELS} == {FAILED}
    assert remembered == []
    for source in LABELS:
        assert "differs from Lumibot's class: 2024-" in found[source].summary
        assert found[source].details["differences"] > 10
        assert "LUMIBOT_USE_DUCKDB=false" in found[source].remedy
        place = "get_last_price" if source in ("yahoo", "own_bars") else "get_historical_prices"
        assert place in found[source].summary


def test_nothing_of_the_users_is_read_or_written(sides: Sides) -> None:
    assert [path.name for path in sides.home.rglob("*")] == [".env"]
    for run in (sides.lumibot, sides.duckdb):
        folder = run.folder.parent
        texts = [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
        assert not any(SECRET.encode() in text or b"from-the-file" in text for text in texts)


def test_lumibots_side_filled_a_cache_of_its_own(sides: Sides) -> None:
    cache = sides.lumibot.folder.parent / "lumibot-sandbox" / "lumibot-cache"
    assert {"polygon", "yahoo", "bars", "binance"} <= {path.name for path in cache.iterdir()}


def test_a_source_that_stopped_on_one_side_or_ran_on_the_wrong_class_fails(sides: Sides) -> None:
    errors = errors_file(sides.duckdb.folder.parent, True)
    before = errors.read_text()
    try:
        errors.write_text(json.dumps({"ccxt": "KeyError: 'precision'"}))
        found = by_name(compare_sides(sides.lumibot, sides.duckdb))
    finally:
        errors.write_text(before)
    assert [name for name, check in found.items() if check.status == FAILED] == ["ccxt"]
    assert found["ccxt"].summary == "CCXT: the backtest on lumibot-duckdb failed: KeyError: 'precision'"

    outcome = sides.duckdb.outcome
    changes = {
        "yahoo": {"covered": False, "source": "lumibot.YahooDataBacktesting"},
        "ccxt": {"name": "another"},
    }
    fallen_back = [replace(each, **changes.get(each.name, {})) for each in outcome.backtests]
    found = by_name(
        compare_sides(sides.lumibot, replace(sides.duckdb, outcome=replace(outcome, backtests=fallen_back)))
    )
    assert [name for name, check in found.items() if check.status == FAILED] == ["yahoo", "ccxt"]
    assert "ran on lumibot.YahooDataBacktesting" in found["yahoo"].summary
    assert "did not finish" in found["ccxt"].summary


def test_a_connection_that_was_wanted_fails(sides: Sides) -> None:
    curious = replace(sides.duckdb, outcome=replace(sides.duckdb.outcome, refused=["api.example.com:443"]))
    found = by_name(compare_sides(sides.lumibot, curious))
    assert [name for name, check in found.items() if check.status == FAILED] == ["network"]
    assert "api.example.com:443" in found["network"].summary


def test_a_sandbox_has_no_network_and_no_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(TESTS), *filter(None, sys.path)]))
    monkeypatch.setenv("ALPACA_API_KEY", SECRET)
    monkeypatch.setenv("MARKET", "NYSE")
    store = tmp_path / "store.duckdb"
    run = run_one_side(LUMIBOT, store, tmp_path, datetime.now(timezone.utc), "doctor.offending_script")
    found = json.loads((tmp_path / "found.json").read_text())
    assert run.outcome.refused[:3] == ["127.0.0.1:9999", "192.0.2.1:443", "example.invalid:443"]
    assert len(found["failed"]) == 2
    assert SECRET not in str(found)
    assert "MARKET" not in found["environment"]
    assert found["folder"] == found["home"] == str(tmp_path / "lumibot-sandbox")


def test_a_script_that_fails_is_one_failure_with_its_output(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(side: str, *arguments: object) -> Run:
        raise RunError(side, "its process ended with code 1", ["Traceback", "ImportError: no Strategy"])

    monkeypatch.setattr(self_test, "fill_store", lambda path: None)
    monkeypatch.setattr(self_test, "run_one_side", fail)
    (check,) = run_self_test()
    assert (check.name, check.status) == ("self_test.run", FAILED)
    assert "ImportError: no Strategy" in check.summary
    assert "on Lumibot's storage" in check.summary
