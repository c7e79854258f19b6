"""Looks names up in the source files of the installed packages."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from lumibot_duckdb.lumibot_contract.source_text import SourceFile

_MOST_STEPS = 8
"""Imports and base classes that are followed for one name."""


class InstalledPackages:
    """The installed packages; `folders` gives the folder of a package that is elsewhere."""

    def __init__(self, folders: Mapping[str, Path] | None = None) -> None:
        self._folders: dict[str, Path | None] = dict(folders or {})
        self._sources: dict[str, SourceFile | None] = {}

    def file_of(self, module: str) -> Path | None:
        """Return the source file of a module, or the stub of one that is compiled; None if there is neither."""
        package, _, rest = module.partition(".")
        if package not in self._folders:
            spec = find_spec(package)
            self._folders[package] = None if spec is None or spec.origin is None else Path(spec.origin).parent
        folder = self._folders[package]
        if folder is None:
            return None
        place = folder.joinpath(*rest.split(".")) if rest else folder
        candidates = (place.parent / f"{place.name}.py", place / "__init__.py", place.parent / f"{place.name}.pyi")
        return next((file for file in candidates if file.is_file()), None)

    def find(self, module: str, path: str, steps: int = _MOST_STEPS) -> tuple[SourceFile, str] | None:
        """Return the file that defines a name, and the name there; None if there is none.

        Imports are followed to the definition, and an attribute of a class may be defined by one of its bases.
        """
        source = self._source(module)
        if source is None or not steps:
            return None
        head, _, rest = path.partition(".")
        imported_from, original = source.origin(head) or ("", "")
        if imported_from:
            name = f"{original}.{rest}" if rest else original
            if found := self.find(self._absolute(imported_from, module), name, steps - 1):
                return found
        if source.defines(path):
            return source, path
        owner, _, name = path.rpartition(".")
        inherited = (self.find(module, f"{base}.{name}", steps - 1) for base in source.bases(owner) if owner)
        return next(filter(None, inherited), None)

    def _source(self, module: str) -> SourceFile | None:
        if module not in self._sources:
            file = self.file_of(module)
            self._sources[module] = None if file is None else SourceFile(file.read_text(encoding="utf-8"))
        return self._sources[module]

    def _absolute(self, module: str, importer: str) -> str:
        """Return the full name of a module that another one imports from, perhaps by a relative name."""
        dots = len(module) - len(module.lstrip("."))
        if not dots:
            return module
        file = self.file_of(importer)
        package = importer.split(".") if file and file.stem == "__init__" else importer.split(".")[:-1]
        return ".".join([*package[: len(package) - dots + 1], *filter(None, [module[dots:]])])
