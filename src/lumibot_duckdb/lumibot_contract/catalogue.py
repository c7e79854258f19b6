"""Which requirements each source and each other part of the package has."""

from __future__ import annotations

from importlib import import_module

from lumibot_duckdb.lumibot_contract.requirement import Requirement

_WINDOWS = ("pandas_data", "indicators")

_MODULES: dict[str, tuple[str, ...]] = {
    "own_bars": (*_WINDOWS, "own_bars"),
    "polygon": (*_WINDOWS, "polygon"),
    "yahoo": ("yahoo", "yahoo_frames"),
    "ccxt": ("ccxt",),
    "alpaca": ("alpaca",),
    "lifecycle": ("lifecycle",),
    "benchmark": ("benchmark", "yahoo_frames"),
    "activation": ("lifecycle", "activation"),
    "comparison": ("evidence",),
    "stored_provider": ("stored_provider",),
    "migration": ("old_caches",),
}

SOURCES = ("polygon", "yahoo", "alpaca", "ccxt", "own_bars")
"""The parts that are sources, each with a self-test."""

PARTS = tuple(_MODULES)
"""All parts that `breaches` checks."""


def requirements_of(part: str) -> tuple[Requirement, ...]:
    """Return the requirements of a part. Raises KeyError for one that there is not."""
    modules = (import_module(f"lumibot_duckdb.lumibot_contract.{name}") for name in _MODULES[part])
    return tuple({each.name: each for module in modules for each in module.REQUIREMENTS}.values())
