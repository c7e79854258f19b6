"""Which storage a source runs on: the switch, and the share of a rollout."""

from __future__ import annotations

import logging
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lumibot_duckdb.sources.shared import lifecycle as running
from lumibot_duckdb.sources.shared import switch
from lumibot_duckdb.sources.shared.switch import ROLLOUT, USE_DUCKDB, duckdb_wanted, in_share, place_of

POLYGON = "PolygonDataBacktesting"
NAMES = [f"Strategy{number}" for number in range(4_000)]


@pytest.fixture(autouse=True)
def nothing_said(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in (USE_DUCKDB, ROLLOUT):
        monkeypatch.delenv(variable, raising=False)


# -- what decides ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environment", "argument", "share", "wanted"),
    [
        ("", True, "", True),
        ("", False, "", False),
        ("", True, "100", True),
        ("", True, "0", False),
        ("", False, "100", False),
        ("true", True, "0", True),
        ("true", False, "100", False),
        ("false", True, "100", False),
        ("false", True, "", False),
        (" YES ", True, "0", True),
        ("off", True, "", False),
        ("  ", True, "  ", True),
    ],
)
def test_the_first_that_says_something_decides(
    environment: str, argument: bool, share: str, wanted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(USE_DUCKDB, environment)
    monkeypatch.setenv(ROLLOUT, share)
    assert duckdb_wanted(argument, POLYGON) is wanted


@pytest.mark.parametrize("value", ["-1", "100.1", "nan", "inf", "25%", "half", "1e3", "0x10", "1_0"])
def test_a_share_that_is_none_is_refused(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ROLLOUT, value)
    with pytest.raises(ValueError, match=f"{ROLLOUT} must be a percentage from 0 to 100, not '{value}'"):
        duckdb_wanted(True, POLYGON)


def test_a_switch_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(USE_DUCKDB, "perhaps")
    with pytest.raises(ValueError, match=f"{USE_DUCKDB} must be true or false, not 'perhaps'"):
        duckdb_wanted(True, POLYGON)


# -- the share ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("percent", [0.0, 0.5, 5.0, 25.0, 50.0, 87.5, 100.0])
def test_a_share_of_many_names_is_about_what_it_says(percent: float) -> None:
    chosen = fmean(in_share(name, POLYGON, percent) for name in NAMES) * 100
    assert chosen == pytest.approx(percent, abs=2.5)  # three standard deviations at 50 %
    if percent in (0.0, 100.0):
        assert chosen == percent


@given(st.text(), st.text(), st.floats(0, 100), st.floats(0, 100))
def test_a_member_of_a_share_belongs_to_larger_ones(name: str, source: str, one: float, other: float) -> None:
    smaller, larger = sorted((one, other))
    assert in_share(name, source, smaller) <= in_share(name, source, larger)
    assert 0 <= place_of(name, source) < 100


def test_the_choice_is_the_same_on_every_machine() -> None:
    """Written down once: another hash would move strategies from one storage to the other."""
    places = {"BuyAndHold": 40.719575, "Momentum": 62.449781, "Ärger": 61.61165, "": 19.19489}
    assert {name: round(place_of(name, POLYGON), 6) for name in places} == places
    assert place_of("BuyAndHold", "YahooDataBacktesting") != place_of("BuyAndHold", POLYGON)


def test_the_choice_is_logged(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setenv(ROLLOUT, "12.5")
    place = {True: "Inside", False: "Outside"}
    monkeypatch.setattr(switch, "in_share", lambda name, source, percent: name == place[True])
    with caplog.at_level(logging.INFO, logger="lumibot.duckdb"):
        for inside in (True, False):
            token = running._strategy.set(place[inside])
            assert duckdb_wanted(True, POLYGON) is inside
            running._strategy.reset(token)
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("INFO", "DuckDB rollout of 12.5 %: Inside on PolygonDataBacktesting runs on DuckDB"),
        ("INFO", "DuckDB rollout of 12.5 %: Outside on PolygonDataBacktesting runs on Lumibot's own storage"),
    ]


def test_nothing_is_logged_where_there_is_no_rollout(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="lumibot.duckdb"):
        assert duckdb_wanted(True, POLYGON)
    assert caplog.records == []


def test_a_source_that_is_made_by_itself_counts_as_its_script(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["some/where/my_research.py", "--fast"])
    assert running.name_of_strategy() == "my_research"
    monkeypatch.setattr("sys.argv", [])
    assert running.name_of_strategy() == ""
