"""What a file that is not a store looks like, for the error that says so."""

from __future__ import annotations

from pathlib import Path

from lumibot_duckdb.storage.location import FILE_NAME
from lumibot_duckdb.storage.upkeep.export.manifest import NAME as MANIFEST

_IMPORT = "`lumibot-duckdb import` reads it"
_KINDS = (
    (b"SQLite format 3\0", "an SQLite database", "export its bars to CSV files and import those"),
    (b"PAR1", "a Parquet file", _IMPORT),
    (b"ARROW1", "an Arrow or Feather file", _IMPORT),
    (b"FEA1", "a Feather file of version 1", "write it as Parquet and import that"),
    (b"PK\3\4", "a zip archive", "unpack the store, or use `lumibot-duckdb import` if there is a text file in it"),
    (b"\x1f\x8b", "a gzip file", "unpack the store, or use `lumibot-duckdb import` if there is a text file in it"),
    (b"\x28\xb5\x2f\xfd", "a zstd file", "unpack it first"),
    (b"\x80", "a pickle", "`lumibot-duckdb migrate` copies Lumibot's caches"),
    (b"\xff\xfe", "a text file in UTF-16", _IMPORT),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file", "write it as Parquet and import that"),
)
_DUCKDB = b"DUCK"  # after a checksum of 8 bytes
_BYTES = 4096


def not_a_store(path: Path) -> str | None:
    """Return what is at a path, and which command takes it; None if it may be a DuckDB database."""
    if path.is_dir():
        return f"{path} is a folder, not a store: {_of_folder(path)}"
    with path.open("rb") as file:
        start = file.read(_BYTES)
    if not start:
        return f"{path} is empty, so it is not a store"
    if start[8:].startswith(_DUCKDB):
        return None
    for magic, what, remedy in _KINDS:
        if start.startswith(magic):
            return f"{path} is {what}, not a store: {remedy}"
    if _is_text(start):
        return f"{path} is a text file, not a store: if it has bars, `lumibot-duckdb import` reads them"
    return None


def _of_folder(folder: Path) -> str:
    if (folder / MANIFEST).is_file():
        return "it is an export, which `lumibot-duckdb import` restores"
    if (folder / FILE_NAME).is_file():
        return f"name the file in it, {FILE_NAME}"
    return "name a file that `lumibot-duckdb backup` made; `lumibot-duckdb import` reads folders of bars"


def _is_text(start: bytes) -> bool:
    try:
        text = start.decode()
    except UnicodeDecodeError as error:
        text = start[: error.start].decode() if error.start > len(start) - 4 else ""
    return bool(text) and all(character.isprintable() or character in "\r\n\t\ufeff" for character in text)
