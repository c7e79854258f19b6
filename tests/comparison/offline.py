"""Runs a side on a stored provider, without any network; compares cache folders."""

from __future__ import annotations

import datetime as dt
import json
import pickle
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import curl_cffi.requests
import duckdb
import pandas as pd
import pyarrow.parquet as pq

from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.comparison.stored_provider import served_from
from lumibot_duckdb.sources.shared.stored_answers import Unanswered
from parity import ground
from parity.backtests import BacktestResult
from parity.harness import Answer, Request

_MOST_SPANS = 4  # that Lumibot's shared cache was asked for in any of these tests


@dataclass(frozen=True)
class Online:
    """What Lumibot's class did with a provider's server: first, and then on its cache; and what ours stored of it."""

    asked: list[Request]
    first: list[Answer]
    warm: list[Answer]
    trades: BacktestResult
    cache: Path
    store: Path


class NetworkUsedError(AssertionError):
    """Something tried to use the network."""


def _refused(*arguments: Any, **settings: Any) -> Any:
    raise NetworkUsedError(f"a connection was wanted: {arguments[1:]}")


@contextmanager
def no_network() -> Iterator[None]:
    """Refuse every connection, including those of `yfinance`'s HTTP client, which does not use Python's sockets."""
    with (
        mock.patch.object(socket.socket, "connect", _refused),
        mock.patch.object(curl_cffi.requests.Session, "request", _refused),
    ):
        yield


@contextmanager
def offline(
    side: ground.Side, store: Path, sides: Any, redirecting: str, as_of: dt.datetime | None = None
) -> Iterator[Unanswered]:
    """Enter a side's environment without a server: the store at a path answers. Yield the notes of what it lacks.

    It is the default store then. `redirecting` is what in the module of the sides points the clients at a server.
    """
    storage = DuckDBDataStorage(store)
    nowhere: Any = SimpleNamespace(url="", moment=lambda: pd.Timestamp.now("UTC"))
    with (
        mock.patch.object(sides, redirecting, return_value=nullcontext()),
        side.entered(nowhere),
        mock.patch.dict("os.environ", {"LUMIBOT_DUCKDB_PATH": str(store)}),
        no_network(),
        served_from(storage, as_of=as_of) as notes,
    ):
        try:
            yield notes
        finally:
            storage.close()


def written(store: Path) -> dict[str, list[Any]]:
    """Return numbers that change if anything is written to a store."""
    storage = DuckDBDataStorage(store)
    tables = ("ingest", "coverage", "corporate_action_check", "option_chain")
    counted = " UNION ALL ".join(f"SELECT '{table}' AS name, count(*) AS rows FROM {table}" for table in tables)
    found: dict[str, list[Any]] = storage.sql(counted).to_pydict()
    storage.close()
    return found


# -- cache folders --------------------------------------------------------------------------------------------


def assert_same_files(expected: Path, actual: Path, *, without: Mapping[str, list[str]] | None = None) -> int:
    """Compare what the files of two folders hold; return how many there are.

    `without` names columns that are left out, by how the name of a file ends. In Lumibot's shared cache ("bars"), which
    asks for a bar more at both ends of what is needed, those bars may be missing.
    """
    left, right = (
        {str(path.relative_to(folder)): path for path in sorted(folder.rglob("*")) if path.is_file()}
        for folder in (expected, actual)
    )
    assert list(left) == list(right)
    for name, path in left.items():
        read = _READERS.get(path.suffix, Path.read_bytes)
        left_out = [column for end, columns in (without or {}).items() if name.endswith(end) for column in columns]
        there, here = read(path), read(right[name])
        if name.startswith("bars/") and path.suffix == ".parquet":
            assert len(there) - 2 * _MOST_SPANS <= len(here) <= len(there), name
            there = there.loc[here.index]
        _assert_same(there, here, name, left_out)
    return len(left)


def _assert_same(expected: Any, actual: Any, name: str, left_out: list[str]) -> None:
    if isinstance(expected, pd.DataFrame):
        expected, actual = (frame.drop(columns=left_out, errors="ignore") for frame in (expected, actual))
        pd.testing.assert_frame_equal(expected, actual, check_exact=True, obj=name)
    else:
        assert expected == actual, name


def _table(path: Path) -> Any:
    """Return the frame of a Parquet file; an option chain, which is one nested value, as that."""
    return pq.read_table(path).to_pylist() if path.parent.name == "option_chains" else pd.read_parquet(path)


def _pickled(path: Path) -> Any:
    """Return the frame of one of Lumibot's Yahoo pickles; of a symbol's info, what the store keeps of it."""
    data = pickle.loads(path.read_bytes()).data
    if not isinstance(data, dict):
        return data
    info = data["info"] or {}
    return [data["ticker"], data["error"], *(info.get(name) for name in ("market", "exchangeTimezoneName"))]


def _json(path: Path) -> Any:
    """Return what a JSON file says, but for when that was."""
    return {name: value for name, value in json.loads(path.read_text()).items() if name != "verifiedAt"}


def _candles(path: Path) -> pd.DataFrame:
    with duckdb.connect(path, read_only=True) as connection:
        candles = connection.execute("SELECT * FROM candles ORDER BY ALL").df()
        ranges = connection.execute("SELECT start_dt, end_dt FROM cache_dt_ranges ORDER BY ALL").df()
    return pd.concat([candles, ranges], axis=1)


_READERS: dict[str, Callable[[Path], Any]] = {
    ".parquet": _table,
    ".pickle": _pickled,
    ".json": _json,
    ".duckdb": _candles,
}
