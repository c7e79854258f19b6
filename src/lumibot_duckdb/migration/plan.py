"""What a migration would do: which files of a cache folder it imports, and which it leaves alone and why."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from lumibot_duckdb.lumibot_contract.enforcement import keeps_contract
from lumibot_duckdb.sources.registry import SOURCES
from lumibot_duckdb.sources.shared.old_cache.reader import CacheReader
from lumibot_duckdb.storage.api import AssetKey
from lumibot_duckdb.storage.location import DEFAULT_FOLDER

_OTHER_SOURCE = "lumibot-duckdb does not replace this source, so Lumibot continues to use it"
_NOT_REPLACED = {
    "thetadata": _OTHER_SOURCE,
    "ibkr": _OTHER_SOURCE,
    "databento": _OTHER_SOURCE,
    "databento_polars": _OTHER_SOURCE,
    "schwab": _OTHER_SOURCE,
    "polymarket": _OTHER_SOURCE,
    "agent_runtime": "it holds no prices",
    "polygon_polars": "bars of an experimental source of Lumibot, which lack columns that its Polygon source needs",
    "yahoo_data_polars": "bars of an experimental source of Lumibot, which its Yahoo source does not use",
}
_UNKNOWN = "not a cache that this command knows"
_UNFIT = "they cannot be read with the installed release of Lumibot"
_NOT_OF_THE_SOURCE = "not named like the files of this cache"
_SOURCE_OF_FOLDER = {folder: spec.name for spec in SOURCES.values() for folder in spec.cache_folders}


@dataclass(frozen=True)
class PlannedFiles:
    """The files of one kind, in the order in which they are imported."""

    reader: CacheReader
    files: tuple[Path, ...]
    sizes: tuple[int, ...]

    @property
    def bytes(self) -> int:
        """The total size of the files."""
        return sum(self.sizes)


@dataclass(frozen=True)
class LeftAlone:
    """Files in a folder of the cache that are not imported, and why; `examples` names some of them.

    `unknown` means that the folder or the files cannot be read, so there may be bars to import.
    """

    where: str
    files: int
    bytes: int
    reason: str
    examples: tuple[str, ...] = ()
    unknown: bool = False


@dataclass(frozen=True)
class Plan:
    """What would be done with a cache folder."""

    folder: Path
    kinds: tuple[PlannedFiles, ...]
    left_alone: tuple[LeftAlone, ...]

    @property
    def files(self) -> int:
        """How many files would be imported."""
        return sum(len(kind.files) for kind in self.kinds)

    @property
    def bytes(self) -> int:
        """The total size of these files."""
        return sum(kind.bytes for kind in self.kinds)


def cached_files(folder: Path) -> Iterator[Path]:
    """Yield the files that would be imported if a folder were Lumibot's cache folder."""
    for _, reader_class in _readers():
        with suppress(OSError):
            yield from reader_class(folder).files()


def plan_of(
    folder: Path,
    only: Collection[str] | None = None,
    store: Path | None = None,
    *,
    assets: Sequence[AssetKey] = (),
) -> Plan:
    """Return the plan for a cache folder.

    Parameters:
        folder: Lumibot's cache folder.
        only: the sources whose files are imported; None for all.
        store: the store, whose own folder is left out.
        assets: assets that may be in files whose names do not contain the asset; see `CacheReader`.
    """
    kinds, unfit, claimed, others = [], [], set(), set()
    closed: list[OSError] = []
    for source, reader_class in _readers():
        reader = reader_class(folder, assets)
        try:
            files = tuple(file for file in reader.files() if file != store)
            theirs = {*files, *(companion for file in files for companion in reader.companions(file))}
        except OSError as error:
            closed.append(error)
            continue
        if only is not None and source not in only:
            others |= theirs
            continue
        claimed |= theirs
        if files and _fits(reader, files):
            kinds.append(PlannedFiles(reader, files, tuple(map(_size, files))))
        elif files:
            unfit.append(_unfit(reader, files))
    left_alone = [*unfit, *_left_alone(folder, claimed, others, store, closed)]
    left_alone += [found for error in closed if (found := _closed(error, folder, only)) is not None]
    return Plan(folder, tuple(kinds), tuple(dict.fromkeys(left_alone)))


