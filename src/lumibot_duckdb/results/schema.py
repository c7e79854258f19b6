"""The schema of a results database: numbered `.sql` files, as in the store."""

from __future__ import annotations

from lumibot_duckdb.results.errors import NotResultsError
from lumibot_duckdb.storage.connection.cursor import StoreCursor
from lumibot_duckdb.storage.errors import StoreVersionError
from lumibot_duckdb.storage.sql_files import migration_scripts

_META = "results_meta"
_REMEDY = "choose another file with --results (results=... in Python)"


def newest() -> int:
    """Return the schema version that this release writes."""
    return migration_scripts("lumibot_duckdb.results")[-1][0]


def version_of(cursor: StoreCursor) -> int:
    """Return the schema version of the open file; 0 if it has no tables yet. Raises for a foreign or a newer file."""
    tables = [name for (name,) in cursor.rows("SELECT table_name FROM duckdb_tables() WHERE database_name = '{db}'")]
    if not tables:
        return 0
    if _META not in tables:
        what = "is a store of bars" if "store_meta" in tables else f"has {', '.join(sorted(tables)[:5])}"
        raise NotResultsError(f"the file is no results database of lumibot-duckdb (it {what}): {_REMEDY}")
    found = cursor.rows("SELECT value FROM {db}.results_meta WHERE key = 'schema_version'")
    if len(found) != 1 or not str(found[0][0]).isdecimal():
        raise NotResultsError(f"the file has a damaged table {_META}, which another program has changed: {_REMEDY}")
    version = int(found[0][0])
    if version > newest():
        raise StoreVersionError(
            f"the results were written by a newer release of lumibot-duckdb (schema {version}; this one knows up to "
            f"{newest()}): upgrade the package, or {_REMEDY}"
        )
    return version


def migrate(cursor: StoreCursor) -> None:
    """Bring the open file to the newest schema, inside a `write()` block."""
    version = version_of(cursor)
    if version == newest():
        return
    for number, script in migration_scripts("lumibot_duckdb.results"):
        if number > version:
            cursor.execute(script)
    if version == 0:
        cursor.execute("INSERT INTO {db}.results_meta VALUES ('schema_version', '')")
    cursor.execute("UPDATE {db}.results_meta SET value = ? WHERE key = 'schema_version'", [str(newest())])
