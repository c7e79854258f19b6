"""Changes modules when they are imported, so that nothing has to be imported to change it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import ModuleType


def on_import(names: Iterable[str], change: Callable[[ModuleType], None]) -> Callable[[], None]:
    """Call `change` with each of these modules: now if it is loaded, otherwise right after it was.

    Return what ends this. What `change` has changed stays.
    """
    finder = _Finder(frozenset(names), change)
    sys.meta_path.insert(0, finder)
    for name in sorted(finder.names):
        if name in sys.modules:
            change(sys.modules[name])

    def end() -> None:
        if finder in sys.meta_path:
            sys.meta_path.remove(finder)

    return end


class _Finder(MetaPathFinder):
    """Finds modules as usual, and changes them when they are loaded."""

    def __init__(self, names: frozenset[str], change: Callable[[ModuleType], None]) -> None:
        self.names = names
        self.change = change

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in self.names:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and type(spec.loader) is SourceFileLoader:
            spec.loader = _Loader(spec.loader.name, spec.loader.path)
        return spec


class _Loader(SourceFileLoader):
    def exec_module(self, module: ModuleType) -> None:
        super().exec_module(module)
        for finder in [each for each in sys.meta_path if isinstance(each, _Finder)]:  # several may want a module
            if module.__name__ in finder.names:
                finder.change(module)
