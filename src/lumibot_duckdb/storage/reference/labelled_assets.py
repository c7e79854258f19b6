"""The assets that may have labels: those with series, and those that have labels already."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches

from lumibot_duckdb.storage.api import AssetKey, AssetLike
from lumibot_duckdb.storage.catalog import Catalog
from lumibot_duckdb.storage.connection.cursor import StoreCursor
from lumibot_duckdb.storage.errors import AmbiguousSeriesError, InvalidRecordError, SeriesNotFoundError
from lumibot_duckdb.storage.identity import AssetQuery, asset_query
from lumibot_duckdb.storage.reference.labels import stored_labels

_NAMED = 8


class LabelledAssets:
    """The assets and their labels, in one state of the store. `catalog` is up to date with it."""

    def __init__(self, cursor: StoreCursor, catalog: Catalog) -> None:
        self._cursor = cursor
        self._catalog = catalog
        self._labels = stored_labels(cursor)
        self._of_symbol: dict[str, list[AssetKey]] = {}
        for asset in self._labels:
            self._of_symbol.setdefault(asset.symbol, []).append(asset)

    def values(self, asset: AssetKey, name: str) -> tuple[str, ...]:
        """Return the values of a label of an asset; () if there is none."""
        known = self._labels.get(asset, {}).get(name)
        return () if known is None else known.values

    def names(self, asset: AssetKey) -> list[str]:
        """Return the names of all labels of an asset."""
        return list(self._labels.get(asset, {}))

    def find(self, wanted: AssetLike) -> AssetKey | None:
        """Return the asset that a caller means; None if there is none. Raises `AmbiguousSeriesError`."""
        query = queried(wanted)
        found = list(dict.fromkeys(record.key.asset for record in self._catalog.matching(query, None, None, None)))
        found = found or self._without_series(query)
        if len(found) > 1:
            labels = sorted(asset.label() for asset in found)
            raise AmbiguousSeriesError(
                f"{name_of(wanted)} stands for several assets: {_listed(labels)}. Pass the one that is meant, for "
                "example with its type, quote or contract"
            )
        return found[0] if found else None

    def found(
        self, wanted: Sequence[AssetLike], *, skip_unknown: bool
    ) -> tuple[list[AssetKey | None], tuple[str, ...]]:
        """Return the asset for each that a caller means, and the names of unknown ones, for which there is None.

        Raises `SeriesNotFoundError` for unknown ones unless they are skipped.
        """
        found = [self.find(each) for each in wanted]
        unknown = dict.fromkeys(name_of(each) for each, asset in zip(wanted, found, strict=True) if asset is None)
        if unknown and not skip_unknown:
            raise SeriesNotFoundError(self._nothing_of(list(unknown)))
        return found, tuple(unknown)

    def _without_series(self, query: AssetQuery) -> list[AssetKey]:
        if query.key in self._labels:
            return [query.key]
        known = self._of_symbol.get(query.key.symbol, ())
        return [asset for asset in known if query.lenient and query.matches(asset)]

    def _nothing_of(self, unknown: Sequence[str]) -> str:
        stored = [symbol for (symbol,) in self._cursor.rows("SELECT DISTINCT symbol FROM {db}.asset ORDER BY symbol")]
        named = [f"{name}{_suggestion(name, stored)}" for name in unknown]
        return (
            f"the store has no bars of {_listed(named)}, and an asset needs some to get a label. "
            "Leave out unknown assets with skip_unknown"
        )


def queried(wanted: AssetLike) -> AssetQuery:
    """Return what to look up for an asset; raise `InvalidRecordError` if it is none."""
    try:
        return asset_query(wanted)
    except ValueError as error:
        raise InvalidRecordError(str(error)) from None


def name_of(wanted: AssetLike) -> str:
    """Return how a caller named an asset."""
    query = queried(wanted)
    return query.key.label() if query.typed or query.key.quote else query.key.symbol


def _suggestion(name: str, stored: Sequence[str]) -> str:
    similar = get_close_matches(name.partition(" ")[0], stored, n=1, cutoff=0.6)
    return f" (did you mean {similar[0]}?)" if similar else ""


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
