"""Names of stored assets in which `*`, `?` and `[...]` stand for any characters, one, and one of several."""

from __future__ import annotations

from fnmatch import fnmatchcase

from lumibot_duckdb.storage.api import AssetKey
from lumibot_duckdb.storage.identity import published_name


def is_pattern(name: str) -> bool:
    """Return whether a name may stand for several assets."""
    return any(character in name for character in "*?[")


def is_whole(name: str) -> bool:
    """Return whether a name may be more than a symbol: that of a pair, of a contract, or one with its type."""
    return " " in name or "/" in name


def name_matches(name: str, asset: AssetKey) -> bool:
    """Return whether a name or a pattern is about an asset, in upper or lower case.

    It is compared with the symbol and, if it has a space or a slash, with the whole name, with and without its type.

    >>> spy = AssetKey("SPY")
    >>> [name_matches(name, spy) for name in ("spy", "S*", "SPY stock", "* stock", "*k")]
    [True, True, True, True, False]
    """
    wanted = name.casefold()
    names = [asset.symbol]
    if is_whole(name):
        names += [asset.label(), published_name(asset)]
    return any(wanted == each.casefold() or fnmatchcase(each.casefold(), wanted) for each in names)
