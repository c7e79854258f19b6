"""Assets that are grouped by a label, such as their sector."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from lumibot_duckdb.analytics.cross_asset.selection import Selection, asset_list
from lumibot_duckdb.analytics.errors import AnalysisError
from lumibot_duckdb.analytics.frames import TIME_COLUMN
from lumibot_duckdb.analytics.series import ChosenSeries
from lumibot_duckdb.storage.api import AssetLabels, AssetLike, BarReader
from lumibot_duckdb.storage.identity import published_name

if TYPE_CHECKING:
    import pandas as pd

VALUE_COLUMN = "value"


@dataclass(frozen=True)
class Groups:
    """The series of labelled assets, and for each value of the label the places of those that have it.

    An asset with several values is in several groups.
    """

    series: list[ChosenSeries]
    places: Mapping[str, Sequence[int]]

    @classmethod
    def of(
        cls,
        storage: BarReader,
        labels: AssetLabels,
        label: str,
        symbols: AssetLike | Iterable[AssetLike] | None,
        selection: Selection,
    ) -> Groups:
        """Return the groups of some assets, or of all that have bars; those without the label are left out.

        Raises `LabelNotFoundError`, and `AnalysisError` if no asset is left.
        """
        rows = labels.labels(label)
        values: dict[tuple[str, str, str], list[str]] = {}
        for name, asset_type, exchange, _, value in rows.itertuples(index=False):
            values.setdefault((name, asset_type, exchange), []).append(value)
        assets = labels.labelled(label) if symbols is None else asset_list(symbols)
        if not assets:
            raise AnalysisError(f"no asset with the label {label!r} has bars")
        series = [each for each in selection.series(storage, assets) if _identity(each) in values]
        if not series:
            raise AnalysisError(f"none of these assets has the label {label!r}")
        places: dict[str, list[int]] = {}
        for place, each in enumerate(series):
            for value in values[_identity(each)]:
                places.setdefault(value, []).append(place)
        return cls(series, dict(sorted(places.items())))


def stacked(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return tables that are indexed by time one below the other, with columns of the value and the time."""
    import pandas as pd

    parts = []
    for value, table in tables.items():
        part = table.rename_axis(TIME_COLUMN).reset_index()
        part.insert(0, VALUE_COLUMN, value)
        parts.append(part)
    return cast("pd.DataFrame", pd.concat(parts, ignore_index=True))


def _identity(series: ChosenSeries) -> tuple[str, str, str]:
    asset = series.pin.key.asset
    return published_name(asset), asset.asset_type, asset.exchange
