"""The stored series that names on the command line stand for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lumibot_duckdb.cli.assets import find_assets, stored_assets

if TYPE_CHECKING:
    from lumibot_duckdb.duckdb_storage import DuckDBDataStorage
    from lumibot_duckdb.storage.api import AssetKey, SeriesInfo


def named_series(storage: DuckDBDataStorage, names: Sequence[str]) -> list[SeriesInfo]:
    """Return the series that names stand for: those of an asset, or one by its label. Raises `CommandError`."""
    stored = stored_assets(storage.path)
    found: dict[int, SeriesInfo] = {}
    for name in names:
        series = labelled(storage, name) or series_of(storage, find_assets(name, stored))
        found.update({info.series_id: info for info in series})
    return list(found.values())


def series_of(storage: DuckDBDataStorage, assets: Sequence[AssetKey]) -> list[SeriesInfo]:
    """Return the series of assets."""
    if len(assets) == 1:
        return storage.list_series(assets[0])
    wanted = set(assets)
    return [info for info in storage.list_series() if info.key.asset in wanted]


def labelled(storage: DuckDBDataStorage, name: str) -> list[SeriesInfo]:
    """Return the series with this label, e.g. `AAPL stock, day bars from import`; nothing for another name."""
    if " bars from " not in name:
        return []
    label = " ".join(name.casefold().split())
    return [info for info in storage.list_series() if info.key.label().casefold() == label]
