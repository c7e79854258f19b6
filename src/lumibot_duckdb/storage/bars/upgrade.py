"""What an older store needs besides SQL to be upgraded."""

from __future__ import annotations

from lumibot_duckdb.storage.bars import outline_records, repeats
from lumibot_duckdb.storage.connection.cursor import StoreCursor


def build_outlines(cursor: StoreCursor) -> None:
    """Store the outlines and the repeated bars of all versions, in a store that has none."""
    outline_records.build_outlines(cursor)
    repeats.build_repeats(cursor)
