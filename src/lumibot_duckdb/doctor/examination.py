"""Runs all checks, each group even if another one fails, and removes keys from the results."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

from lumibot_duckdb.comparison.redaction import is_secret, without
from lumibot_duckdb.doctor.check import FAILED, OK, SKIPPED, Check
from lumibot_duckdb.doctor.contract import check_contract, check_import
from lumibot_duckdb.doctor.settings import Layers, check_settings
from lumibot_duckdb.doctor.store import check_store, locate
from lumibot_duckdb.doctor.versions import check_versions
from lumibot_duckdb.lumibot_contract.catalogue import PARTS
from lumibot_duckdb.lumibot_contract.check import breaches
from lumibot_duckdb.lumibot_contract.verified import remember_verified


def examine(store: str | None, layers: Layers, *, self_test: bool = True) -> Iterator[tuple[str, Iterator[Check]]]:
    """Yield each group of checks: its title, and an iterator over its checks.

    `store` is the path that was named on the command line, if one was. `layers` are the places of settings.
    """
    secrets = _secrets(layers)

    def group(title: str, name: str, checks: Callable[[], Iterable[Check]]) -> tuple[str, Iterator[Check]]:
        return title, (_without(check, secrets) for check in _guarded(name, checks))

    yield group("Versions", "versions", check_versions)
    yield group("Settings", "settings", lambda: check_settings(layers))
    yield group("Store", "store", lambda: check_store(locate(store, layers)))
    lumibot = check_import()
    yield group("Contract with Lumibot", "contract", lambda: _contract(lumibot))
    if self_test:
        yield group("Self-test (about half a minute)", "self_test", lambda: _self_test(lumibot))


def _contract(lumibot: Check) -> Iterator[Check]:
    yield lumibot
    if lumibot.status == OK:
        yield from check_contract(breaches, PARTS)
    else:
        yield Check("contract.sources", SKIPPED, "the contract cannot be checked without Lumibot")


def _self_test(lumibot: Check) -> Iterator[Check]:
    if lumibot.status != OK:
        yield Check("self_test.run", SKIPPED, "the sources cannot be tested without Lumibot")
        return
    from lumibot_duckdb.doctor.self_test.run import run_self_test

    yield from run_self_test(remember_verified)


def _guarded(name: str, checks: Callable[[], Iterable[Check]]) -> Iterator[Check]:
    """Yield checks; an unexpected error becomes a failed check."""
    try:
        yield from checks()
    except Exception as error:
        message = " ".join(str(error).split())
        remedy = "LUMIBOT_DUCKDB_DEBUG=1 shows the traceback"
        if os.environ.get("LUMIBOT_DUCKDB_DEBUG"):
            import traceback

            traceback.print_exc()
        summary = f"an error stopped these checks: {type(error).__name__}: {message}"
        yield Check(f"{name}.error", FAILED, summary, remedy)


def _secrets(layers: Layers) -> frozenset[str]:
    return frozenset(value for _, variables in layers for name, value in variables.items() if is_secret(name, value))


def _without(check: Check, secrets: frozenset[str]) -> Check:
    """Return a check without keys."""

    def hidden(value: Any) -> Any:
        if isinstance(value, str):
            return without(value, secrets)
        if isinstance(value, dict):
            return {name: hidden(each) for name, each in value.items()}
        return [hidden(each) for each in value] if isinstance(value, list) else value

    return replace(
        check, summary=hidden(check.summary), remedy=hidden(check.remedy), details=hidden(dict(check.details))
    )
