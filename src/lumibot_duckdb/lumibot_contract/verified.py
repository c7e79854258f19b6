"""Remembers on which Lumibot releases the self-test of a source has passed on this machine.

`lumibot-duckdb doctor` runs the self-test. It proves that functions whose source code has changed still behave as this
package expects, so a source that passed is used despite these changes, until Lumibot, this package or the code changes.
"""

from __future__ import annotations

from hashlib import sha256

from lumibot_duckdb import __version__
from lumibot_duckdb.lumibot_contract import remembered
from lumibot_duckdb.lumibot_contract.catalogue import requirements_of, self_test_of
from lumibot_duckdb.lumibot_contract.releases import installed_release
from lumibot_duckdb.lumibot_contract.results import all_breaches, requirements_digest

_FILE = "verified.json"


def remember_verified(source: str) -> bool:
    """Remember that the self-test of a source ("polygon") has passed; return whether that could be written."""
    return remembered.update(_FILE, {_entry(source): _code(source)})


def is_verified(part: str) -> bool:
    """Return whether the self-test that covers a part has passed with this Lumibot release, package and code."""
    source = self_test_of(part)
    return remembered.read(_FILE).get(_entry(source)) == _code(source)


def _entry(source: str) -> str:
    return f"{source}, Lumibot {installed_release()}, lumibot-duckdb {__version__}"


def _code(source: str) -> str:
    """Return a digest of the requirements and of the changed source code that the self-test ran on."""
    changed = [(each.requirement.name, each.found) for each in all_breaches(source)]
    requirements = requirements_digest(requirements_of(source))
    return sha256(repr((requirements, changed)).encode()).hexdigest()
