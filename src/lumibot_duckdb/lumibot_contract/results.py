"""The results of checks, kept in the user's cache folder until a file that was looked at changes."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from hashlib import sha256
from typing import Any

from lumibot_duckdb import __version__
from lumibot_duckdb.lumibot_contract import remembered
from lumibot_duckdb.lumibot_contract.breach import Breach, find_breaches
from lumibot_duckdb.lumibot_contract.catalogue import requirements_of
from lumibot_duckdb.lumibot_contract.installed import InstalledPackages
from lumibot_duckdb.lumibot_contract.requirement import Requirement

_FILE = "checked.json"


@cache
def all_breaches(part: str) -> tuple[Breach, ...]:
    """Return what the installed packages lack for a part, whether or not a self-test has passed on changed source."""
    requirements = requirements_of(part)
    packages = InstalledPackages()
    key = _key(requirements, packages)
    known = remembered.read(_FILE).get(part)
    if isinstance(known, dict) and known.get("key") == key:
        try:
            return tuple(
                Breach(requirements[each["number"]], str(each["change"]), str(each["found"]))
                for each in known["breaches"]
            )
        except (KeyError, IndexError, TypeError):
            pass  # not written by this version
    found = find_breaches(requirements, packages)
    numbers = {each.name: number for number, each in enumerate(requirements)}
    rows = [{"number": numbers[each.requirement.name], "change": each.change, "found": each.found} for each in found]
    remembered.update(_FILE, {part: {"key": key, "breaches": rows}})
    return found


def forget() -> None:
    """Check anew in this process, after packages have changed."""
    all_breaches.cache_clear()


def requirements_digest(requirements: Iterable[Requirement]) -> str:
    """Return a digest of a set of requirements."""
    plain = [(each.name, each.parameters, each.accepts, sorted(each.digests)) for each in requirements]
    return sha256(repr(plain).encode()).hexdigest()[:16]


def _key(requirements: tuple[Requirement, ...], packages: InstalledPackages) -> str:
    """Return what the result of a check depends on: the requirements, and the size and time of each file."""
    files: list[Any] = []
    for module in sorted({module for each in requirements for module in each.modules}):
        file = packages.file_of(module)
        stat = None if file is None else file.stat()
        files.append((module, str(file), stat and stat.st_mtime_ns, stat and stat.st_size))
    return sha256(repr((__version__, requirements_digest(requirements), files)).encode()).hexdigest()
