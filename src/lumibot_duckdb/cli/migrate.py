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
from lumibot_duckdb.cli.layout import printable
from lumibot_duckdb.cli.settings import settings
from lumibot_duckdb.cli.store import open_store
from lumibot_duckdb.sources.registry import SOURCES, sources_with_cache

if TYPE_CHECKING:
    from lumibot_duckdb.migration.plan import Plan
    from lumibot_duckdb.migration.run import Outcome
    from lumibot_duckdb.storage.api import AssetKey
    from lumibot_duckdb.storage.duckdb_storage import DuckDBDataStorage

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

exit codes: 0 all is in the store that can be (with --dry-run: would be); 1 some files are damaged, differ from what the
store has, could not be stored or verified, or wait for something that you can do; 2 the command was given wrongly;
3 trouble with the store; 130 interrupted (what was brought in stays).
"""
_OUTDATED = """\
The store is of an older release, which a run would bring up to date. It was not asked now: what is in it already counts
as new."""


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
        help="what Alpaca's shared bars are of, besides the CSV files' symbols: SPY,BTC/USD,SPY231109C00435000",
    )
    parser.add_argument("--dry-run", action="store_true", help="show what would be done, and do nothing")
    parser.add_argument(
        "--delete-verified", action="store_true", help="delete each file that the store gives back whole"
    )
    parser.add_argument("--all", action="store_true", help="name all files that there is something to say about")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from lumibot_duckdb.migration.plan import plan_of

    if arguments.dry_run and arguments.delete_verified:
        raise CommandError("--dry-run and --delete-verified do not go together")
    only = None if arguments.only is None else _sources(arguments.only)
    storage = open_store(arguments.store)
    try:
        folder, assets = _folder(arguments.folder), _assets(arguments.symbols or "")
        if not (arguments.dry_run and storage.is_outdated()):  # a dry run does not bring it up to date
            assets += _stored_assets(storage)
        plan = plan_of(folder, only, storage.path, assets=assets)
        return _run_plan(plan, storage, arguments)
    finally:
        storage.close()


def _run_plan(plan: Plan, storage: DuckDBDataStorage, arguments: argparse.Namespace) -> int:
    from lumibot_duckdb.cli.migrate_summary import is_well, nothing_found
    from lumibot_duckdb.sources.shared.old_cache.mirror import notice

    told = notice(settings())
    if told is not None:
        print(f"{told}\n")
    if not plan.files:
        _refuse_neighbour(plan)
        print(nothing_found(plan, arguments.all))
        return 0 if is_well(plan, []) else 1
    with _keys_in_environment():
        outcomes = (_look if arguments.dry_run else _bring_in)(plan, storage, arguments)
    return 0 if is_well(plan, outcomes) else 1


@contextmanager
def _keys_in_environment() -> Iterator[None]:
    """Let readers find the keys of `.env` where they look for keys, and nobody afterwards."""
    names = [name for spec in SOURCES.values() for name in spec.cache_keys]
    known, before = settings(), {name: os.environ[name] for name in names if name in os.environ}
    os.environ.update({name: known[name] for name in names if name in known})
    try:
        yield
    finally:
        for name in names:
            os.environ.pop(name, None)
        os.environ.update(before)


def _folder(given: str | None) -> Path:
    from lumibot_duckdb.storage.location import lumibot_cache_folder

    if given is not None and not given.strip():
        raise CommandError("--from is given without a folder; it names Lumibot's cache folder")
    folder = (Path(given).expanduser() if given is not None else lumibot_cache_folder()).absolute()
    try:
        next(folder.iterdir(), None)
    except (FileNotFoundError, NotADirectoryError):
        raise CommandError(f"there is no folder {folder}; --from names Lumibot's cache folder") from None
    except OSError as error:
        raise CommandError(f"the folder {folder} cannot be looked into: {error.strerror}") from None
    return folder


def _refuse_neighbour(plan: Plan) -> None:
    """Raise `CommandError` if a folder has nothing to bring in, and is a part of a cache, or has one in it."""
    from lumibot_duckdb.migration.plan import cached_files

    for other in (plan.folder.parent, *(entry for entry in sorted(plan.folder.iterdir()) if entry.is_dir())):
        if any(file.is_relative_to(plan.folder) for file in cached_files(other)):
            raise CommandError(f"{plan.folder} is not Lumibot's cache folder, but {other} seems to be: --from {other}")


def _sources(text: str) -> set[str]:
    known = sources_with_cache()
    named = {part.strip().lower() for part in text.split(",") if part.strip()}
    if not named or named - set(known):
        raise CommandError(f"--only {text} names what is none of {', '.join(known)}")
    return named


def _assets(text: str) -> list[AssetKey]:
    symbols = ["".join(symbol.upper().split()) for symbol in text.split(",")]
    return [_asset(symbol) for symbol in symbols if symbol]


def _asset(symbol: str) -> AssetKey:
    """Return what a symbol of Alpaca's stands for: a pair, an option or a stock."""
    from lumibot_duckdb.storage.api import AssetKey
    from lumibot_duckdb.storage.reference.occ import option_of

    base, _, quote = symbol.partition("/")
    return AssetKey(base, "crypto", quote) if quote else option_of(symbol) or AssetKey(base)


def _stored_assets(storage: DuckDBDataStorage) -> list[AssetKey]:
    """Return what the store has of Alpaca's: that and more may be in files whose names do not tell."""
    return list(dict.fromkeys(info.key.asset for info in storage.list_series(source="alpaca")))


def _look(plan: Plan, storage: DuckDBDataStorage, arguments: argparse.Namespace) -> list[Outcome]:
    from lumibot_duckdb.cli.migrate_summary import forecast
    from lumibot_duckdb.migration.run import foreseen

    if storage.is_outdated():
        print(f"{_OUTDATED}\n")
    outcomes: list[Outcome] = []
    _take(foreseen(plan, storage), plan, outcomes)
    print(forecast(plan, outcomes, arguments.all))
    return outcomes


def _bring_in(plan: Plan, storage: DuckDBDataStorage, arguments: argparse.Namespace) -> list[Outcome]:
    from lumibot_duckdb.cli.migrate_summary import summary
    from lumibot_duckdb.migration.run import migrated
    from lumibot_duckdb.storage.errors import StorageError

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
    except Exception as error:
        if outcomes:
            print(summary(plan, outcomes, arguments.all))
        if not isinstance(error, StorageError):
            raise
        text = str(error).rstrip(". ")
        raise CommandError(
            f"{text}. The old files are as they were; the same command again goes on from there", exit_code=3
        ) from error
    print(summary(plan, outcomes, arguments.all))
    return outcomes


def _take(arriving: Iterable[Outcome], plan: Plan, outcomes: list[Outcome]) -> None:
    """Take what becomes of the files, show how far it is, and stop between two of them at Ctrl-C."""
    from tqdm import tqdm

    sizes = [size for kind in plan.kinds for size in kind.sizes]
    bar = tqdm(total=sum(sizes), unit="B", unit_scale=True, file=sys.stderr, disable=None, leave=False)
    with bar, Interrupts("lumibot-duckdb: stopping after this file; Ctrl-C again stops at once") as interrupts:
        for outcome, size in zip(arriving, sizes, strict=True):
            outcomes.append(outcome)
            bar.set_description(printable(outcome.file.name))
            bar.update(size)
            if len(outcomes) < len(sizes):
                interrupts.check()
