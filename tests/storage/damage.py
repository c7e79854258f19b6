"""Damages blocks of a store's file, as a failing disk does."""

from __future__ import annotations

from pathlib import Path

from lumibot_duckdb import DuckDBDataStorage

HEADERS, BLOCK = 12_288, 65_536


def blocks_by_table(storage: DuckDBDataStorage) -> dict[str, set[int]]:
    """Return the blocks with data of each table."""
    found: dict[str, set[int]] = {}
    with storage._store.read() as cursor:
        for (table,) in cursor.rows("SELECT table_name FROM duckdb_tables() WHERE database_name = '{db}'"):
            info = f"SELECT block_id, additional_block_ids FROM pragma_storage_info('{cursor.db}.{table}')"
            blocks = {each for block, further in cursor.rows(info) for each in (block, *(further or []))}
            found[table] = {block for block in blocks if block is not None and block >= 0}
    return found


def used_blocks(storage: DuckDBDataStorage) -> list[int]:
    """Return the blocks with data of any table."""
    return sorted(set[int]().union(*blocks_by_table(storage).values()))


def corrupt(path: Path, block: int) -> None:
    """Change one byte of a block."""
    at = HEADERS + block * BLOCK + BLOCK // 2
    with path.open("r+b") as file:
        file.seek(at)
        (was,) = file.read(1)
        file.seek(at)
        file.write(bytes([was ^ 0xFF]))
