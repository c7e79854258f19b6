"""The settings in force: each environment variable of the package, its value, and where it was set."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from lumibot_duckdb.doctor.check import FAILED, OK, WARNING, Check
from lumibot_duckdb.live.warm_up.choice import VARIABLE as LIVE_WARM_UP
from lumibot_duckdb.live.warm_up.choice import chosen_warm_up
from lumibot_duckdb.sources.own_bars.storing import STORE_FRAMES, source_to_store_under
from lumibot_duckdb.sources.registry import SOURCES
from lumibot_duckdb.sources.shared.environment import flag
from lumibot_duckdb.sources.shared.switch import ROLLOUT, USE_DUCKDB, rollout
from lumibot_duckdb.sources.shared.telemetry import LOG_STATS
from lumibot_duckdb.storage.connection.engine import (
    DEFAULT_MEMORY_LIMIT,
    DEFAULT_THREADS,
    MEMORY_LIMIT_VARIABLE,
    THREADS_VARIABLE,
    check_environment,
)
from lumibot_duckdb.storage.location import ENVIRONMENT_VARIABLE
from lumibot_duckdb.storage.published import settings as snapshots

Layers: TypeAlias = Sequence[tuple[str, Mapping[str, str]]]
"""The sources of settings, highest precedence first: "environment" or the path of a file, and its variables."""

DEFAULT = "default"


@dataclass(frozen=True)
class Setting:
    """An environment variable of the package. `check` raises ValueError for an invalid value."""

    variable: str
    default: str
    check: Callable[[str, Mapping[str, str]], object] = lambda variable, environment: None


def _whole_number(variable: str, environment: Mapping[str, str]) -> None:
    value = environment[variable].strip()
    if value and not value.isdigit():
        raise ValueError(f"{variable} must be a whole number, not {value!r}")


def _rollout(variable: str, environment: Mapping[str, str]) -> None:
    rollout(environment)


def _engine(variable: str, environment: Mapping[str, str]) -> None:
    check_environment({variable: environment[variable]})


def _warm_up(variable: str, environment: Mapping[str, str]) -> None:
    chosen_warm_up(None, environment)


def _snapshots(variable: str, environment: Mapping[str, str]) -> None:
    snapshots.snapshot_settings({variable: environment[variable]})


SETTINGS = (
    Setting(ENVIRONMENT_VARIABLE, "the folder duckdb in Lumibot's cache folder"),
    Setting(USE_DUCKDB, "true", flag),
    Setting(ROLLOUT, "100", _rollout),
    Setting("LUMIBOT_DUCKDB_STRICT", "false", flag),
    Setting(LOG_STATS, "true", flag),
    Setting(STORE_FRAMES, "not stored", source_to_store_under),
    Setting(LIVE_WARM_UP, "auto", _warm_up),
    Setting("LUMIBOT_DUCKDB_DEBUG", "false"),
    Setting(THREADS_VARIABLE, str(DEFAULT_THREADS), _engine),
    Setting(MEMORY_LIMIT_VARIABLE, DEFAULT_MEMORY_LIMIT, _engine),
    Setting(snapshots.CACHE, "the folder duckdb/snapshots in Lumibot's cache folder"),
    Setting(snapshots.CACHE_SIZE, snapshots.DEFAULT_CACHE_SIZE, _snapshots),
    Setting(snapshots.OFFLINE, "false", _snapshots),
    Setting(snapshots.OVERLAY, "snapshots are only read"),
    Setting("LUMIBOT_CACHE_FOLDER", "the user's cache folder"),
    Setting("POLYGON_WAIT_SECONDS_RETRY", "as Polygon asks for", _whole_number),
    Setting("POLYGON_MAX_RETRY_ATTEMPTS", "unlimited", _whole_number),
    Setting("POLYGON_MAX_RETRY_SLEEP_SECONDS", "unlimited", _whole_number),
)
KEYS = tuple(key for spec in SOURCES.values() for group in spec.credentials for key in group)
"""The keys of providers. Only "set" or "not set" is ever shown."""


def value_of(variable: str, layers: Layers) -> tuple[str | None, str]:
    """Return the value of a variable, None if it is not set, and its origin."""
    for origin, variables in layers:
        if variable in variables:
            return variables[variable], origin
    return None, DEFAULT


def check_settings(layers: Layers) -> Iterator[Check]:
    """Check every setting, then report which keys are set."""
    for setting in SETTINGS:
        yield _check(setting, *value_of(setting.variable, layers))
    yield from _unknown_variables(layers)
    for variable in KEYS:
        value, origin = value_of(variable, layers)
        details = {"set": bool(value and value.strip()), "origin": origin}
        state = f"set ({origin})" if details["set"] else "not set"
        yield Check(f"settings.{variable}", OK, f"{variable}: {state}", "", details)


def _check(setting: Setting, value: str | None, origin: str) -> Check:
    variable = setting.variable
    name, in_force = f"settings.{variable}", setting.default if value is None or not value.strip() else value
    details = {"value": value, "origin": origin}
    try:
        if value is not None:
            setting.check(variable, {variable: value})
    except ValueError as error:
        remedy = f"correct it or remove it ({origin})"
        return Check(name, FAILED, " ".join(str(error).split()), remedy, details)
    return Check(name, OK, f"{variable}: {in_force} ({origin})", "", details)


def _unknown_variables(layers: Layers) -> Iterator[Check]:
    """Warn about variables that look like ours but are not, such as misspelled ones."""
    known = {setting.variable for setting in SETTINGS}
    for origin, variables in layers:
        for variable in sorted(variables):
            if variable.startswith("LUMIBOT_DUCKDB_") and variable not in known:
                yield Check(
                    f"settings.{variable}",
                    WARNING,
                    f"{variable} is not a setting of lumibot-duckdb ({origin})",
                    "compare its spelling with docs/cli.md, or remove it",
                    {"origin": origin},
                )
