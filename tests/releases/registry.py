"""Which Lumibot releases are tested, and how one is installed beside the current one.

`python -m tests.releases.registry` prints the releases for `make releases`: the latest ten of the package registry, the
oldest one that is supported, and one that most sources do not fit. Without a registry, those that are known here.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, distributions, version
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

from lumibot_duckdb.lumibot_contract.releases import KNOWN_RELEASES

SETTING = "LUMIBOT_RELEASES"
"""Environment variable: the releases to test, separated by spaces."""

UNSUPPORTED = "4.6.0"
"""A release that only CCXT fits, which shows how sources fall back."""

_LATEST = 10


def chosen() -> list[str]:
    """Return the releases to test: those of the environment variable, or all that are known."""
    return os.environ.get(SETTING, "").split() or [*reversed(KNOWN_RELEASES), UNSUPPORTED]


def published() -> list[str]:
    """Return the final releases of the registry, the latest first; an empty list if there is no registry."""
    answer = _pip("index", "versions", "lumibot")
    found = re.search(r"^Available versions: (.+)$", answer.stdout, re.MULTILINE)
    versions = [Version(each.strip()) for each in found.group(1).split(",")] if found else []
    return [str(each) for each in sorted(versions, reverse=True) if not each.is_prerelease]


def install(release: str, folder: Path) -> str:
    """Install a release into a folder, without what it needs. Return why that failed; empty if it did not."""
    done = _pip("install", "--quiet", "--no-deps", "--no-compile", "--target", str(folder), f"lumibot=={release}")
    return (done.stderr.strip().splitlines() or ["pip failed"])[-1] if done.returncode else ""


def unmet_requirements(folder: Path) -> list[str]:
    """Return what the release in a folder needs and the current environment lacks."""
    (distribution,) = distributions(name="lumibot", path=[str(folder)])
    needed = [Requirement(text) for text in distribution.requires or ()]
    return [str(each) for each in needed if (not each.marker or each.marker.evaluate({"extra": ""})) and not _met(each)]


def _met(requirement: Requirement) -> bool:
    try:
        return requirement.specifier.contains(version(requirement.name), prereleases=True)
    except PackageNotFoundError:
        return False


def _pip(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)


if __name__ == "__main__":
    latest = published()[:_LATEST] or list(reversed(KNOWN_RELEASES))
    print(*dict.fromkeys([*latest, KNOWN_RELEASES[0], UNSUPPORTED]))
