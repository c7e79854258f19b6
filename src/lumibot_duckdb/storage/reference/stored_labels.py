"""`StoredLabels`: the `AssetLabels` of the DuckDB storage. Changes are computed in `label_changes.py`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from lumibot_duckdb.storage.api import AssetKey, AssetLabels, AssetLike, LabelReport
from lumibot_duckdb.storage.api.labels import LabelValue
from lumibot_duckdb.storage.bars.open_store import OpenStore
from lumibot_duckdb.storage.errors import InvalidRecordError, LabelNotFoundError
from lumibot_duckdb.storage.identity import asset_query, published_name
from lumibot_duckdb.storage.reference.label_arguments import removed_labels, wanted_labels
from lumibot_duckdb.storage.reference.label_changes import changed_labels
from lumibot_duckdb.storage.reference.labels import Labels, checked_name, stored_labels

if TYPE_CHECKING:
    import pandas as pd

_COLUMNS = ("asset_symbol", "asset_type", "exchange", "name", "value")


class StoredLabels(AssetLabels):
    """Keeps labels in the store."""

    _store: OpenStore

    def label(
        self,
        symbols: AssetLike | Iterable[AssetLike] | Mapping[Any, Any] | pd.DataFrame,
        name: str | None = None,
        value: LabelValue | None = None,
        *,
        add: bool = False,
        skip_unknown: bool = False,
        dry_run: bool = False,
    ) -> LabelReport:
        edits = wanted_labels(symbols, name, value, add=add)
        return changed_labels(self._store, edits, skip_unknown=skip_unknown, dry_run=dry_run)

    def unlabel(
        self,
        symbols: AssetLike | Iterable[AssetLike],
        name: str | None = None,
        value: LabelValue | None = None,
        *,
        dry_run: bool = False,
    ) -> LabelReport:
        edits = removed_labels(symbols, name, value)
        return changed_labels(self._store, edits, skip_unknown=False, dry_run=dry_run)

    def labels(self, name: str | None = None) -> pd.DataFrame:
        import pandas as pd

        labels = self._labels()
        wanted = None if name is None else _existing(name, labels)
        rows = [
            (published_name(asset), asset.asset_type, asset.exchange, each, value)
            for asset, of_asset in labels.items()
            for each, known in of_asset.items()
            if wanted in (None, each)
            for value in known.values
        ]
        frame: pd.DataFrame = pd.DataFrame(sorted(rows), columns=list(_COLUMNS))
        return frame

    def labelled(self, name: str, value: str | None = None) -> list[AssetKey]:
        labels = self._labels()
        wanted = _existing(name, labels)
        found = {asset: of_asset[wanted].values for asset, of_asset in labels.items() if wanted in of_asset}
        there = sorted({each for values in found.values() for each in values})
        if value is not None and value not in there:
            raise LabelNotFoundError(f"no asset has the {wanted} {value!r}{_suggestion(str(value), there)}")
        chosen = (asset for asset, values in found.items() if value is None or value in values)
        return sorted(filter(self._has_bars, chosen), key=lambda asset: (published_name(asset), asset.label()))

    def _labels(self) -> Labels:
        if not self._store.refresh():
            return {}
        with self._store.read() as cursor:
            return stored_labels(cursor)

    def _has_bars(self, asset: AssetKey) -> bool:
        catalog = self._store.catalog
        heads = (catalog.head(record.series_id) for record in catalog.matching(asset_query(asset), None, None, None))
        return any(head is not None and head.rows > 0 for head in heads)


def _existing(name: str, labels: Labels) -> str:
    """Return the name of a label that assets have. Raises `LabelNotFoundError`."""
    try:
        wanted = checked_name(name)
    except ValueError as error:
        raise InvalidRecordError(str(error)) from None
    there = sorted({each for of_asset in labels.values() for each in of_asset})
    if wanted not in there:
        raise LabelNotFoundError(f"no asset has a label {wanted!r}{_suggestion(wanted, there)}")
    return wanted


def _suggestion(word: str, there: list[str]) -> str:
    folded = {each.casefold(): each for each in there}
    similar = get_close_matches(word.casefold(), folded, n=1, cutoff=0.6)
    if similar:
        return f"; did you mean {folded[similar[0]]}?"
    return f"; there is {', '.join(there[:8])}{', ...' if len(there) > 8 else ''}" if there else "; there are no labels"
