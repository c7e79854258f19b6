"""The store that a command works on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from lumibot_duckdb.cli.errors import CommandError
from lumibot_duckdb.cli.settings import settings

if TYPE_CHECKING:
    from lumibot_duckdb.duckdb_storage import DuckDBDataStorage

IMPORT = "import bars into it (lumibot-duckdb import)"
RECORD = "record bars into it (lumibot-duckdb run --live, or lumibot-duckdb record)"
"""Remedies, if there is no store."""

LOOK_SECONDS = 2.0
"""How long a look at a database waits for other programs, before live bars are recorded."""


def chosen_location(store: str | None, script: Path | None = None) -> str | None:
    """Return where `--store` or the settings say that the store is, as it is written there; None if they do not."""
    from lumibot_duckdb.storage.location import ENVIRONMENT_VARIABLE

    if store == "":
        raise CommandError("--store is empty: name a folder, or a file whose name ends in .duckdb")
    with _refusals():
        return store or settings(script).get(ENVIRONMENT_VARIABLE) or None


def chosen_path(store: str | None, script: Path | None = None, *, offline: bool = False) -> Path:
    """Return the absolute path of the store that `--store` names. A published snapshot is downloaded first.

    Without one it is the store that backtests in this folder use or, with a `script`, that the script uses. `offline`
    finds a snapshot only if it is on this machine.
    """
    from lumibot_duckdb.publishing.opening import opened_store

    location = chosen_location(store, script)
    with _refusals():
        return opened_store(location, environment=settings(script), offline=offline).absolute()


@contextmanager
def _refusals() -> Iterator[None]:
    """Turn errors about the place of a store into those of the command."""
    from lumibot_duckdb.storage.errors import StorageError

    try:
        yield
    except StorageError:
        raise
    except ValueError as error:
        raise CommandError(str(error)) from None
    except OSError as error:
        raise CommandError(f"cannot look for a store at {error.filename}: {error.strerror}", exit_code=3) from None


def checked_path(store: str | None) -> Path:
    """Return `chosen_path` after a check of the settings in the environment. Raises `CommandError`."""
    from lumibot_duckdb.storage.connection.engine import check_environment

    try:
        check_environment()
    except ValueError as error:
        raise CommandError(str(error)) from None
    return chosen_path(store)


def open_store(store: str | None) -> DuckDBDataStorage:
    """Return the storage that `--store` names."""
    from lumibot_duckdb.duckdb_storage import DuckDBDataStorage

    try:
        return DuckDBDataStorage(chosen_path(store))
    except ValueError as error:
        raise CommandError(str(error)) from None


def check_recordable(path: Path) -> None:
    """Raise `StorageError` if live bars could never be written to the store at `path`.

    There may be none yet, and one that is in use can be written later.
    """
    from lumibot_duckdb.storage import migrations
    from lumibot_duckdb.storage.connection.store_connection import StoreConnection
    from lumibot_duckdb.storage.errors import (
        ReplicaError,
        StoreBusyError,
        StoreDamagedError,
        StoreNotFoundError,
        StoreVersionError,
    )

    connection = StoreConnection.of(path)
    with suppress(StoreBusyError, StoreNotFoundError):
        try:
            with connection.read(LOOK_SECONDS) as cursor:
                migrations.refuse_read_only(migrations.state(cursor))
        except (StoreDamagedError, StoreVersionError, ReplicaError) as error:
            raise error if str(path) in str(error) else type(error)(f"{path}: {error}") from None
        finally:
            connection.close()


def existing_store(store: str | None, remedy: str = IMPORT) -> DuckDBDataStorage:
    """Return `open_store` for a command that needs a store to work on. Raises `CommandError` if there is none."""
    storage = open_store(store)
    if not storage.path.exists():
        raise no_store(storage.path, remedy)
    return storage


def no_store(path: Path, remedy: str = IMPORT) -> CommandError:
    """Return the error of a command that needs a store to work on."""
    return CommandError(f"there is no store at {path} yet: {remedy}, or name another with --store", exit_code=1)
