"""Sets and removes labels, and reports what changes: in one transaction, or in none for a dry run."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from lumibot_duckdb.storage.api import AssetKey, AssetLike, LabelChange, LabelReport
from lumibot_duckdb.storage.bars.open_store import OpenStore
from lumibot_duckdb.storage.connection.cursor import StoreCursor
from lumibot_duckdb.storage.reference.labelled_assets import LabelledAssets, queried
from lumibot_duckdb.storage.reference.labels import LabelValues, set_labels
from lumibot_duckdb.storage.times import aware_utc


@dataclass(frozen=True, slots=True)
class LabelEdit:
    """What happens to a label of an asset, or to all of its labels if `name` is None.

    It gets the values `given`. Of those that it has, it keeps all but `removed`, or none if that is None.
    """

    asset: AssetLike
    name: str | None
    given: tuple[str, ...] = ()
    removed: Collection[str] | None = None


def changed_labels(store: OpenStore, edits: Sequence[LabelEdit], *, skip_unknown: bool, dry_run: bool) -> LabelReport:
    """Make edits, and report them. Several edits of a label give it all their values."""
    symbols = {queried(edit.asset).key.symbol for edit in edits}
    store.merge_spooled(only=lambda key: key.asset.symbol in symbols)
    store.require()
    if dry_run:
        store.refresh()
        with store.read() as cursor:
            return _Changes(store, cursor, edits, skip_unknown=skip_unknown).report(dry_run=True)
    with store.write() as cursor:
        changes = _Changes(store, cursor, edits, skip_unknown=skip_unknown)
        now = aware_utc(store.next_ingest()[1])
        set_labels(
            cursor, {which: LabelValues(values, now) if values else None for which, values in changes.after.items()}
        )
        return changes.report(dry_run=False)


class _Changes:
    """The values of each label after some edits, in one state of the store."""

    def __init__(
        self, store: OpenStore, cursor: StoreCursor, edits: Sequence[LabelEdit], *, skip_unknown: bool
    ) -> None:
        self._known = LabelledAssets(cursor, store.catalog)
        assets, self._skipped = self._known.found([edit.asset for edit in edits], skip_unknown=skip_unknown)
        found: dict[tuple[AssetKey, str], set[str]] = {}
        for edit, asset in zip(edits, assets, strict=True):
            if asset is None:
                continue
            for name in self._known.names(asset) if edit.name is None else [edit.name]:
                kept = () if edit.removed is None else self._known.values(asset, name)
                values = (*edit.given, *(each for each in kept if each not in (edit.removed or ())))
                found.setdefault((asset, name), set()).update(values)
        self.after = {which: tuple(sorted(values)) for which, values in found.items()}

    def report(self, *, dry_run: bool) -> LabelReport:
        """Return what the edits change."""
        changes = [
            LabelChange(asset, name, before, values)
            for (asset, name), values in self.after.items()
            if (before := self._known.values(asset, name)) != values
        ]
        return LabelReport(tuple(changes), len(self.after) - len(changes), self._skipped, dry_run)
