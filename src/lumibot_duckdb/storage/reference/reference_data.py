"""`StoredReferenceData`: the `ReferenceData` of the DuckDB storage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any

from lumibot_duckdb.storage.api import AssetLike, CorporateAction, KnownActions, OptionChain, ReferenceData
from lumibot_duckdb.storage.bars.open_store import OpenStore
from lumibot_duckdb.storage.bars.restatement import restate
from lumibot_duckdb.storage.identity import record_key
from lumibot_duckdb.storage.reference import corporate_actions, option_chains
from lumibot_duckdb.storage.times import naive_utc, utc_now


class StoredReferenceData(ReferenceData):
    """Keeps corporate actions and option chains in the store."""

    _store: OpenStore

    def record_corporate_actions(
        self,
        asset: AssetLike,
        actions: Sequence[CorporateAction],
        source: str,
        kind: str = "split",
        *,
        restates: Sequence[str] = (),
        checked_at: datetime | None = None,
    ) -> bool:
        key, source = record_key(asset, source)
        corporate_actions.refuse_unusable(key, actions, kind, checked_at)
        with self._store.write() as cursor:
            first_id, now = self._store.next_ingest()
            checked_at = checked_at or utc_now()
            differs = corporate_actions.remember_actions(cursor, key, actions, source, kind, checked_at)
            if differs and restates:
                series = corporate_actions.restated_series(cursor, key.symbol, source, restates)
                restate(cursor, series, first_id, now)
        return differs

    def corporate_actions(self, asset: AssetLike, source: str, kind: str = "split") -> KnownActions | None:
        key, source = record_key(asset, source)
        if not self._store.refresh():
            return None
        question = ("corporate actions", source, kind)
        in_use = self._store.current(question, lambda cursor: corporate_actions.ActionsInUse(source, kind))
        return in_use.of(key, self._store.read)

    def store_option_chain(
        self,
        underlying: AssetLike,
        chain: Mapping[str, Any],
        source: str,
        as_of: date,
        *,
        days_ahead: int | None = None,
        listed_at: datetime | None = None,
    ) -> None:
        key, source = record_key(underlying, source)
        texts = option_chains.ChainTexts.of(key, chain)
        with self._store.write() as cursor:
            listed = naive_utc(listed_at or utc_now())
            option_chains.keep_chain(cursor, key, texts, source, as_of, days_ahead, listed)

    def option_chain(
        self, underlying: AssetLike, source: str, earliest: date, latest: date, *, days_ahead: int | None = None
    ) -> OptionChain | None:
        key, source = record_key(underlying, source)
        if not self._store.refresh():
            return None
        # Strategies ask for the same chain again and again.
        stored = self._store.current(
            ("option chain", key, source, earliest, latest, days_ahead),
            lambda cursor: option_chains.newest_chain(cursor, key, source, earliest, latest, days_ahead),
            lambda chain: 500 if chain is None else chain.size,
        )
        return None if stored is None else stored.of(key, source, days_ahead)
