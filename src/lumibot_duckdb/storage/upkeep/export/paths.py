"""Where the file of a series is in an export: a Hive partition for each of its source, timeframe, type and symbol."""

from __future__ import annotations

import hashlib
import json
import re
from urllib.parse import quote, unquote

from lumibot_duckdb.storage.api import SeriesKey
from lumibot_duckdb.storage.identity import published_name
from lumibot_duckdb.storage.upkeep.export.manifest import key_fields

NAME_OF_EXPORT = re.compile(r"bars-[0-9a-f]{16}\.(parquet|csv|arrow)")
"""The names of files of series. Nothing else shows of a CSV file that it was exported."""

# File systems allow 255 bytes, some encrypted ones 143.
_LONGEST_VALUE = 120


def path_of(key: SeriesKey, file_format: str) -> str:
    """Return the path of a series in the folder. Source and symbol are written as in the view `ohlcv_data`.

    >>> from lumibot_duckdb.storage.api import AssetKey
    >>> path_of(SeriesKey(AssetKey("BTC", "crypto", "USD"), "ccxt", "minute"), "parquet")
    'source=ccxt/timeframe=minute/asset_type=crypto/symbol=BTC%2FUSD/bars-217dfbe7a8a67924.parquet'
    """
    partitions = {
        "source": f"{key.source}:{key.adjustment}" if key.adjustment else key.source,
        "timeframe": key.timeframe,
        "asset_type": key.asset.asset_type,
        "symbol": published_name(key.asset),
    }
    folders = [f"{name}={_encoded(value)}" for name, value in partitions.items()]
    return "/".join([*folders, f"bars-{_digest(key)}.{file_format}"])


def _encoded(value: str) -> str:
    """Return a value as Hive writes it, which readers decode: any name is safe on any file system."""
    text = quote(value, safe="")
    if text.endswith("."):  # which Windows would drop
        text = text[:-1] + "%2E"
    if len(text) <= _LONGEST_VALUE:
        return text
    cut = re.sub(r"%.?$", "", text[:_LONGEST_VALUE])
    while not _is_text(cut):
        cut = cut[:-3]
    return f"{cut}~{hashlib.blake2b(value.encode(), digest_size=4).hexdigest()}"


def _is_text(encoded: str) -> bool:
    """Return whether no character is cut in the middle of its bytes."""
    try:
        unquote(encoded, errors="strict")
    except UnicodeDecodeError:
        return False
    return True


def _digest(key: SeriesKey) -> str:
    """Return a digest of the whole identity, so that two series never share a file, on any file system."""
    identity = json.dumps(key_fields(key), sort_keys=True)
    return hashlib.blake2b(identity.encode(), digest_size=8).hexdigest()
