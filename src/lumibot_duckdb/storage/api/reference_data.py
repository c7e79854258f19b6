"""Reference data that sources look up beside bars: corporate actions and option chains."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any

from lumibot_duckdb.storage.api.types import AssetLike, CorporateAction, KnownActions, OptionChain


class ReferenceData(ABC):
    """Stores and returns corporate actions and option chains."""

    @abstractmethod
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
        """Record all actions of a kind that a source has for an asset.

        Args:
            asset: The asset.
            actions: All of its actions of that kind, in any order.
            source: The source that was queried.
            kind: "split" or "dividend".
            restates: The adjustments that depend on these actions. If the source had other actions before, then all
                its series of that symbol's stock, and of options on it, with such an adjustment are restated in the
                same transaction; see `BarWriter.restate_series`.
            checked_at: When the source was queried (tz-aware; default: now).

        Returns:
            Whether the source had other actions before.

        Raises:
            InvalidRecordError: The arguments are unusable. Nothing is changed then.
        """

    @abstractmethod
    def corporate_actions(self, asset: AssetLike, source: str, kind: str = "split") -> KnownActions | None:
        """Return the actions that were last recorded for exactly this asset; None if there never were any records."""

    @abstractmethod
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
        """Store the options on an underlying as of a date. Replaces a chain of the same date and bound.

        Args:
            underlying: The underlying asset.
            chain: `{"Multiplier": 100, "Exchange": "NYSE", "Chains": {"CALL": {"2024-01-19": [465.0, 470.0]}, "PUT":
                {}}}`. It is returned unchanged: integers, floats to the bit, the order of keys.
            source: The source of the chain.
            as_of: The date on which these options existed.
            days_ahead: Expirations are at most so many days after `as_of`; None if the chain has all of them.
            listed_at: When the source listed them (tz-aware; default: now).

        Raises:
            InvalidRecordError: The arguments are unusable. Nothing is changed then.
        """

    @abstractmethod
    def option_chain(
        self, underlying: AssetLike, source: str, earliest: date, latest: date, *, days_ahead: int | None = None
    ) -> OptionChain | None:
        """Return the newest chain with exactly this bound and `earliest <= as_of <= latest`; None if there is none."""
