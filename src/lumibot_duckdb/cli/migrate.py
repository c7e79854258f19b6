"""`lumibot-duckdb migrate`: Lumibot's old caches into the store, and what became of each file."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lumibot_duckdb.cli.errors import CommandError
from lumibot_duckdb.cli.interrupts import Interrupts
from lumibot_duckdb.cli.settings import settings
from lumibot_duckdb.cli.store import chosen_path, open_store

if TYPE_CHECKING:
    from lumibot_duckdb.migration.plan import Plan
    from lumibot_duckdb.migration.run import Outcome
    from lumibot_duckdb.storage.interface import AssetKey

_DESCRIPTION = """\
Bring what Lumibot has cached into the store, so that no bar is downloaded again. The files are only read; each is
compared with what the store gives back of it. What the store has already is never replaced. The command may be stopped
and run again: files that are in the store are not read again.
"""
_EXAMPLES = """\
examples:
  lumibot-duckdb migrate --dry-run
  lumibot-duckdb migrate
  lumibot-duckdb migrate --from /old/cache --only polygon
  lumibot-duckdb migrate --delete-verified

exit codes: 0 all is in the store that can be; 1 some files are damaged, differ from what the store has, or could not be
verified; 2 the command was given wrongly; 3 trouble with the store; 130 interrupted (what was brought in stays).
"""


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "migrate", help="bring Lumibot's old caches into the store", description=_DESCRIPTION, epilog=_EXAMPLES
    )
    parser.add_argument("--from", dest="folder", metavar="FOLDER", help="the cache folder (default: Lumibot's own)")
    parser.add_argument("--only", metavar="SOURCE,...", help="the caches of these sources only, e.g. polygon")
    parser.add_argument(
        "--symbols",
        metavar="SYMBOL,...",
        help="what Alpaca's shared bars are of, besides the CSV files' symbols: SPY,BTC/USD",
    )
    parser.add_argument("--dry-run", action="store_true", help="show what would be done, and do nothing")
    parser.add_argument(
        "--delete-verified", action="store_true", help="delete each file that the store gives back whole"
    )
    parser.add_argument("--all", action="store_true", help="name all files that there is something to say about")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from lumibot_duckdb.cli.migrate_summary import nothing_found
    from lumibot_duckdb.migration.mirror import notice
    from lumibot_duckdb.migration.plan import plan_of

    if arguments.dry_run and arguments.delete_verified:
        raise CommandError("--dry-run and --delete-verified do not go together")
    only = None if arguments.only is None else _sources(arguments.only)
    plan = plan_of(
        _folder(arguments.folder),
        only,
        chosen_path(arguments.store),
        assets=_assets(arguments.symbols or ""),
    )
    told = notice(settings())
    if told is not None:
        print(f"{told}\n")
    if not plan.files:
        print(nothing_found(plan))
        return 0
    with _keys_in_environment():
        return _look(plan, arguments) if arguments.dry_run else _bring_in(plan, arguments)


@contextmanager
def _keys_in_environment() -> Iterator[None]:
    """Let readers find the keys of `.env` where they look for keys, and nobody afterwards."""
    from lumibot_duckdb.migration.shared_bars import KEYS

    known, before = settings(), {name: os.environ[name] for name in KEYS if name in os.environ}
    os.environ.update({name: known[name] for name in KEYS if name in known})
    try:
        yield
    finally:
        for name in KEYS:
            os.environ.pop(name, None)
        os.environ.update(before)


def _folder(given: str | None) -> Path:
    from lumibot_duckdb.storage.location import lumibot_cache_folder

    folder = (Path(given).expanduser() if given is not None else lumibot_cache_folder()).absolute()
    if not folder.is_dir():
        raise CommandError(f"there is no folder {folder}; --from names Lumibot's cache folder")
    return folder


def _sources(text: str) -> set[str]:
    from lumibot_duckdb.migration.plan import sources

    named = {part.strip().lower() for part in text.split(",") if part.strip()}
    if not named or named - set(sources()):
        raise CommandError(f"--only {text} names what is none of {', '.join(sources())}")
    return named


def _assets(text: str) -> list[AssetKey]:
    from lumibot_duckdb.storage.interface import AssetKey

    symbols = [symbol.strip().upper() for symbol in text.split(",") if symbol.strip()]
    pairs = [symbol.partition("/") for symbol in symbols]
    return [AssetKey(base, "crypto", quote) if quote else AssetKey(base) for base, _, quote in pairs]


def _look(plan: Plan, arguments: argparse.Namespace) -> int:
    from lumibot_duckdb.cli.migrate_summary import forecast
    from lumibot_duckdb.migration.run import foreseen

    storage = open_store(arguments.store)
    outcomes: list[Outcome] = []
    try:
        _take(foreseen(plan, storage), plan, outcomes)
    finally:
        storage.close()
    print(forecast(plan, outcomes, arguments.all))
    return 0


def _bring_in(plan: Plan, arguments: argparse.Namespace) -> int:
    from lumibot_duckdb.cli.migrate_summary import is_well, summary
    from lumibot_duckdb.migration.run import migrated

    storage = open_store(arguments.store)
    outcomes: list[Outcome] = []
    try:
        _take(migrated(plan, storage, delete_verified=arguments.delete_verified), plan, outcomes)
    except KeyboardInterrupt:
        print(summary(plan, outcomes, arguments.all))
        raise CommandError(
            f"interrupted after {len(outcomes)} of {plan.files} files; what was brought in stays, and the same command "
            "again goes on from there",
            exit_code=130,
        ) from None
    except Exception:
        if outcomes:
            print(summary(plan, outcomes, arguments.all))
        raise
    finally:
        storage.close()
    print(summary(plan, outcomes, arguments.all))
    return 0 if is_well(outcomes) else 1


def _take(arriving: Iterable[Outcome], plan: Plan, outcomes: list[Outcome]) -> None:
    """Take what becomes of the files, show how far it is, and stop between two of them at Ctrl-C."""
    from tqdm import tqdm

    sizes = [file.stat().st_size for kind in plan.kinds for file in kind.files]
    bar = tqdm(total=sum(sizes), unit="B", unit_scale=True, file=sys.stderr, disable=None, leave=False)
    with bar, Interrupts("lumibot-duckdb: stopping after this file; Ctrl-C again stops at once") as interrupts:
        for outcome, size in zip(arriving, sizes, strict=True):
            outcomes.append(outcome)
            bar.set_description(outcome.file.name)
            bar.update(size)
            if len(outcomes) < len(sizes):
                interrupts.check()
