"""The settings of a process in which the store answers for the providers.

Missing keys are set to placeholders, which nothing checks. Our own sources read as of a fixed moment, so they take the
stored bars for complete.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime

import lumibot.credentials  # noqa: F401 - must be imported before keys are set, because it connects a broker if there are any

from lumibot_duckdb.sources.registry import SOURCES
from lumibot_duckdb.sources.shared.configuration import Configurable
from lumibot_duckdb.sources.shared.replacing import replaced
from lumibot_duckdb.sources.shared.stored_answers import PLACEHOLDER_KEY


@contextmanager
def stored_provider_conditions(as_of: datetime) -> Iterator[None]:
    """Allow sources to be constructed without keys, and make ours read as of a moment."""
    with ExitStack() as conditions:
        for name in _missing_keys():
            conditions.enter_context(_environment_variable(name))
        conditions.enter_context(replaced(Configurable, "default_as_of", as_of))
        yield


def _missing_keys() -> list[str]:
    """Return the variables to set so that each source has a complete group of keys: the first, if none is complete."""
    groups = [spec.credentials for spec in SOURCES.values() if spec.credentials]
    chosen = [group for (group, *others) in groups if not any(all(map(_is_set, each)) for each in (group, *others))]
    return [name for group in chosen for name in group if not _is_set(name)]


def _is_set(name: str) -> bool:
    return bool(os.environ.get(name, "").strip())


@contextmanager
def _environment_variable(name: str) -> Iterator[None]:
    before = os.environ.get(name)
    os.environ[name] = PLACEHOLDER_KEY
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = before