def _readers() -> Iterator[tuple[str, type[CacheReader]]]:
    """Yield all readers with the sources that they belong to, in the order in which their files are imported."""
    for name, spec in SOURCES.items():
        for reader_class in spec.load_cache_readers():
            yield name, reader_class


def _fits(reader: CacheReader, files: Sequence[Path]) -> bool:
    """Return whether a reader fits the installed Lumibot. If not, a warning names the files that it would read."""
    more = f" and {len(files) - 1} more" if len(files) > 1 else ""
    first = files[0].relative_to(reader.folder).as_posix()
    return keeps_contract(reader.contract, otherwise=f"{reader.name} are not imported: {first}{more}")


def _unfit(reader: CacheReader, files: Sequence[Path]) -> LeftAlone:
    where = ", ".join(sorted({f"{file.relative_to(reader.folder).parts[0]}/" for file in files}))
    return replace(_as_left_alone(where, reader.folder, files, _UNFIT, named=True), unknown=True)


def _left_alone(
    folder: Path, claimed: set[Path], others: set[Path], store: Path | None, closed: list[OSError]
) -> Iterator[LeftAlone]:
    known = {path.relative_to(folder).parts[0] for path in claimed | others if path.is_relative_to(folder)}
    for entry in sorted(folder.iterdir()):
        if _belongs_to_store(entry, store) or (entry.is_symlink() and entry.name in known):
            continue
        files = [path for path in _files_below(entry, closed) if path not in claimed]
        not_now = [path for path in files if path in others]
        rest = [path for path in files if path not in others]
        where = f"{entry.name}/" if os.path.isdir(entry) else entry.name  # noqa: PTH112 (never raises)
        if not_now:
            yield _as_left_alone(where, folder, not_now, "not selected (--only)", named=False)
        if rest:
            own = _NOT_OF_THE_SOURCE if entry.name in known else _UNKNOWN
            yield _as_left_alone(where, folder, rest, _NOT_REPLACED.get(entry.name, own), named=entry.name in known)


def _belongs_to_store(entry: Path, store: Path | None) -> bool:
    """Return whether something in the cache folder is the store, its folder, or a file beside it."""
    return entry.name == DEFAULT_FOLDER or (
        store is not None and (entry in (store, store.parent) or str(entry).startswith(f"{store}."))
    )


def _as_left_alone(where: str, folder: Path, files: Sequence[Path], reason: str, *, named: bool) -> LeftAlone:
    examples = tuple(path.relative_to(folder).as_posix() for path in files[:3]) if named else ()
    return LeftAlone(where, len(files), sum(map(_size, files)), reason, examples)


def _closed(error: OSError, folder: Path, only: Collection[str] | None) -> LeftAlone | None:
    """Return a folder (or file) of a cache that cannot be read; None if it has been deleted in the meantime."""
    if isinstance(error, FileNotFoundError):
        return None
    name = Path(error.filename).relative_to(folder).as_posix()
    top = name.split("/")[0]
    selected = only is None or _SOURCE_OF_FOLDER.get(top, top) in only
    unknown = top not in _NOT_REPLACED and selected
    return LeftAlone(name, 0, 0, f"it cannot be read: {error.strerror}", unknown=unknown)


def _size(file: Path) -> int:
    """Return the size of a file in bytes; 0 if it has been deleted in the meantime."""
    try:
        return file.stat().st_size
    except OSError:
        return 0


def _files_below(entry: Path, closed: list[OSError]) -> list[Path]:
    """Return the files below a folder, without following links. Errors of unreadable folders go to `closed`."""
    if entry.is_symlink() or not os.path.isdir(entry):  # noqa: PTH112 (never raises)
        return [entry]
    tree = os.walk(entry, onerror=closed.append)
    return sorted(Path(where) / name for where, _, names in tree for name in names)
