"""The identity of an asset: turns what callers pass (Lumibot assets, pairs, symbols) into an `AssetKey`, and finds the
stored assets that match.

Writing is exact. Reading is lenient where that is unambiguous: a symbol finds an asset of any type, and a pair without
its quote is found if there is only one such pair.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from dataclasses import dataclass, replace
from datetime import date, datetime
from math import isfinite
from typing import Any

from lumibot_duckdb.storage.api import AssetKey, AssetLike, SeriesKey
from lumibot_duckdb.storage.errors import InvalidBarsError, InvalidRecordError
from lumibot_duckdb.storage.timeframes import canonical_timeframe

PAIR_TYPES = frozenset({"crypto", "crypto_future", "forex"})
EXPIRING_TYPES = frozenset({"option", "future", "crypto_future"})
_TYPE_ALIASES = {"us_equity": "stock"}

# Currencies that trade in pairs with one another. Metals are quoted like currencies.
_FIAT_CODES = """
    AED ARS AUD BGN BHD BRL CAD CHF CLP CNH CNY COP CZK DKK EGP EUR GBP HKD HUF IDR ILS INR
    ISK JOD JPY KES KRW KWD KZT MAD MXN MYR NGN NOK NZD OMR PEN PHP PKR PLN QAR RON RSD RUB
    SAR SEK SGD THB TRY TWD UAH USD UYU VND XAG XAU XPD XPT ZAR
"""
FIAT = frozenset(_FIAT_CODES.split())
_SOURCE = re.compile(r"[a-z0-9][a-z0-9_.:\-]*")
_PUBLISHED_NAME = re.compile(
    r"(?P<symbol>.+?)(?: (?P<expiration>\d{4}-\d\d-\d\d))?(?: (?P<strike>\d+(?:\.\d+)?(?:e[+-]\d+)?))?"
    r"(?: (?P<right>CALL|PUT))?(?: (?P<auto_expiry>[a-z_]+))?(?: x(?P<multiplier>\d+(?:\.\d+)?(?:e[+-]\d+)?))?"
)


@dataclass(frozen=True, slots=True)
class AssetQuery:
    """An asset to look up. `key` is its exact identity, and a `typed` query states the type of the asset."""

    key: AssetKey
    typed: bool
    lenient: bool

    def matches(self, stored: AssetKey) -> bool:
        """Return whether a stored asset matches this query, taken leniently."""
        key = self.key
        if stored.symbol != key.symbol or (key.exchange and stored.exchange != key.exchange):
            return False
        if key.quote is not None and stored.quote != key.quote and not (key.quote == "USD" and not stored.quote):
            return False
        if not self.typed:
            return True
        # Lumibot does not identify a contract by its multiplier, and few callers state it; but an adjusted or mini
        # option has other prices than the standard one.
        same_size = stored.multiplier == key.multiplier or (key.asset_type != "option" and key.multiplier == 1)
        return same_size and contract(stored) == contract(key)


@dataclass(frozen=True, slots=True)
class SeriesQuery:
    """Series to look up: those of an asset, and of one timeframe and source where these are given."""

    asset: AssetQuery
    timeframe: str | None
    source: str | None

    @classmethod
    def of(cls, asset: AssetLike, timeframe: str | None, source: str | None) -> SeriesQuery:
        """Return the query for a caller's arguments. Raises ValueError if they are unusable."""
        return cls(
            asset_query(asset),
            None if timeframe is None else canonical_timeframe(timeframe),
            None if source is None else canonical_source(source),
        )


def contract(asset: AssetKey) -> Hashable:
    """Return what an asset must have in common with a typed query of the same symbol to match it."""
    return asset.asset_type, asset.expiration, asset.strike, asset.right, asset.auto_expiry


def asset_key(asset: AssetLike, exchange: str | None = None) -> AssetKey:
    """Return the exact identity of an asset, for writing. Raises ValueError naming what is missing or wrong."""
    key = asset_query(asset, exchange).key
    refuse_unstorable(key.label())
    if key.asset_type == "option" and None in (key.expiration, key.strike, key.right):
        raise ValueError(f"the option {key.label()} needs an expiration, a strike and a right (CALL or PUT)")
    return key


def asset_query(asset: AssetLike, exchange: str | None = None) -> AssetQuery:
    """Return what to look up for an asset. Raises ValueError if it is not an asset."""
    if isinstance(asset, AssetKey):
        return AssetQuery(asset if exchange is None else replace(asset, exchange=exchange), True, False)
    if isinstance(asset, str):
        base, _, quote = asset.partition("/")
        return _query_of_text(base, quote if "/" in asset else None, exchange)
    if isinstance(asset, tuple):
        if len(asset) != 2:
            raise ValueError(f"{asset!r} is not a (base, quote) pair")
        base, quote = asset
        if isinstance(base, str):
            return _query_of_text(base, None if quote is None else _symbol_of(quote), exchange)
        return AssetQuery(_key_of_object(base, None if quote is None else _symbol_of(quote), exchange), True, True)
    return AssetQuery(_key_of_object(asset, None, exchange), True, True)


def canonical_source(source: str) -> str:
    """Return a source's name in lower case; ValueError unless it is one short word such as "polygon"."""
    name = source.strip().lower() if isinstance(source, str) else ""
    if not _SOURCE.fullmatch(name):
        raise ValueError(f'{source!r} cannot name a source: pass one word such as "polygon" or "my_csv"')
    return name


