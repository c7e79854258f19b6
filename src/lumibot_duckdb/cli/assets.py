"""Assets as people write them on the command line, and the stored assets that a name stands for.

All of these name the same option: `SPY 2024-01-19 470 CALL option`, as `status` prints it, `SPY 2024-01-19 470 CALL`,
`SPY240119C00470000` and `O:SPY240119C00470000`. All of these name the same pair: `BTC/USD crypto`, `BTC/USD`,
`btc-usd`, `BTC_USD`, `BTCUSD` and `X:BTCUSD`. A symbol alone names every asset that has it. A name with `*`, `?` or
`[...]` is a pattern, and stands for all assets that it matches.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from glob import escape
from pathlib import Path

from lumibot_duckdb.cli.errors import CommandError
from lumibot_duckdb.cli.layout import printable
from lumibot_duckdb.cli.suggestions import did_you_mean_or_there_are, listed
from lumibot_duckdb.importing.symbols import ASSET_TYPES
from lumibot_duckdb.importing.vocabulary import QUOTE_CURRENCIES
from lumibot_duckdb.storage.api import AssetKey
from lumibot_duckdb.storage.identity import FIAT, published_name
from lumibot_duckdb.storage.name_patterns import is_pattern, name_matches
from lumibot_duckdb.storage.reference.occ import occ_symbol, option_of

_CONTRACT = re.compile(
    r"(?P<symbol>\S+) (?P<expiration>\d{4}-\d\d-\d\d)(?: (?P<strike>\d+(?:\.\d+)?) (?P<right>CALL|PUT))?"
)
_VENDOR_PREFIX = re.compile(r"[XCOI]:(?=.)")
_SEPARATED = re.compile(r"([^-_/]+)([-_/])([^-_/]+)")
_JOINED = re.compile(r"[A-Z0-9]{5,}")
_KNOWN_QUOTES = FIAT.union(QUOTE_CURRENCIES)
_AMBIGUOUS_NAMES_SHOWN = 6


@dataclass(frozen=True, slots=True)
class Reading:
    """A meaning that a name may have. None leaves a field open; an `is_guess` splits a pair at a guessed place."""

    symbol: str
    quote: str | None = None
    expiration: date | None = None
    strike: float | None = None
    right: str | None = None
    is_guess: bool = False

    def matches(self, asset: AssetKey) -> bool:
        """Return whether the name may mean this asset."""
        return (
            asset.symbol == self.symbol
            and self.quote in (None, asset.quote)
            and self.expiration in (None, asset.expiration)
            and self.strike in (None, asset.strike)
            and self.right in (None, asset.right)
        )


def stored_assets(path: Path, *, wait_seconds: float = 30.0, upgrade: bool = True) -> list[AssetKey]:
    """Return the assets that the store at `path` has series of."""
    from lumibot_duckdb.storage.row_query import query_rows

    query = """
        SELECT symbol, asset_type, quote, exchange, expiration, strike, "right", multiplier, auto_expiry FROM asset
        WHERE asset_id IN (
            SELECT asset_id FROM series WHERE series_id NOT IN (SELECT series_id FROM ingest WHERE kind = 'delete')
        ) ORDER BY ALL
    """
    with query_rows(path, query, wait_seconds=wait_seconds, upgrade=upgrade) as found:
        return [AssetKey(*row) for row in found.rows]


def find_assets(name: str, stored: Sequence[AssetKey]) -> list[AssetKey]:
    """Return the stored assets that a name stands for. Raises `CommandError` if there is none or it is ambiguous."""
    literal = [asset for asset in stored if _plain(name) in _full_names(asset)]
    if is_pattern(name):
        return _of_pattern(name, literal, stored)
    text, asset_type, exchange = _without_type(name)
    candidates = [
        asset
        for asset in stored
        if asset_type in (None, asset.asset_type) and exchange in (None, asset.exchange.upper())
    ]
    readings = [[asset for asset in candidates if reading.matches(asset)] for reading in _readings(text)]
    meant = [literal] if literal else []
    meant += [assets for assets in readings if not set(assets) <= set(literal)]
    if len(meant) > 1:
        raise _ambiguous(name, dict.fromkeys(asset.label() for assets in meant for asset in assets))
    if not meant:
        shown = printable(name) or repr(name)
        hint = _of_other_types(text, stored) if text != name.strip().upper() else ""
        raise CommandError(f"the store has no bars of {shown}{hint or _closest(name, stored)}", exit_code=1)
    return meant[0]


def _of_other_types(text: str, stored: Sequence[AssetKey]) -> str:
    """Return what to add about assets whose name without the type is `text`; nothing if there are none."""
    readings = _readings(text)
    found = [
        printable(asset.label())
        for asset in stored
        if _plain(text) in _full_names(asset) or any(reading.matches(asset) for reading in readings)
    ]
    return f"; there {listed(found)}" if found else ""


def _of_pattern(name: str, literal: Sequence[AssetKey], stored: Sequence[AssetKey]) -> list[AssetKey]:
    """Return the assets that a pattern matches. A symbol may have such characters, too: `literal` are those assets."""
    found = [asset for asset in stored if name_matches(name.strip(), asset)]
    if literal and not set(found) <= set(literal):
        raise CommandError(
            f"{printable(name)} is a symbol in the store, and a pattern that matches others: write "
            f"{printable(escape(name.strip()))} for the symbol alone, or change the pattern"
        )
    if not (found or literal):
        raise CommandError(
            f"no symbol in the store matches {printable(name)}{_closest(name.strip('*?'), stored)}", exit_code=1
        )
    return found or list(literal)


def _closest(name: str, stored: Sequence[AssetKey]) -> str:
    contracts_last = sorted(stored, key=lambda asset: asset.expiration is not None)
    return did_you_mean_or_there_are(name.strip(), [*dict.fromkeys(map(short_name, contracts_last))])


def asset_named(name: str) -> AssetKey:
    """Return the asset that a name stands for, without a store to look it up in. Raises `CommandError` if ambiguous.

    A pair of two national currencies is forex, any other pair crypto, and a symbol alone a stock, unless the name says
    the type. A pair without a slash or an underscore is recognised by its quote currency.
    """
    text, asset_type, exchange = _without_type(name)
    readings = [each for each in _readings(text) if not each.is_guess or _is_plausible(each, text)]
    if asset_type not in (None, "crypto", "crypto_future", "forex"):
        readings = [each for each in readings if each.quote is None]
    pairs = [each for each in readings if each.quote is not None]
    if len(pairs) > 1:
        raise _ambiguous(name, [f"{each.symbol}/{each.quote}" for each in pairs])
    # The reading as a plain symbol comes first, a more specific one last.
    meant = pairs[0] if pairs else readings[-1]
    return AssetKey(
        meant.symbol,
        asset_type or _usual_type(meant),
        meant.quote,
        exchange or "",
        meant.expiration,
        meant.strike,
        meant.right,
    )


def has_type(name: str) -> bool:
    """Return whether a name states the type of the asset, as in "FB stock"."""
    return _without_type(name)[1] is not None


def short_name(asset: AssetKey) -> str:
    """Return the shortest name of an asset that has no spaces: AAPL, BTC/USD, SPY240119C00470000."""
    if asset.expiration is not None and asset.strike is not None and asset.right is not None:
        return occ_symbol(asset.symbol, asset.expiration, asset.right, asset.strike)
    return asset.symbol if asset.quote is None else f"{asset.symbol}/{asset.quote}"


def _readings(text: str) -> list[Reading]:
    """Return all meanings of an upper-case name without a type: as a symbol, a pair or a contract."""
    readings = [Reading(text)]
    bare = _VENDOR_PREFIX.sub("", text)
    if bare != text:
        readings.append(Reading(bare))
    option = option_of(bare.replace(" ", ""))
    if option is not None:
        return [*readings, Reading(option.symbol, None, option.expiration, option.strike, option.right)]
    contract = _CONTRACT.fullmatch(bare)
    if contract is not None:
        day, strike = _date(contract["expiration"]), contract["strike"]
        if day is not None:
            readings.append(
                Reading(contract["symbol"], None, day, float(strike) if strike else None, contract["right"])
            )
        return readings
    separated = _SEPARATED.fullmatch(bare)
    if separated is not None:
        base, mark, quote = separated.groups()
        readings.append(Reading(base, quote, is_guess=mark == "-"))
    elif _JOINED.fullmatch(bare):
        splits = range(2, len(bare) - 2)
        readings += [Reading(bare[:at], bare[at:], is_guess=True) for at in splits]
    return readings


def _without_type(name: str) -> tuple[str, str | None, str | None]:
    """Return a name in upper case without its trailing type and exchange, and these two."""
    text = name.strip().upper()
    words = text.split()
    exchange = words[-1] if len(words) > 3 and words[-2] == "ON" else None
    if exchange is not None:
        words = words[:-2]
    asset_type = words[-1].lower() if len(words) > 1 and words[-1].lower() in ASSET_TYPES else None
    if asset_type is not None:
        return " ".join(words[:-1]), asset_type, exchange
    return (" ".join(words) if exchange is not None else text), None, exchange


def _full_names(asset: AssetKey) -> tuple[str, ...]:
    """Return the names of an asset as commands and the published view print them, and its symbol, in plain form."""
    label, name = asset.label(), published_name(asset)
    names = (asset.symbol, label, name, f"{name} {asset.asset_type}", label.removesuffix(f" on {asset.exchange}"))
    return tuple(map(_plain, names))


def _plain(name: str) -> str:
    return " ".join(name.casefold().split())


def _is_plausible(guess: Reading, text: str) -> bool:
    # American stocks have at most five letters, so six that end in a currency are a pair.
    return guess.quote in _KNOWN_QUOTES and ("-" in text or len(text) > 5)


def _usual_type(reading: Reading) -> str:
    if reading.right is not None:
        return "option"
    if reading.quote is not None:
        return "forex" if {reading.symbol, reading.quote} <= FIAT else "crypto"
    return "stock" if reading.expiration is None else "future"


def _date(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def _ambiguous(name: str, meant: Iterable[str]) -> CommandError:
    names = list(meant)
    shown = " or ".join(names[:_AMBIGUOUS_NAMES_SHOWN]) + (" or ..." if len(names) > _AMBIGUOUS_NAMES_SHOWN else "")
    return CommandError(f"{printable(name)} is ambiguous: it may be {shown}; use one of these names")
