"""Harmful pickles are refused before anything in them runs; all other problems raise our errors."""

from __future__ import annotations

import copyreg
import functools
import os
import pickle
import random
import subprocess
import tarfile
import tracemalloc
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st
from lumibot.tools.yahoo_helper import _YahooData

from hypothesis_settings import examples
from lumibot_duckdb.sources.shared.old_cache.errors import MigrationError, RefusedFileError, UnreadableFileError
from lumibot_duckdb.sources.yahoo.old_cache.pickled_frames import yahoo_pickle
from lumibot_duckdb.sources.yahoo.old_cache.reader import YahooReader

ARCHIVES = sorted((Path(__file__).parents[3] / "migration" / "data").glob("*.tar.xz"))
PROTOCOLS = range(6)


class Calls:
    """Pickles as a call of something, with a state if there is one."""

    def __init__(self, of: Any, *arguments: Any, state: Any = None) -> None:
        self.call = (of, arguments) if state is None else (of, arguments, state)

    def __reduce__(self) -> Any:
        return self.call


def yahoo_data(data: Any) -> Any:
    """Return what Lumibot pickles."""
    return _YahooData("SPY", "1d", data)


def frame() -> pd.DataFrame:
    index = pd.date_range("2024-01-02", periods=5, tz="America/New_York")
    names = ("Open", "High", "Low", "Close", "Adj Close", "Volume", "Dividends", "Stock Splits")
    return pd.DataFrame({name: np.arange(5.0) for name in names}, index=index)


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    return tmp_path / "canary"


def hostile(canary: Path) -> dict[str, Any]:
    """Return things that make a file when they are unpickled."""
    touch, python = f"touch {canary}", f"open({str(canary)!r}, 'w').close()"
    evil = Calls(os.system, touch)
    spoiled = frame()
    spoiled.attrs = {"note": evil}
    objects = frame().assign(Open=np.array([evil] * 5, dtype=object))
    return {
        "os.system": evil,
        "builtins.eval": Calls(eval, python),
        "builtins.exec": Calls(exec, python),
        "subprocess": Calls(subprocess.check_call, ["touch", str(canary)]),
        "within Lumibot's own class": yahoo_data(evil),
        "in a table's attributes": yahoo_data(spoiled),
        "in a table's cells": yahoo_data(objects),
        "a partial": Calls(functools.partial, os.system, touch),
        "as the argument of an allowed one": Calls(slice, 0, Calls(os.system, touch)),
        "as a state": Calls(np.dtype, "f8", state=(3, "<", None, None, None, -1, -1, evil)),
        "pandas' own loader": Calls(pd.eval, f"@pd.io.common.os.system({touch!r})"),
        "numpy's own tools": Calls(np.save, str(canary), np.zeros(1)),
        "copyreg": Calls(copyreg._reconstructor, list, object, evil),
    }


RUNS = [name for name in hostile(Path("x")) if name not in ("a partial", "pandas' own loader")]


@pytest.mark.parametrize("name", hostile(Path("x")))
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_hostile_pickle_is_refused_and_nothing_of_it_runs(name: str, protocol: int, canary: Path) -> None:
    content = pickle.dumps(hostile(canary)[name], protocol)
    if name in RUNS:
        with suppress(Exception):  # it does harm where it is unpickled
            pickle.loads(content)
        made = [path for path in canary.parent.iterdir() if path.name.startswith("canary")]
        assert made
        for path in made:
            path.unlink()
    with pytest.raises(RefusedFileError):
        yahoo_pickle(content).frame()
    assert not list(canary.parent.iterdir())


@pytest.mark.parametrize(
    "content",
    [
        b"(S'touch {}'\nios\nsystem\n.",
        b"(cos\nsystem\nS'touch {}'\no.",
        b"cos\nsystem\n(S'touch {}'\ntR.",
        b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x07touch {}\x85R.",
        b"\x80\x02\x82\x01.",
        b"\x80\x02\x83\x01\x00.",
        b"Pwhatever\n.",
        b"\x80\x02]Q.",
        b"\x80\x05\x97.",
        b"\x80\x04\x8c\x08builtins\x8c\x07getattr\x93.",
        b"\x80\x04\x8c\x05numpy\x8c\x04load\x93.",
        b"\x80\x04\x8c\x06pandas\x8c\x0bread_pickle\x93.",
        b"\x80\x04\x8c\x10pandas.io.pickle\x8c\x0bread_pickle\x93.",
        b"\x80\x04\x8c\x15numpy.core.multiarray\x8c\x18_reconstruct.__globals__\x93.",
    ],
)
def test_instructions_and_names_that_none_needs_are_refused(content: bytes, canary: Path) -> None:
    with pytest.raises(RefusedFileError):
        yahoo_pickle(content.replace(b"{}", str(canary).encode()) if b"S'" in content else content)
    assert not canary.exists()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b".",
        b"\x80\x04",
        b"\x80\x04N.",
        b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\x7f.",
        b"\x80\x04r\xff\xff\xff\x7f.",
        b"\x80\x04Nr\xff\xff\xff\x7fj\xff\xff\xff\x7f.",
        b"\x80\x04))\x81b.",
        b"(((((.",
        b"\x80\x04" + b"(" * 300_000,
        b"N" * 100_000 + b"0" * 100_000 + b".",
    ],
)
def test_what_is_no_pickle_of_lumibots_is_unreadable(content: bytes) -> None:
    with pytest.raises((UnreadableFileError, RefusedFileError)):
        yahoo_pickle(content).frame()


