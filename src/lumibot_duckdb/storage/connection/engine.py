"""The one in-memory DuckDB instance of this process, to which store files are attached.

The defaults, two threads and 128 MB, leave room for other programs on a laptop. The environment
variables `LUMIBOT_DUCKDB_THREADS` and `LUMIBOT_DUCKDB_MEMORY_LIMIT` change them, and arguments override those.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import tempfile
import threading
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import duckdb

THREADS_VARIABLE = "LUMIBOT_DUCKDB_THREADS"
MEMORY_LIMIT_VARIABLE = "LUMIBOT_DUCKDB_MEMORY_LIMIT"
DEFAULT_THREADS = 2
DEFAULT_MEMORY_LIMIT = "128MB"
NEW_FILE = "STORAGE_VERSION 'v1.5.0', BLOCK_SIZE 65536"
"""How store files are created: in the format of the oldest supported DuckDB, with blocks of 64 KiB. With DuckDB's usual
256 KiB, every write leaves much of a block empty; below 64 KiB, times are not compressed."""
_MEMORY_LIMIT = re.compile(r"\s*\d+(\.\d+)?\s*([KMGT]i?B|[KMGT])\s*", re.IGNORECASE)


class Engine:
    """A DuckDB instance in memory. `Engine.current()` is the one of this process, or a new one after a failure.

    `attached` is the number of files that are attached.
    """

    _current: ClassVar[Engine | None] = None
    _threads: ClassVar[int | None] = None
    _memory_limit: ClassVar[str | None] = None
    _guard: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self, threads: int, memory_limit: str) -> None:
        self.attached = 0
        self.failed = False
        self._connection = duckdb.connect(":memory:", config=_settings(threads, memory_limit))
        self._connection.execute("SET GLOBAL TimeZone = 'UTC'")
        # `StoreFile` checkpoints, with a guard; and not at all if the file was replaced by another.
        self._connection.execute("SET checkpoint_threshold = '1TB'")
        self._connection.execute("PRAGMA disable_checkpoint_on_shutdown")

    @classmethod
    def current(cls) -> Engine:
        """Return the instance of this process, created on first use. Raises ValueError for unusable settings."""
        with cls._guard:
            if cls._current is None or cls._current.failed:
                cls._current = Engine(_threads_setting(cls._threads), _memory_setting(cls._memory_limit))
            return cls._current

    @classmethod
    def configure(cls, threads: int | None, memory_limit: str | None) -> None:
        """Change settings of the process's instance, unless None. Raises ValueError if they are unusable."""
        if threads is not None:
            cls._threads = _threads_setting(threads)
            cls.current()._connection.execute(f"SET threads = {cls._threads}")
        if memory_limit is not None:
            cls._memory_limit = _memory_setting(memory_limit)
            cls.current()._connection.execute(f"SET memory_limit = '{cls._memory_limit}'")

    @classmethod
    def settings(cls) -> dict[str, Any]:
        """Return the settings that every instance of this process has. Raises ValueError for unusable ones."""
        return _settings(_threads_setting(cls._threads), _memory_setting(cls._memory_limit))

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """Return a new connection to the instance, for one thread at a time. It takes microseconds."""
        return self._connection.cursor()

    def close_if_failed(self) -> None:
        """Close a failed instance, which refuses to detach files, once nothing else is attached to it."""
        if self.failed and self.attached <= 0:
            self._connection.close()

    @classmethod
    def close_current(cls) -> None:
        """Close the process's instance. The next use creates a new one."""
        with cls._guard:
            if cls._current is not None:
                cls._current._connection.close()
                cls._current = None

    @classmethod
    def hold_for_fork(cls, idle: bool) -> None:
        """Let no instance be created until `resume_after_fork`; close an idle one, so that none is inherited."""
        if idle:
            cls.close_current()
        cls._guard.acquire()

    @classmethod
    def resume_after_fork(cls) -> None:
        """In the parent, after a fork."""
        cls._guard.release()

    @classmethod
    def forget(cls) -> None:
        """In a forked child: never touch the parent's instance.

        Its threads do not exist here, and closing it would close files that the parent works on.
        """
        cls._guard = threading.Lock()
        if cls._current is not None:
            leak(cls._current)
            cls._current = None


def _settings(threads: int, memory_limit: str) -> dict[str, Any]:
    return {
        "threads": threads,
        "memory_limit": memory_limit,
        "temp_directory": spill_folder(),
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "python_enable_replacements": False,  # a name in SQL never means a Python variable
    }


def check_environment(environment: Mapping[str, str] = os.environ) -> None:
    """Raise ValueError for an unusable setting in the environment, rather than at the first use of a store."""
    _threads_setting(None, environment)
    _memory_setting(None, environment)


def spill_folder() -> str:
    """Return a folder for data that does not fit into memory. DuckDB creates and removes it as needed."""
    return str(Path(tempfile.gettempdir()) / f"lumibot-duckdb-{os.getpid()}-{uuid.uuid4().hex[:8]}")


def attach(duck: duckdb.DuckDBPyConnection, path: Path, name: str, options: str) -> None:
    """Attach a store file under `name`."""
    location = str(path).replace("'", "''")
    duck.execute(f"ATTACH '{location}' AS {name} (TYPE DUCKDB, {options})")


def leak(thing: object) -> None:
    """Keep an object from ever being destroyed in this process, interpreter shutdown included."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))


def _threads_setting(given: int | None, environment: Mapping[str, str] = os.environ) -> int:
    name, value = ("threads", given) if given is not None else (THREADS_VARIABLE, environment.get(THREADS_VARIABLE))
    if value in (None, ""):
        return min(DEFAULT_THREADS, os.cpu_count() or 1)
    with contextlib.suppress(ValueError):
        if (threads := int(str(value))) >= 1:
            return threads
    raise ValueError(f"{name} must be a whole number of at least 1, not {value!r}")


def _memory_setting(given: str | None, environment: Mapping[str, str] = os.environ) -> str:
    value = given or environment.get(MEMORY_LIMIT_VARIABLE) or DEFAULT_MEMORY_LIMIT
    if not _MEMORY_LIMIT.fullmatch(value):
        name = "the memory limit" if given else MEMORY_LIMIT_VARIABLE
        raise ValueError(f"{name} must be a size such as '256MB' or '1GB', not {value!r}")
    return value.strip()
