"""Reads what the store holds as text or JSON, which another program may have changed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from lumibot_duckdb.storage.errors import StorageError, StoreDamagedError


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Raise `StoreDamagedError`, which names `what`, if the block cannot make sense of a stored value."""
    try:
        yield
    except StorageError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise StoreDamagedError(
            f"{what} in the store cannot be read ({type(error).__name__}: {error}). Something other than this package "
            "has changed it: restore a backup, or delete what `verify` lists and store it again"
        ) from error
