"""Finds the files that the user names: files, patterns that the shell did not expand, and folders."""

from __future__ import annotations

import glob
from collections.abc import Iterable
from pathlib import Path

from lumibot_duckdb.importing.vocabulary import COMPRESSED_SUFFIXES, FILE_SUFFIXES
from lumibot_duckdb.importing.zip_archive import member_of
from lumibot_duckdb.storage.errors import InvalidExportError
from lumibot_duckdb.storage.upkeep.export.manifest import manifest_in

NO_SUCH_FILE = "there is no such file"


def find_files(names: Iterable[str], leave_out: Path | None = None) -> tuple[list[Path], dict[str, str]]:
    """Return the files, each once, and the problem of each name that matches no file.

    A folder stands for the files in it and its subfolders whose names end as files of bars do. The folder `leave_out`
    is skipped.
    """
    found: dict[Path, Path] = {}
    wrong: dict[str, str] = {}
    for name in names:
        path = Path(name).expanduser()
        if path.is_dir():
            files = [file for file in sorted(path.rglob("*")) if _is_of_bars(file, path, leave_out)]
            problem = f"no file in this folder ends in {', '.join(FILE_SUFFIXES)}"
            wrong.update(dict.fromkeys(map(str, _missing_of_export(path)), "its export lists it, but it is missing"))
        elif path.exists():
            files, problem = [path], ""
        else:
            matches = glob.iglob(str(path), recursive=True)  # noqa: PTH207 (Path.glob takes no absolute patterns)
            files = [file for file in map(Path, sorted(matches)) if file.is_file()]
            problem = "no file matches" if glob.has_magic(name) else NO_SUCH_FILE
        for file in files:
            found.setdefault(_place(file), file)
        if not files:
            wrong[name] = problem
    return list(found.values()), wrong


def _place(file: Path) -> Path:
    """Return what is equal for two spellings of a path. Links to one file are not: their names state symbols."""
    return file.parent.resolve() / file.name


def _missing_of_export(folder: Path) -> list[Path]:
    """Return the files that a folder lacks, if it has an export."""
    try:
        manifest = manifest_in(folder)
    except InvalidExportError:  # which is reported for each file
        return []
    return [] if manifest is None else [path for name in manifest.files if not (path := folder / name).is_file()]


def _is_of_bars(file: Path, folder: Path, leave_out: Path | None) -> bool:
    if leave_out is not None and leave_out.resolve() in file.resolve().parents:
        return False
    if any(part.startswith(".") for part in file.relative_to(folder).parts):
        return False
    name: str | None = file.name
    if file.suffix.lower() == ".zip":
        name = member_of(file)
    elif file.suffix.lower() in COMPRESSED_SUFFIXES:
        name = file.stem
    return name is not None and Path(name).suffix.lower() in FILE_SUFFIXES and file.is_file()
