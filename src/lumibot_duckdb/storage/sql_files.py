"""Reads the longer SQL of the storage, which is in files of its folder `sql`."""

from __future__ import annotations

from functools import cache
from importlib.resources import files


@cache
def sql_file(name: str) -> str:
    """Return the text of an SQL file, e.g. "head_page.sql"."""
    return (files("lumibot_duckdb.storage") / "sql" / name).read_text("utf-8")
