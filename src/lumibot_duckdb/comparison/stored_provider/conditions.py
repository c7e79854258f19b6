"""What a process needs, besides the clients, when the store stands in for the providers.

Placeholders for missing keys, since nothing checks them, and a fixed moment as of which our own sources read, so that
they take what is stored for all there is.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime

import lumibot.credentials  # noqa: F401 - it must have read the environment before: with a key in it, it starts a broker

from lumibot_duckdb.sources.registry import SOURCES
from lumibot_duckdb.sources.shared.configuration import Configurable
from lumibot_duckdb.sources.shared.replacing import replaced
from lumibot_duckdb.sources.shared.stored_answers import PLACEHOLDER_KEY


@contextmanager
def conditions_of_a_stored_provider(as_of: datetime) -> Iterator[None]:
    """Let sources be constructed without keys, and ours read as of a moment."""
    with ExitStack() as conditions:
        for name in _missing_keys():
            conditions.enter_context(_in_the_environment(name))
        conditions.enter_context(replaced(Configurable, "everyones_as_of", as_of))
        yield


def _missing_keys() -> list[str]:
    """Return the variables to set so that each source has one complete group of keys: the first, if none is."""
    groups = [spec.credentials for spec in SOURCES.values() if spec.credentials]
    chosen = [group for (group, *others) in groups if not any(all(map(_is_set, each)) for each in (group, *others))]
    return [name for group in chosen for name in group if not _is_set(name)]


def _is_set(name: str) -> bool:
    return bool(os.environ.get(name, "").strip())


@contextmanager
def _in_the_environment(name: str) -> Iterator[None]:
    before = os.environ.get(name)
    os.environ[name] = PLACEHOLDER_KEY
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = before
