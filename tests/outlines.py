"""Gives the series of tests stored outlines, which otherwise only much longer ones have."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lumibot_duckdb.storage.bars import outline_records


@pytest.fixture(scope="module", autouse=True)
def outlines() -> Iterator[None]:
    """Store an outline of series with more than 50 bars."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(outline_records, "SHORT_SERIES", 50)
        yield
