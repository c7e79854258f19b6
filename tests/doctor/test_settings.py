"""The settings in force, their origin, and errors in them."""

from __future__ import annotations

import pytest

from lumibot_duckdb.doctor.check import FAILED, OK, WARNING, Check
from lumibot_duckdb.doctor.settings import KEYS, SETTINGS, check_settings


def checks(*layers: tuple[str, dict[str, str]]) -> dict[str, Check]:
    return {check.name.removeprefix("settings."): check for check in check_settings(layers)}


def test_without_settings_the_defaults_are_shown() -> None:
    found = checks(("environment", {}))
    assert list(found) == [*(setting.variable for setting in SETTINGS), *KEYS]
    assert {check.status for check in found.values()} == {OK}
    assert found["LUMIBOT_USE_DUCKDB"].summary == "LUMIBOT_USE_DUCKDB: true (default)"
    assert found["LUMIBOT_USE_DUCKDB"].details == {"value": None, "origin": "default"}


def test_the_first_place_that_has_a_setting_is_its_origin() -> None:
    local = ("/project/.env.local", {"LUMIBOT_DUCKDB_ROLLOUT": "25"})
    environment = ("environment", {"LUMIBOT_DUCKDB_ROLLOUT": "50", "LUMIBOT_DUCKDB_THREADS": "4"})
    file = ("/project/.env", {"LUMIBOT_DUCKDB_THREADS": "8", "LUMIBOT_DUCKDB_MEMORY_LIMIT": "1GB"})
    found = checks(local, environment, file)
    assert found["LUMIBOT_DUCKDB_ROLLOUT"].summary == "LUMIBOT_DUCKDB_ROLLOUT: 25 (/project/.env.local)"
    assert found["LUMIBOT_DUCKDB_THREADS"].summary == "LUMIBOT_DUCKDB_THREADS: 4 (environment)"
    assert found["LUMIBOT_DUCKDB_MEMORY_LIMIT"].details == {"value": "1GB", "origin": "/project/.env"}


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("LUMIBOT_USE_DUCKDB", "maybe"),
        ("LUMIBOT_DUCKDB_ROLLOUT", "120"),
        ("LUMIBOT_DUCKDB_ROLLOUT", "half"),
        ("LUMIBOT_DUCKDB_STRICT", "2"),
        ("LUMIBOT_DUCKDB_LOG_STATS", "quiet"),
        ("LUMIBOT_DUCKDB_LIVE_WARM_UP", "sometimes"),
        ("LUMIBOT_DUCKDB_STORE_FRAMES", "my bars"),
        ("LUMIBOT_DUCKDB_THREADS", "0"),
        ("LUMIBOT_DUCKDB_MEMORY_LIMIT", "much"),
        ("POLYGON_WAIT_SECONDS_RETRY", "1.5"),
        ("POLYGON_MAX_RETRY_ATTEMPTS", "-1"),
        ("POLYGON_MAX_RETRY_SLEEP_SECONDS", "a minute"),
    ],
)
def test_an_unusable_value_fails_and_is_named_with_its_origin(variable: str, value: str) -> None:
    found = checks(("environment", {}), ("/project/.env", {variable: value}))
    failed = [name for name, check in found.items() if check.status == FAILED]
    assert failed == [variable]
    assert variable in found[variable].summary
    assert repr(value) in found[variable].summary
    assert found[variable].remedy == "correct it or remove it (/project/.env)"


def test_a_blank_value_is_the_default() -> None:
    found = checks(("environment", {setting.variable: " " for setting in SETTINGS if setting.variable != "x"}))
    odd = {name for name, check in found.items() if check.status != OK}
    assert odd <= {"LUMIBOT_DUCKDB_THREADS", "LUMIBOT_DUCKDB_MEMORY_LIMIT"}  # which DuckDB's settings refuse


def test_a_misspelt_setting_is_a_warning() -> None:
    found = checks(("environment", {"LUMIBOT_DUCKDB_ROLOUT": "25"}))
    assert found["LUMIBOT_DUCKDB_ROLOUT"].status == WARNING
    assert "is not a setting of lumibot-duckdb (environment)" in found["LUMIBOT_DUCKDB_ROLOUT"].summary


def test_only_whether_keys_are_set_is_reported() -> None:
    secret = "pk-0123456789"
    shown = [checks(("environment", dict.fromkeys(KEYS, value))) for value in (secret, "x" * 99)]
    assert shown[0] == shown[1]
    assert shown[0]["POLYGON_API_KEY"].summary == "POLYGON_API_KEY: set (environment)"
    assert secret not in str(shown[0])
    assert checks(("environment", {"ALPACA_API_KEY": " "}))["ALPACA_API_KEY"].summary == "ALPACA_API_KEY: not set"
