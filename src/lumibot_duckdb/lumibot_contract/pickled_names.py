"""The names in the pickles of Lumibot's Yahoo cache: private names of past releases of Lumibot, pandas and numpy.

They are part of the format of those files. Nothing is imported by these names, so the installed releases need not have
them.
"""

from __future__ import annotations

YAHOO_DATA = "lumibot.tools.yahoo_helper._YahooData"

FRAME = ("pandas.core.frame.DataFrame", "pandas.DataFrame")
BLOCK_MANAGER = "pandas.core.internals.managers.BlockManager"
UNPICKLE_BLOCK = "pandas._libs.internals._unpickle_block"

NEW_INDEX = "pandas.core.indexes.base._new_Index"
INDEX = ("pandas.core.indexes.base.Index", "pandas.Index")
NEW_DATETIME_INDEX = "pandas.core.indexes.datetimes._new_DatetimeIndex"
DATETIME_INDEX = ("pandas.core.indexes.datetimes.DatetimeIndex", "pandas.DatetimeIndex")

UNPICKLE_ARRAY = "pandas._libs.arrays.__pyx_unpickle_NDArrayBacked"
DATETIME_ARRAY = ("pandas.core.arrays.datetimes.DatetimeArray", "pandas.arrays.DatetimeArray")
ZONED_DTYPE = ("pandas.core.dtypes.dtypes.DatetimeTZDtype", "pandas.DatetimeTZDtype")
UNPICKLE_TIMESTAMP = "pandas._libs.tslibs.timestamps._unpickle_timestamp"

OFFSETS = tuple(f"pandas._libs.tslibs.offsets.{name}" for name in ("BusinessDay", "Day", "Minute"))
