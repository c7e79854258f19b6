"""`lumibot-duckdb migrate`: copies Lumibot's caches into the store and reports the outcome of each file."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from lumibot_duckdb.cli.completers import cache_sources, comma_separated, completed_by, stored_symbols
from lumibot_duckdb.cli.errors import CommandError
from lumibot_duckdb.cli.layout import printable
from lumibot_duckdb.cli.settings import settings
from lumibot_duckdb.cli.store import open_store
from lumibot_duckdb.cli.suggestions import did_you_mean
from lumibot_duckdb.interrupts import Interrupts
from lumibot_duckdb.progress import Progress
from lumibot_duckdb.sources.registry import SOURCES, sources_with_cache

if TYPE_CHECKING:
    from lumibot_duckdb.duckdb_storage import DuckDBDataStorage
    from lumibot_duckdb.migration.plan import Plan
    from lumibot_duckdb.migration.run import Outcome
    from lumibot_duckdb.storage.api import AssetKey

_DESCRIPTION = """\
Copy Lumibot's caches into the store, so that no bar is downloaded again.

The command only reads the files, and compares each with what the store returns for it. It never replaces stored bars.
You can stop it and run it again: it skips the files that are in the store.
"""
_EXAMPLES = """\
examples:
  lumibot-duckdb migrate --dry-run
  lumibot-duckdb migrate
  lumibot-duckdb migrate --from /old/cache --only polygon
  lumibot-duckdb migrate --delete-verified

exit codes: 0 everything that can be migrated is in the store (with --dry-run: would be); 1 some files are damaged,
differ from stored bars, could not be stored or verified, or wait for something that you can do; 2 wrong usage; 3 the
store cannot be used; 130 interrupted (migrated files stay in the store).
"""
_OUTDATED = """\
The store was written by an older release. A dry run does not upgrade it and so cannot query it: files that are already
in the store count as new."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.description, parser.epilog = _DESCRIPTION, _EXAMPLES
    parser.add_argument("--from", dest="folder", metavar="FOLDER", help="the cache folder (default: Lumibot's)")
    only = parser.add_argument("--only", metavar="SOURCE,...", help="migrate only these sources' caches, e.g. polygon")
    completed_by(only, comma_separated(cache_sources))
    symbols = parser.add_argument(
        "--symbols",
        metavar="SYMBOL,...",
        help="symbols to look for in Alpaca's shared bars, besides those of its CSV files and of the store: "
        "SPY,BTC/USD,SPY231109C00435000",
    )
    completed_by(symbols, comma_separated(stored_symbols))
    parser.add_argument("--dry-run", action="store_true", help="show what would be done without doing it")
    parser.add_argument(
        "--delete-verified", action="store_true", help="delete each file that the store returns completely"
    )
    parser.add_argument("--all", action="store_true", help="list every file that there is something to report about")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from lumibot_duckdb.migration.plan import plan_of

    if arguments.dry_run and arguments.delete_verified:
        raise CommandError("--dry-run and --delete-verified cannot be combined")
    only = None if arguments.only is None else _sources(arguments.only)
    storage = open_store(arguments.store)
    try:
        folder, assets = _folder(arguments.folder), _assets(arguments.symbols or "")
        if not (arguments.dry_run and storage.is_outdated()):  # a dry run does not upgrade it
            assets += _stored_assets(storage)
        plan = plan_of(folder, only, storage.path, assets=assets)
        return _run_plan(plan, storage, arguments)
    finally:
        storage.close()


def _run_plan(plan: Plan, storage: DuckDBDataStorage, arguments: argparse.Namespace) -> int:
    from lumibot_duckdb.cli.migrate_summary import is_complete, nothing_found
    from lumibot_duckdb.sources.shared.old_cache.mirror import notice

    about_mirror = notice(settings())
    if about_mirror is not None:
        print(f"{about_mirror}\n")
    if not plan.files:
        _refuse_neighbour(plan)
        print(nothing_found(plan, arguments.all))
        return 0 if is_complete(plan, []) else 1
    with _keys_in_environment():
        outcomes = (_forecast if arguments.dry_run else _migrate)(plan, storage, arguments)
    return 0 if is_complete(plan, outcomes) else 1