def key_to_write(
    asset: AssetLike, source: str, timeframe: str, adjustment: str, exchange: str | None = None
) -> SeriesKey:
    """Return the exact key of a series; raise `InvalidBarsError` if the arguments do not make one."""
    try:
        refuse_unstorable(adjustment)
        return SeriesKey(
            asset_key(asset, exchange), canonical_source(source), canonical_timeframe(timeframe), adjustment
        )
    except ValueError as error:
        raise InvalidBarsError(str(error)) from None


def record_key(asset: AssetLike, source: str) -> tuple[AssetKey, str]:
    """Return asset and source of a record; raise `InvalidRecordError` if the arguments do not make them."""
    try:
        return asset_key(asset), canonical_source(source)
    except ValueError as error:
        raise InvalidRecordError(str(error)) from None


def refuse_unstorable(text: object) -> None:
    """Raise ValueError unless a text can be stored: half of a surrogate pair is a Python string, but no text."""
    if not isinstance(text, str):
        raise ValueError(f"{text!r} is not a string")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"{text!r} is not valid text ({error.reason}); was it decoded wrongly?") from None


def published_name(asset: AssetKey) -> str:
    """Return `asset_symbol` of the published view: one name for one asset of its type and exchange.

    It is the symbol, then what distinguishes the asset from similar ones: `BTC/USD`, `SPY 2024-01-19 470 CALL`.
    """
    name = replace(asset, asset_type="", exchange="").label().rstrip()
    usual = replace(asset, multiplier=0.0).multiplier
    return name if asset.multiplier == usual else f"{name} x{asset.multiplier:.15g}"


def asset_of_published_name(name: str, asset_type: str, exchange: str) -> AssetKey:
    """Return the asset whose `published_name` is `name`; raise ValueError if no asset has it."""
    found = _PUBLISHED_NAME.fullmatch(name)
    if found is not None:
        base, slash, quote = found["symbol"].rpartition("/")
        is_pair = bool(slash) and asset_type in PAIR_TYPES
        asset = AssetKey(
            base if is_pair else found["symbol"],
            asset_type,
            quote if is_pair else None,
            exchange,
            _date_of(found["expiration"]),
            float(found["strike"]) if found["strike"] else None,
            found["right"],
            float(found["multiplier"] or 0),
            found["auto_expiry"],
        )
        if published_name(asset) == name:
            return asset
    raise ValueError(f"{name!r} is not the name of a {asset_type or 'typed'} asset in the view ohlcv_data")


def _query_of_text(base: str, quote: str | None, exchange: str | None) -> AssetQuery:
    symbol = _symbol_of(base)
    if quote is None:
        return AssetQuery(AssetKey(symbol, exchange=exchange or ""), False, True)
    quoted = _symbol_of(quote)
    asset_type = "forex" if symbol in FIAT and quoted in FIAT else "crypto"
    return AssetQuery(AssetKey(symbol, asset_type, quoted, exchange=exchange or ""), False, True)


def _key_of_object(asset: Any, quote: str | None, exchange: str | None) -> AssetKey:
    """Read the identity of a Lumibot asset."""
    raw_type = getattr(asset, "asset_type", None)
    if getattr(asset, "symbol", None) is None or raw_type is None:
        raise ValueError(f"{asset!r} is not an asset: pass a Lumibot Asset, a (base, quote) pair or a symbol")
    word = str(getattr(raw_type, "value", raw_type)).strip().lower()
    asset_type = _TYPE_ALIASES.get(word, word)
    if quote == "USD" and asset_type not in PAIR_TYPES:
        quote = None
    strike = getattr(asset, "strike", None)
    right = getattr(asset, "right", None)
    # Lumibot rolls such a future itself: which rule it follows is part of what it is.
    rolls = getattr(asset, "auto_expiry", None) if asset_type == "future" else None
    expiration = _date_of(getattr(asset, "expiration", None))
    return AssetKey(
        symbol=_symbol_of(asset.symbol),
        asset_type=asset_type,
        quote=quote,
        exchange=exchange or "",
        expiration=expiration,
        strike=float(strike) if strike or (strike is not None and asset_type == "option") else None,
        right=str(getattr(right, "value", right)).upper() if right else None,
        multiplier=_multiplier_of(getattr(asset, "multiplier", None)),
        auto_expiry=str(getattr(rolls, "value", rolls)) if rolls and expiration is None else None,
    )


def _symbol_of(named: Any) -> str:
    symbol = named if isinstance(named, str) else getattr(named, "symbol", None)
    text = symbol.strip().upper() if isinstance(symbol, str) else ""
    if not text or not text.isprintable():
        raise ValueError(f"{named!r} has no symbol to look up or to store under")
    return text


def _date_of(expiration: Any) -> date | None:
    if expiration is None or expiration == "":
        return None
    if isinstance(expiration, datetime):
        return expiration.date()
    if isinstance(expiration, date):
        return expiration
    try:
        return date.fromisoformat(str(expiration))
    except ValueError:
        raise ValueError(f"the expiration {expiration!r} is not a date such as 2024-01-19") from None


def _multiplier_of(multiplier: Any) -> float:
    if multiplier is None:
        return 0.0  # the usual one of the type
    value = float(multiplier)
    if not isfinite(value) or value <= 0:
        raise ValueError(f"the multiplier {multiplier!r} is not a positive number")
    return value
