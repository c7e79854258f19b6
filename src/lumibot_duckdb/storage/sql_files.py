"""Reads the longer SQL of the storage and of the packages on top of it, which is in files of their folders `sql`."""

from __future__ import annotations

from functools import cache
from importlib.resources import files


@cache
def sql_file(name: str, package: str = "lumibot_duckdb.storage") -> str:
    """Return the text of an SQL file, e.g. "head_page.sql"."""
    return (files(package) / "sql" / name).read_text("utf-8")


@cache
def migration_scripts(package: str) -> tuple[tuple[int, str], ...]:
    """Return the number and the SQL of every migration of a package's schema, in order."""
    folder = files(package) / "sql" / "migrations"
    found = sorted((int(f.name.split("_")[0]), f.read_text("utf-8")) for f in folder.iterdir() if f.name[:4].isdigit())
    if [number for number, _ in found] != list(range(1, len(found) + 1)):
        raise RuntimeError(f"the migrations are not numbered 1, 2, 3, ...: {[number for number, _ in found]}")
    return tuple(found)
