"""Which requirements each source and each other part of the package has."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module

from lumibot_duckdb.lumibot_contract.requirement import Requirement

_MODULES: dict[str, tuple[str, ...]] = {
    "polygon": ("data_entity", "pandas_data", "polygon"),
    "yahoo": ("yahoo", "yahoo_frames"),
    "alpaca": ("alpaca",),
    "ccxt": ("ccxt",),
    "own_bars": ("data_entity", "pandas_data", "own_bars"),
    "custom": ("data_entity", "pandas_data", "own_bars"),
    "lifecycle": ("lifecycle",),
    "benchmark": ("benchmark", "yahoo_frames"),
    "activation": ("lifecycle", "activation"),
    "event_loop": ("event_loop",),
    "indicators": ("indicators",),
    "frame_record": ("frame_record",),
    "comparison": ("run_recording",),
    "live_session": ("live_session",),
    "sweeps": ("run_recording", "sweeps"),
    "live_reads": ("live_reads",),
    "stored_provider": ("stored_provider",),
    "polygon_cache": ("old_caches:POLYGON",),
    "yahoo_cache": ("old_caches:YAHOO",),
    "alpaca_cache": ("old_caches:ALPACA",),
    "shared_bar_cache": ("old_caches:SHARED_BARS",),
    "ccxt_cache": ("old_caches:CCXT",),
}

_SELF_TESTS = {"benchmark": "yahoo", "custom": "own_bars", "frame_record": "own_bars"}
"""Parts whose changed source code the self-test of a source covers."""

PARTS = tuple(_MODULES)
"""All parts that `check.breaches` knows."""


def requirements_of(part: str) -> tuple[Requirement, ...]:
    """Return the requirements of a part, each name once. Raises KeyError for a part that does not exist."""
    return tuple({each.name: each for name in _MODULES[part] for each in _listed_in(name)}.values())


def self_test_of(part: str) -> str:
    """Return the source whose self-test shows whether changed source code still does what a part expects."""
    return _SELF_TESTS.get(part, part)


def _listed_in(place: str) -> Iterator[Requirement]:
    module, _, name = place.partition(":")
    yield from getattr(import_module(f"lumibot_duckdb.lumibot_contract.{module}"), name or "REQUIREMENTS")
