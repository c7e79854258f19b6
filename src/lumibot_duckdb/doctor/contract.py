"""What the package relies on in Lumibot and pandas, checked source by source."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from importlib import import_module
from typing import Any

from lumibot_duckdb.doctor.check import FAILED, OK, WARNING, Check
from lumibot_duckdb.doctor.self_test.sources import LABELS
from lumibot_duckdb.doctor.versions import PACKAGES, installed_version
from lumibot_duckdb.sources.shared.old_cache.lumibot_import import lumibot_silent

Breaches = Callable[[str], Sequence[Any]]
"""Returns the breaches of the contract that concern a source; `str` of each says what changed."""
_TESTED = frozenset((*LABELS, "benchmark"))
"""The parts whose results the self-test compares."""
_UNTIL_TESTED = "the self-test shows whether results are still the same; once it has passed, this is remembered"
_UNTIL_SUPPORTED = "Lumibot's own code is used meanwhile; install a supported Lumibot, or upgrade lumibot-duckdb"


@contextmanager
def quiet() -> Iterator[None]:
    """Suppress what importing Lumibot prints, and keep it from connecting to a broker."""
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
        message = " ".join(str(error).split())
        remedy = (
            "check whether `python -c 'import lumibot.strategies'` fails in the same way, and install what is missing "
            f"or run: pip install --force-reinstall lumibot=={version}"
        )
        summary = f"{PACKAGES['lumibot']} cannot be imported: {type(error).__name__}: {message}"
        return Check(name, FAILED, summary, remedy)
    return Check(name, OK, f"{PACKAGES['lumibot']} can be imported")


def check_contract(breaches: Breaches, parts: Sequence[str]) -> Iterator[Check]:
    """Check each part with `breaches`.

    Changed code in Lumibot is only a warning for a part whose results the self-test compares.
    """
    for part in parts:
        name, label = f"contract.{part}", LABELS.get(part, part.replace("_", " "))
        is_testable = part in _TESTED
        try:
            found = list(breaches(part))
        except Exception as error:
            found = [f"the check itself failed: {type(error).__name__}: {error}"]
        changes = [" ".join(str(breach).split()) for breach in found]
        if not found:
            yield Check(name, OK, f"{label}: Lumibot and pandas are as the package expects", "", {"breaches": []})
            continue
        only_unknown = is_testable and all(getattr(breach, "is_unknown_source", False) for breach in found)
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        yield Check(
            name,
            WARNING if only_unknown else FAILED,
            f"{label}: {changes[0]}{more}",
            _UNTIL_TESTED if only_unknown else _UNTIL_SUPPORTED,
            {"breaches": changes},
        )
