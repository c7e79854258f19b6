"""`PandasDataBacktesting` with DuckDB switched off: Lumibot's own class, on frames that are read from the store."""

from __future__ import annotations

from typing import Any

from lumibot.entities import Data

from lumibot_duckdb.lumibot_contract.pandas_data_keys import by_asset_and_quote
from lumibot_duckdb.sources.own_bars.selection import SelectsSeries
from lumibot_duckdb.sources.shared.configuration import open_storage
from lumibot_duckdb.sources.shared.lumibot_only import LumibotOnly
from lumibot_duckdb.sources.shared.reading_moment import reading_moment


class StoredFrames(SelectsSeries, LumibotOnly):  # type: ignore[misc]
    """Mix-in for Lumibot's class: the series selected by `using` are read in full."""

    pandas_data: dict[Any, Data]

    def __init__(self, *args: Any, storage: Any = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.settings:
            self._read_frames(storage if storage is not None else self.settings["storage"])

    def _read_frames(self, given: Any) -> None:
        storage = open_storage(given)
        unit = self.unit()
        selected = self.selected(storage, self.as_of or reading_moment())
        self.pandas_data.update(
            by_asset_and_quote(
                [Data(asset, storage.read_pandas(pin), timestep=unit, quote=quote) for asset, quote, pin in selected]
            )
        )
        if storage is not given:
            storage.close()