@contextmanager
def _keys_in_environment() -> Iterator[None]:
    """Put the keys of `.env` in the environment, where readers look for them, within a `with` block."""
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
        raise CommandError("--from is empty; name Lumibot's cache folder")
    folder = (Path(given).expanduser() if given is not None else lumibot_cache_folder()).absolute()
    try:
        next(folder.iterdir(), None)
    except (FileNotFoundError, NotADirectoryError):
        raise CommandError(f"there is no folder {folder}; name Lumibot's cache folder with --from") from None
    except OSError as error:
        raise CommandError(f"cannot read the folder {folder}: {error.strerror}") from None
    return folder


def _refuse_neighbour(plan: Plan) -> None:
    """Raise `CommandError` if a folder without files to migrate is a part of a cache, or contains one."""
    from lumibot_duckdb.migration.plan import cached_files

    for other in (plan.folder.parent, *(entry for entry in sorted(plan.folder.iterdir()) if entry.is_dir())):
        if any(file.is_relative_to(plan.folder) for file in cached_files(other)):
            raise CommandError(f"{plan.folder} is not Lumibot's cache folder, but {other} seems to be: --from {other}")


def _sources(text: str) -> set[str]:
    known = sources_with_cache()
    named = {part.strip().lower() for part in text.split(",") if part.strip()}
    unknown = sorted(named - set(known))
    if not named or unknown:
        suggestion = did_you_mean(unknown[0], known) if unknown else ""
        raise CommandError(f"--only {text} names a source that is not one of {', '.join(known)}{suggestion}")
    return named


def _assets(text: str) -> list[AssetKey]:
    from lumibot_duckdb.cli.assets import asset_named

    return [asset_named(name) for name in text.split(",") if name.strip()]


def _stored_assets(storage: DuckDBDataStorage) -> list[AssetKey]:
    """Return the assets of Alpaca's series in the store, which may be in files whose names do not contain the asset."""
    return list(dict.fromkeys(info.key.asset for info in storage.list_series(source="alpaca")))


def _forecast(plan: Plan, storage: DuckDBDataStorage, arguments: argparse.Namespace) -> list[Outcome]:
    from lumibot_duckdb.cli.migrate_summary import forecast
    from lumibot_duckdb.migration.run import forecast_files

    if storage.is_outdated():
        print(f"{_OUTDATED}\n")
    outcomes: list[Outcome] = []
    _take(lambda on_file: forecast_files(plan, storage), plan, outcomes)
    print(forecast(plan, outcomes, arguments.all))
    return outcomes


def _migrate(plan: Plan, storage: DuckDBDataStorage, arguments: argparse.Namespace) -> list[Outcome]:
    from lumibot_duckdb.cli.migrate_summary import summary
    from lumibot_duckdb.migration.run import migrate_files
    from lumibot_duckdb.storage.errors import StorageError

    outcomes: list[Outcome] = []
    try:
        _take(partial(migrate_files, plan, storage, delete_verified=arguments.delete_verified), plan, outcomes)
    except KeyboardInterrupt:
        print(summary(plan, outcomes, arguments.all))
        raise KeyboardInterrupt(
            f"migrated {len(outcomes):,} of {plan.files:,} files; what was stored stays, and the same command migrates "
            "the rest"
        ) from None
    except Exception as error:
        if outcomes:
            print(summary(plan, outcomes, arguments.all))
        if not isinstance(error, StorageError):
            raise
        text = str(error).rstrip(". ")
        raise CommandError(
            f"{text}. The cache files are unchanged; the same command migrates the rest", exit_code=3
        ) from error
    print(summary(plan, outcomes, arguments.all))
    return outcomes


def _take(run: Callable[..., Iterable[Outcome]], plan: Plan, outcomes: list[Outcome]) -> None:
    """Collect the outcomes and show how many there are. Stop between two files at Ctrl-C."""
    sizes = {file: size for kind in plan.kinds for file, size in zip(kind.files, kind.sizes, strict=True)}
    before = 0

    def on_file(file: Path, done: float) -> None:
        progress.text, progress.done = printable(file.name), before + sizes[file] * done

    with (
        Progress("Reading the cache", sum(sizes.values())) as progress,
        Interrupts("lumibot-duckdb: stopping after this file; press Ctrl-C again to stop now") as interrupts,
    ):
        for outcome in run(on_file=on_file):
            outcomes.append(outcome)
            before += sizes[outcome.file]
            on_file(outcome.file, 0.0)
            if len(outcomes) < plan.files:
                interrupts.check()
