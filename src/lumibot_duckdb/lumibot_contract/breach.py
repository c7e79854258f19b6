"""Compares requirements with installed packages."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from lumibot_duckdb.lumibot_contract.digest import digest
from lumibot_duckdb.lumibot_contract.installed import InstalledPackages
from lumibot_duckdb.lumibot_contract.requirement import Requirement
from lumibot_duckdb.lumibot_contract.source_text import SourceFile

REMOVED, SOURCE_CHANGED = "removed", "source changed"


@dataclass(frozen=True, slots=True)
class Breach:
    """A requirement that the installed packages do not meet.

    Parameters:
        requirement: what is relied on.
        change: "removed", "signature is (a, b), expected (a)", "signature lacks a" or "source changed".
        found: the digest of the installed source code, if that is what changed.
    """

    requirement: Requirement
    change: str
    found: str = ""

    @property
    def is_unknown_source(self) -> bool:
        """Whether only the source code changed, so that a self-test can tell if behaviour did as well."""
        return self.change == SOURCE_CHANGED

    def __str__(self) -> str:
        verb = {REMOVED: "was removed", SOURCE_CHANGED: "has changed source code"}.get(self.change)
        return f"{self.requirement.name} {verb or f'changed: {self.change}'} ({self.requirement.why})"


def find_breaches(requirements: Iterable[Requirement], packages: InstalledPackages) -> tuple[Breach, ...]:
    """Return the breaches of requirements by the installed packages."""
    return tuple(each for requirement in requirements if (each := _breach(requirement, packages)) is not None)


def digest_of(source: SourceFile, path: str) -> str:
    """Return the digest of what a file defines under a name."""
    return digest(source.definitions(path))


def parameters_of(source: SourceFile, path: str) -> tuple[str, ...]:
    """Return the parameters of a function, or of a class's `__init__`, without `self` or `cls`."""
    definitions = source.definitions(path)
    if definitions and isinstance(definitions[-1], ast.ClassDef):
        definitions = source.definitions(f"{path}.__init__")
    function = definitions[-1] if definitions else None
    if not isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)):
        return ()
    return tuple(_names(function.args))


def _breach(requirement: Requirement, packages: InstalledPackages) -> Breach | None:
    if not requirement.path:
        return None if packages.file_of(requirement.module) else Breach(requirement, REMOVED)
    found = packages.find(requirement.module, requirement.path)
    if found is None:
        module, _, path = requirement.formerly.partition(":")
        return None if path and packages.find(module, path) else Breach(requirement, REMOVED)
    if requirement.parameters is not None or requirement.accepts:
        names = parameters_of(*found)
        expected = names if requirement.parameters is None else requirement.parameters
        lacking = [name for name in requirement.accepts if name not in names]
        if names != expected:
            return Breach(requirement, f"signature is ({', '.join(names)}), expected ({', '.join(expected)})")
        if lacking:
            return Breach(requirement, f"signature lacks {', '.join(lacking)}")
    if requirement.digests:
        source = digest_of(*found)
        if source not in requirement.digests:
            return Breach(requirement, SOURCE_CHANGED, source)
    return None


def _names(arguments: ast.arguments) -> Iterator[str]:
    positional = [each.arg for each in (*arguments.posonlyargs, *arguments.args)]
    yield from positional[1:] if positional[:1] in (["self"], ["cls"]) else positional
    if arguments.vararg:
        yield f"*{arguments.vararg.arg}"
    yield from (each.arg for each in arguments.kwonlyargs)
    if arguments.kwarg:
        yield f"**{arguments.kwarg.arg}"
