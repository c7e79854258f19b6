"""Our classes under the names of Lumibot's, and Lumibot's own classes in their place if DuckDB is switched off."""

from __future__ import annotations

import inspect
from abc import ABCMeta
from functools import cache
from typing import Any

from lumibot_duckdb.sources.registry import CLASSES, SPEC_OF_CLASS, load
from lumibot_duckdb.sources.shared.switch import duckdb_wanted

_OURS = __name__.split(".")[0]


class SameName(ABCMeta):
    """Metaclass of a class that equals its base class of the same name.

    Lumibot has checks such as `type(source) == PolygonDataBacktesting`, which decides where the benchmark comes from.
    """

    def __eq__(cls, other: object) -> bool:
        return cls is other or (
            isinstance(other, type) and other.__name__ == cls.__name__ and any(base is other for base in cls.__mro__)
        )

    __hash__ = ABCMeta.__hash__


class SwitchableMeta(SameName):
    """Metaclass of our data source classes: calling one makes an instance of it or of Lumibot's class."""

    use_duckdb: bool

    def __call__(cls, *args: Any, use_duckdb: bool = True, **kwargs: Any) -> Any:
        """Make an instance of Lumibot's class if `use_duckdb`, the environment or the rollout decides so."""
        if duckdb_wanted(use_duckdb and cls.use_duckdb, cls.__name__):
            return super().__call__(*args, **kwargs)
        return without_duckdb(cls)(*args, **kwargs)

    @property
    def __signature__(cls) -> inspect.Signature:
        """The signature of the constructor, which `__call__` would hide from `help`."""
        _, *parameters = inspect.signature(cls.__init__).parameters.values()  # type: ignore[misc]
        return inspect.Signature(parameters)


class _WithoutDuckDB(SwitchableMeta):
    """Metaclass of a class derived from ours and from Lumibot's, without ours in its method resolution order."""

    __call__ = ABCMeta.__call__

    def mro(cls) -> list[type]:
        """Return the usual order without our classes, except for those of Lumibot's class."""
        kept = {id(each) for each in (cls, *cls.__bases__[-1].__mro__)}
        return [each for each in super().mro() if id(each) in kept or not _is_ours(each)]


def without_duckdb(source: type[Any]) -> type[Any]:
    """Return the class that takes the place of one of ours if DuckDB is switched off.

    It has the same name, and `isinstance(..., source)` holds for its instances, but they behave like those of Lumibot's
    class. Methods that users add in subclasses of ours are kept.
    """
    made: type[Any] | None = vars(source).get("_without_duckdb")
    if made is None:
        public = next(each.__name__ for each in source.__mro__ if _is_ours(each) and each.__name__ in CLASSES)
        names = {
            "use_duckdb": False,
            "settings": source.settings,
            "__doc__": source.__doc__,
            "__module__": source.__module__,
        }
        made = _WithoutDuckDB(source.__name__, (source, lumibot_class_for(public)), names)
        source._without_duckdb = made
    return made


@cache
def lumibot_class_for(name: str) -> type[Any]:
    """Return Lumibot's own class under a public name of ours; it accepts our arguments and `using`.

    No source of ours is imported, so this also works with a release of Lumibot that ours do not fit.

    Raises:
        KeyError: `lumibot_duckdb.backtesting` has no data source of that name.
    """
    spec, named = SPEC_OF_CLASS[name], CLASSES[name]
    lumibots = named.load_lumibots()
    return SameName(
        name, (load(spec.mixin_without_duckdb), lumibots), {"__doc__": lumibots.__doc__, "__module__": named.module}
    )


def _is_ours(kind: type[Any]) -> bool:
    return kind.__module__.split(".")[0] == _OURS
