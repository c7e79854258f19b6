"""Settings of a data source: `using` returns a class that carries them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from lumibot_duckdb.storage.api import AsOf, DataStorageInterface

Source = TypeVar("Source", bound="Configurable")


def open_storage(storage: DataStorageInterface | str | Path | None) -> DataStorageInterface:
    """Return a storage: the one given, the one at a path, or the default store."""
    if isinstance(storage, DataStorageInterface):
        return storage
    from lumibot_duckdb.duckdb_storage import DuckDBDataStorage

    return DuckDBDataStorage(storage)


class Configurable:
    """Mix-in for a data source class that can be configured before Lumibot constructs it."""

    settings: ClassVar[Mapping[str, Any]] = {}
    """The arguments of `using`."""

    default_as_of: ClassVar[AsOf | None] = None
    """`as_of` of all sources that do not set one, for a process that must not download anything."""

    @classmethod
    def using(
        cls: type[Source],
        storage: DataStorageInterface | str | Path | None = None,
        *,
        as_of: AsOf | None = None,
        max_memory: int | None = None,
    ) -> type[Source]:
        """Return a class with these settings, to pass to `Strategy.backtest`.

        The settings are bound to a class because keyword arguments of `Strategy.backtest` become parameters of the
        strategy as well.

        Parameters:
            storage: a storage or the path of one; None for the default store.
            as_of: a tz-aware moment, or the name of a snapshot; history is read as it was then, and nothing is
                downloaded.
            max_memory: a bound in bytes on the bars of all series that the backtest holds in memory.
        """
        return cls._configured(storage=storage, as_of=as_of, max_memory=max_memory)

    @classmethod
    def _configured(cls: type[Source], **settings: Any) -> type[Source]:
        # Lumibot looks at a source's class name.
        names = {"settings": settings, "__doc__": cls.__doc__, "__module__": cls.__module__}
        make: Any = type(cls)
        configured: type[Source] = make(cls.__name__, (cls,), names)
        return configured
