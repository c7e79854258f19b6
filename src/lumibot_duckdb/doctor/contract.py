"""What the package relies on in Lumibot and pandas, checked source by source."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from lumibot_duckdb.doctor.check import FAILED, OK, SKIPPED, Check
from lumibot_duckdb.doctor.self_test.sources import LABELS
from lumibot_duckdb.doctor.versions import PACKAGES, installed_version
from lumibot_duckdb.sources.shared.old_cache.lumibot_import import lumibot_silent

Breaches = Callable[[str], Sequence[Any]]
"""Returns what of the contract is broken for a source; `str` of each says what changed."""
_CONTRACT = "lumibot_duckdb.lumibot_contract"


def contract_breaches() -> Breaches | None:
    """Return what finds breaches of the contract; None if this release does not have it."""
    if find_spec(f"{_CONTRACT}.check") is None:
        return None
    breaches: Breaches = import_module(f"{_CONTRACT}.check").breaches
    return breaches


def remember_verified() -> Callable[[str], None] | None:
    """Return what remembers that a source passed the self-test; None if this release does not have it."""
    if find_spec(f"{_CONTRACT}.verified") is None:
        return None
    remember: Callable[[str], None] = import_module(f"{_CONTRACT}.verified").remember_verified
    return remember


@contextmanager
def quiet() -> Iterator[None]:
    """Let what imports Lumibot print nothing, and not connect to a broker."""
    with lumibot_silent(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        yield


def check_import(import_lumibot: Callable[[], object] | None = None) -> Check:
    """Check that Lumibot can be imported. Imports it into this process."""
    name = "contract.import"
    version = installed_version("lumibot")
    if version is None:
        return Check(name, FAILED, "Lumibot is not installed", "pip install lumibot")
    try:
        with quiet():
            (import_lumibot or (lambda: import_module("lumibot.strategies.strategy")))()
    except (Exception, SystemExit) as error:
        said = " ".join(str(error).split())
        remedy = (
            "see whether `python -c 'import lumibot.strategies'` fails in the same way, and install what it lacks or "
            f"run: pip install --force-reinstall lumibot=={version}"
        )
        return Check(name, FAILED, f"{PACKAGES['lumibot']} cannot be imported: {type(error).__name__}: {said}", remedy)
    return Check(name, OK, f"{PACKAGES['lumibot']} can be imported")


def check_contract(breaches: Breaches | None) -> Iterator[Check]:
    """Check each source with what `contract_breaches` returned. Lumibot can be imported by now."""
    if breaches is None:
        yield Check("contract.sources", SKIPPED, "this release of lumibot-duckdb has no contract to check")
        return
    for source, label in LABELS.items():
        name = f"contract.{source}"
        try:
            with quiet():
                found = [" ".join(str(breach).split()) for breach in breaches(source)]
        except Exception as error:
            found = [f"the check itself failed: {type(error).__name__}: {error}"]
        if not found:
            yield Check(name, OK, f"{label}: Lumibot and pandas are as the package expects", "", {"breaches": []})
            continue
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        yield Check(
            name,
            FAILED,
            f"{label}: {found[0]}{more}",
            "backtests run on Lumibot's own class meanwhile; install a supported Lumibot, or upgrade lumibot-duckdb",
            {"breaches": found},
        )
