"""pandas' private names that `pandas_blocks` uses to make small frames and indexes quickly."""

from __future__ import annotations

from lumibot_duckdb.lumibot_contract.requirement import Requirement

# When it is imported, `pandas_blocks` compares its frames with those of the public constructor. If they differ, that
# constructor is used. So a change in pandas costs time but changes no result.
REQUIREMENTS: tuple[Requirement, ...] = ()

USED_IF_EQUAL = (
    "pandas._libs.internals:BlockPlacement",
    "pandas.core.internals.blocks:new_block_2d",
    "pandas.core.internals.managers:BlockManager",
    "pandas.core.frame:DataFrame._from_mgr",
    "pandas.core.indexes.datetimes:DatetimeIndex._simple_new",
    "pandas.core.arrays.datetimes:DatetimeArray._simple_new",
)
"""Names that make frames faster and are not required."""
