"""Symbols of US options as the Options Clearing Corporation writes them ("SPY230802C00457000")."""

from __future__ import annotations

import re
from datetime import date, datetime

from lumibot_duckdb.storage.api import AssetKey

_SYMBOL = re.compile(r"(?P<root>.+)(?P<day>\d{6})(?P<right>[CP])(?P<strike>\d{8})")
_RIGHTS = {"C": "CALL", "P": "PUT"}


def occ_symbol(underlying: str, expiration: date, right: str, strike: float) -> str:
    """Return an option's symbol. `right` is "call" or "put" in any case; `strike` is in dollars."""
    return f"{underlying}{expiration:%y%m%d}{right[0].upper()}{round(strike * 1000):08d}"


def option_of(symbol: str) -> AssetKey | None:
    """Return the option of a symbol, with its root as the underlying; None if it is not an option's symbol."""
    found = _SYMBOL.fullmatch(symbol.upper())
    if found is None:
        return None
    try:
        expiration = datetime.strptime(found["day"], "%y%m%d").date()
    except ValueError:
        return None
    strike = int(found["strike"]) / 1000
    return AssetKey(found["root"], "option", expiration=expiration, strike=strike, right=_RIGHTS[found["right"]])
