"""Verifies the requirements on the installed Lumibot and pandas, without importing Lumibot or any source.

The result of a check is kept in the user's cache folder until a file that it looked at changes, so that a check costs a
few milliseconds.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from typing import Any

from lumibot_duckdb import __version__
from lumibot_duckdb.lumibot_contract import remembered
from lumibot_duckdb.lumibot_contract.catalogue import requirements_of
from lumibot_duckdb.lumibot_contract.digest import digest
from lumibot_duckdb.lumibot_contract.installed import InstalledPackages
from lumibot_duckdb.lumibot_contract.requirement import Requirement
from lumibot_duckdb.lumibot_contract.source_text import SourceFile

REMOVED, SOURCE_CHANGED = "removed", "source changed"
_CHECKED = "checked.json"


@dataclass(frozen=True, slots=True)
class Breach:
    """A requirement that the installed packages do not meet.

    Parameters:
        requirement: what is relied on.
        change: "removed", "signature is (a, b), expected (a)", "signature lacks a" or "source changed".
        found: the digest of the source code as it is installed, if that is what changed.
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


@cache
def breaches(part: str) -> tuple[Breach, ...]:
    """Return what the installed packages lack for a source or another part, in the order of its requirements.

    Functions whose source code changed are left out once a self-test of the part has passed on them; see `verified`.
    Raises KeyError for a part that there is not.
    """
    from lumibot_duckdb.lumibot_contract.verified import is_verified

    found = all_breaches(part)
    if any(each.is_unknown_source for each in found) and is_verified(part):
        return tuple(each for each in found if not each.is_unknown_source)
    return found


@cache
def all_breaches(part: str) -> tuple[Breach, ...]:
    """Return what the installed packages lack for a part, whether or not a self-test has passed on changed source."""
    requirements = requirements_of(part)
    packages = InstalledPackages()
    key = _key(requirements, packages)
    known = remembered.read(_CHECKED).get(part)
    if isinstance(known, dict) and known.get("key") == key:
        try:
            return tuple(
                Breach(requirements[each["number"]], str(each["change"]), str(each["found"]))
                for each in known["breaches"]
            )
        except (KeyError, IndexError, TypeError):
            pass  # not written by this version
    found = check(requirements, packages)
    numbers = {each.name: number for number, each in enumerate(requirements)}
    rows = [{"number": numbers[each.requirement.name], "change": each.change, "found": each.found} for each in found]
    remembered.update(_CHECKED, {part: {"key": key, "breaches": rows}})
    return found


def forget() -> None:
    """Check anew in this process, after packages or remembered results have changed."""
    breaches.cache_clear()
    all_breaches.cache_clear()


def check(requirements: Iterable[Requirement], packages: InstalledPackages) -> tuple[Breach, ...]:
    """Return those of some requirements that packages do not meet."""
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
        return Breach(requirement, REMOVED)
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


def _key(requirements: tuple[Requirement, ...], packages: InstalledPackages) -> str:
    """Return what the result of a check depends on: the requirements, and the files as they are on the disk."""
    files: list[Any] = []
    for module in sorted({each.module for each in requirements}):
        file = packages.file_of(module)
        stat = None if file is None else file.stat()
        files.append((module, str(file), stat and stat.st_mtime_ns, stat and stat.st_size))
    return sha256(repr((__version__, requirements_digest(requirements), files)).encode()).hexdigest()


def requirements_digest(requirements: Iterable[Requirement]) -> str:
    """Return a digest of a set of requirements."""
    plain = [(each.name, each.parameters, each.accepts, sorted(each.digests)) for each in requirements]
    return sha256(repr(plain).encode()).hexdigest()[:16]
