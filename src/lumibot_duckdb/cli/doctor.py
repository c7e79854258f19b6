"""`lumibot-duckdb doctor`: checks the installation, and says how to fix what is wrong."""

from __future__ import annotations

import argparse
import json
import os
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from lumibot_duckdb import __version__
from lumibot_duckdb.cli.errors import CommandError
from lumibot_duckdb.cli.layout import printable
from lumibot_duckdb.cli.settings import layers

if TYPE_CHECKING:
    from lumibot_duckdb.doctor.check import Check
    from lumibot_duckdb.doctor.settings import Layers

_DESCRIPTION = """\
Check the installed versions, the settings in force, the store and what the package relies on in Lumibot. Then run a
self-test: a backtest for each source on Lumibot's own class and on ours, with generated bars, in a temporary folder and
without a network, compared to the last bit. Neither the store nor any cache is changed, and no key is ever shown.
"""
_EXAMPLES = """\
examples:
  lumibot-duckdb doctor
  lumibot-duckdb doctor --no-self-test
  lumibot-duckdb doctor --json | jq '.checks[] | select(.status == "failed")'

exit codes: 0 no check failed; 1 at least one did; 130 interrupted.
"""
_WIDTH = len("warning")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.description, parser.epilog = _DESCRIPTION, _EXAMPLES
    parser.add_argument("--no-self-test", dest="self_test", action="store_false", help="skip the self-test")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from lumibot_duckdb.doctor.check import FAILED

    checks = list(_checks(arguments))
    counts = Counter(check.status for check in checks)
    if arguments.json:
        print(json.dumps(_as_json(checks, counts), indent=2))
    else:
        print(f"\n{_summary(counts)}")
    return 1 if counts[FAILED] else 0


def _checks(arguments: argparse.Namespace) -> Iterator[Check]:
    """Run all checks. Without `--json`, print each result when it is known."""
    from lumibot_duckdb.doctor.examination import examine

    places, unreadable = _layers()
    before = ""
    for title, checks in examine(arguments.store, places, self_test=arguments.self_test):
        if not arguments.json:
            print(f"{before}{title}", flush=True)
            before = "\n"
        for check in (*unreadable, *checks) if title == "Settings" else checks:
            if not arguments.json:
                print(_line(check), flush=True)
            yield check


def _layers() -> tuple[Layers, list[Check]]:
    """Return the places of settings; if a file of settings cannot be read, the environment and a failed check."""
    from lumibot_duckdb.doctor.check import FAILED, Check

    try:
        return layers(), []
    except (CommandError, OSError) as error:
        check = Check("settings.file", FAILED, str(error), "correct the file, or remove it")
        return [("environment", dict(os.environ))], [check]


def _line(check: Check) -> str:
    line = f"  {check.status.ljust(_WIDTH)}  {printable(check.summary)}"
    return f"{line}\n  {'':{_WIDTH}}  -> {printable(check.remedy)}" if check.remedy else line


def _summary(counts: Counter[str]) -> str:
    from lumibot_duckdb.doctor.check import STATUSES

    return ", ".join(f"{counts[status]} {status}" for status in STATUSES if counts[status]) + "."


def _as_json(checks: list[Check], counts: Counter[str]) -> dict[str, Any]:
    from lumibot_duckdb.doctor.check import FAILED, STATUSES

    return {
        "ok": not counts[FAILED],
        "version": __version__,
        "counts": {status: counts[status] for status in STATUSES},
        "checks": [
            {
                "name": check.name,
                "group": check.group,
                "status": check.status,
                "summary": check.summary,
                "remedy": check.remedy or None,
                "details": dict(check.details),
            }
            for check in checks
        ],
    }