def test_keys_that_take_for_ever_to_hash_are_unreadable() -> None:
    pairs = (b"\x94h" + bytes([n]) + b"h" + bytes([n]) + b"\x86" for n in range(200))  # (((), ()), ((), ())), …
    doubled = b"\x80\x04})" + b"".join(pairs) + b"Ns."
    with pytest.raises(UnreadableFileError):
        yahoo_pickle(doubled)


def test_the_table_of_a_pickle_is_the_one_that_was_pickled() -> None:
    expected = frame().assign(Volume=np.arange(5), Flag=[True, False] * 2 + [True])
    for protocol in (3, 4, 5):
        content = pickle.dumps(yahoo_data(expected), protocol)
        found = yahoo_pickle(content).frame()
        assert str(found.index.tz) == "America/New_York"  # type: ignore[attr-defined]
        both = [table.tz_convert("UTC") for table in (found, expected)]
        pd.testing.assert_frame_equal(*both, check_exact=True, check_freq=False)


def table_with_one_array(rows: int, columns: int) -> pd.DataFrame:
    """Return a table whose columns are all the same array, which a pickle contains once."""
    from pandas.core.internals.blocks import BlockPlacement, new_block
    from pandas.core.internals.managers import BlockManager

    values = np.zeros((1, rows))
    blocks = [new_block(values, placement=BlockPlacement(slice(n, n + 1)), ndim=2) for n in range(columns)]
    names = pd.Index([f"column {n}" for n in range(columns)], dtype=object)
    index = pd.date_range("1990-01-01", periods=rows, freq="min", tz="UTC")
    manager = BlockManager(tuple(blocks), [names, index])  # type: ignore[arg-type]
    return pd.DataFrame._from_mgr(manager, axes=manager.axes)  # type: ignore[no-any-return, attr-defined]


def test_a_small_file_that_describes_a_huge_table_is_unreadable() -> None:
    content = pickle.dumps(yahoo_data(table_with_one_array(rows=400_000, columns=1_000)))
    assert len(content) < 8_000_000
    pickled = yahoo_pickle(content)
    tracemalloc.start()
    with pytest.raises(UnreadableFileError, match="would take more than 33,554,432 bytes"):
        pickled.frame()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 64 * 2**20
    small = pickle.dumps(yahoo_data(table_with_one_array(rows=1_000, columns=20)))
    assert yahoo_pickle(small).frame().shape == (1_000, 20)


# -- random bytes, and real ones changed at random ------------------------------------------------------------


def real_pickles() -> Iterator[bytes]:
    for archive in ARCHIVES:
        with tarfile.open(archive) as files:
            for member in files:
                if member.name.endswith(".pickle"):
                    opened = files.extractfile(member)
                    assert opened is not None
                    yield opened.read()


REAL = list(real_pickles())


def fails_well(content: bytes) -> None:
    try:
        pickled = yahoo_pickle(content)
        pickled.info()
        pickled.frame()
    except MigrationError:
        pass


@examples(50, suppress_health_check=list(HealthCheck))
@given(st.binary(max_size=400))
def test_random_bytes_end_in_an_error_of_ours(content: bytes) -> None:
    fails_well(b"\x80\x04" + content)
    fails_well(content)


@examples(50, suppress_health_check=list(HealthCheck))
@given(st.randoms(use_true_random=False))
def test_real_pickles_changed_at_random_end_in_an_error_of_ours(chance: random.Random) -> None:
    content = bytearray(chance.choice(REAL))
    for _ in range(chance.randint(1, 8)):
        place = chance.randrange(len(content))
        way = chance.randrange(3)
        if way == 0:
            content[place] = chance.randrange(256)
        elif way == 1:
            del content[place : place + chance.randint(1, 40)]
        else:
            content[place:place] = bytes(chance.randrange(256) for _ in range(chance.randint(1, 6)))
    fails_well(bytes(content))


@pytest.mark.parametrize("content", [b"", b"no pickle", REAL[0][:-500], bytes(1_000)])
def test_a_damaged_file_has_a_reason(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "yahoo").mkdir()
    path = tmp_path / "yahoo" / "AAA_1d.pickle"
    path.write_bytes(content)
    reader = YahooReader(tmp_path)
    assert list(reader.files()) == [path]
    with pytest.raises((UnreadableFileError, RefusedFileError)):
        reader.read(path)


def test_a_file_of_another_symbol_is_not_what_its_name_says(tmp_path: Path) -> None:
    (tmp_path / "yahoo").mkdir()
    path = tmp_path / "yahoo" / "XYZ_1d.pickle"
    path.write_bytes(pickle.dumps(yahoo_data(frame())))
    with pytest.raises(UnreadableFileError, match="1d of 'SPY'"):
        YahooReader(tmp_path).read(path)
