"""Compares installed versions with the supported ones, without importing the packages."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator
from importlib import metadata

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion

from lumibot_duckdb.doctor.check import FAILED, OK, Check
from lumibot_duckdb.sources.registry import SOURCES

PACKAGES = {
    "lumibot": "Lumibot",
    "duckdb": "DuckDB",
    "pandas": "pandas",
    "numpy": "NumPy",
    "pyarrow": "PyArrow",
    **{spec.client: f"{spec.title}'s client ({spec.client})" for spec in SOURCES.values() if spec.client},
}
"""The packages whose versions are checked, and their display names."""
_OURS = "lumibot-duckdb"


def supported_versions() -> tuple[str, dict[str, SpecifierSet]]:
    """Return which versions of Python, and of each package by its name, `pyproject.toml` allows."""
    about = metadata.metadata(_OURS)
    requirements = [Requirement(text) for text in metadata.requires(_OURS) or []]
    allowed = {
        str(canonicalize_name(each.name)): each.specifier
        for each in requirements
        if each.marker is None or each.marker.evaluate({"extra": ""})
    }
    return about["Requires-Python"] or "", allowed


def installed_version(package: str) -> str | None:
    """Return the installed version of a package; None if it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def check_versions(installed: Callable[[str], str | None] = installed_version) -> Iterator[Check]:
    """Check Python and each of `PACKAGES`; `installed` returns the version of a package."""
    python, allowed = supported_versions()
    yield _check("python", "Python", platform.python_version(), SpecifierSet(python))
    for package, label in PACKAGES.items():
        yield _check(package, label, installed(package), allowed.get(package, SpecifierSet()))


def _check(package: str, label: str, version: str | None, allowed: SpecifierSet) -> Check:
    name, supported = f"versions.{package}", ",".join(sorted(map(str, allowed), reverse=True))
    details = {"installed": version, "supported": supported}
    wanted = f"{package}{supported}" if package != "python" else ""
    if version is None:
        return Check(name, FAILED, f"{label} is not installed", f"pip install '{wanted}'", details)
    if _is_allowed(version, allowed):
        return Check(name, OK, f"{label} {version}" + (f" (supported: {supported})" if supported else ""), "", details)
    remedy = f"pip install '{wanted}'" if wanted else f"install a Python {supported}"
    return Check(name, FAILED, f"{label} {version} is not supported (supported: {supported})", remedy, details)


def _is_allowed(version: str, allowed: SpecifierSet) -> bool:
    try:
        return allowed.contains(version, prereleases=True)
    except InvalidVersion:
        return False
