"""Publishing a store on S3, and opening it on another machine.

The server runs on this machine and shares its cores and its disk, so a network is not measured. `SYMBOLS` in the
environment changes how many symbols there are: 236 have 100 million bars.
"""

from __future__ import annotations

import os
import random
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

from benchmarks.bars import SOURCE, SYMBOLS, Workplace, open_store
from benchmarks.measure import Row, Sample, timed
from benchmarks.process import run_apart
from benchmarks.s3_server import BUCKET, s3_server

_TARGET = f"s3://{BUCKET}/published"
_REPEATS = 3
_TOUCHES, _READS = 20, 40
_CACHE = "LUMIBOT_DUCKDB_SNAPSHOT_CACHE"


def store_on_s3(workplace: Workplace) -> list[Row]:
    """Time to publish a store on an S3 server on this machine, to download it, and to read the snapshot."""
    symbols = int(os.environ.get("SYMBOLS", SYMBOLS))
    store = workplace.store_path(symbols)
    with TemporaryDirectory(dir=workplace.folder) as folder, s3_server(Path(folder) / "server") as server:
        published = [_apart("publish", server, store=str(store)) for _ in range(_REPEATS)]
        downloaded, opened = [], []
        for number in range(_REPEATS):
            cache = {_CACHE: str(Path(folder) / f"cache-{number}")}
            downloaded.append(_apart("open_once", server | cache))
            opened.append(_apart("open_once", server | cache))
        local = {_CACHE: str(Path(folder) / "cache-0")}
        reads = {name: _apart("read", server | local, store=place) for name, place in _places(store)}
        copied = [_apart("copy", server, source=str(store), target=f"{folder}/copy-{n}") for n in range(_REPEATS)]
    bars, size = published[0]["rows"], published[0]["bytes"]
    note = (
        f"{bars:,} bars in {symbols} series, {size / 1e6:,.0f} MB, {size / bars:.2f} bytes per bar. The server shares "
        f"the cores and the disk of this machine; a copy of the file on this disk takes {median(copied):.2f} s."
    )
    what = f"{symbols} symbols x 2 years of minutes"

    def row(name: str, values: list[float], unit: str = "s", scale: float = 1.0, **more: Any) -> Row:
        return Row(f"{name}, {what}", unit, "", Sample.of(values, scale), note=note, **more)

    return [
        row("publish: copying the store", [each["copying"] for each in published]),
        row("publish: digest and upload", [each["uploading"] for each in published]),
        row("first open on a machine: download and check", downloaded),
        row("later open in a new process: the manifest", opened, "ms", 1e3),
        *(
            Row(f"{name}, {what}", "ms", "the store itself", *(Sample.of(reads[side][kind], 1e3) for side in reads))
            for kind, name in (("touch", "first touch of a series of the snapshot"), ("days", "20-day read"))
        ),
    ]


def _places(store: Path) -> list[tuple[str, str]]:
    return [("snapshot", _TARGET), ("store", str(store))]


def _apart(function: str, settings: dict[str, str], **arguments: Any) -> Any:
    return run_apart(f"publishing.{function}", settings=settings, **arguments)


def publish(store: str) -> dict[str, float]:
    """Publish a store; return what was published, and the seconds that its parts took."""
    started, copied = perf_counter(), 0.0

    def on_rows(done: int, total: int) -> None:
        nonlocal copied
        copied = perf_counter()

    report = open_store(Path(store)).publish(_TARGET, on_rows=on_rows)
    ended = perf_counter()
    return {
        "rows": report.rows,
        "bytes": report.bytes,
        "copying": copied - started,
        "uploading": ended - copied,
    }


def open_once() -> float:
    """Open the snapshot; return the seconds that this takes, without imports."""
    import boto3  # noqa: F401

    from lumibot_duckdb.storage.locating import located_store
    from lumibot_duckdb.storage.published import opening  # noqa: F401

    started = perf_counter()
    located_store(_TARGET)
    return perf_counter() - started


def read(store: str) -> dict[str, list[float]]:
    """Return the seconds of the first touches of series, and of reads of 20 days of them."""
    import pandas as pd

    storage = open_store(store)  # type: ignore[arg-type]
    names = [info.key.asset.symbol for info in storage.list_series()]
    chosen = random.Random(1).sample(names, min(_TOUCHES, len(names)))

    def touch(symbol: str) -> None:
        pin = storage.pin(symbol, "minute", SOURCE, as_of=storage.published_as_of)
        storage.outline(pin)
        storage.facts(pin)

    ranges = random.Random(2)

    def read_days() -> None:
        start = pd.Timestamp("2022-01-10", tz="America/New_York") + pd.Timedelta(days=ranges.randrange(680))
        symbol, end = ranges.choice(names), start + pd.Timedelta(days=20)
        storage.get_historical_prices(symbol, start, end, "minute", SOURCE)

    touches = [timed(partial(touch, symbol)) for symbol in chosen]
    return {"touch": touches[1:], "days": [timed(read_days) for _ in range(_READS)]}


def copy(source: str, target: str) -> float:
    """Copy a file on this disk; return the seconds."""
    started = perf_counter()
    Path(target).write_bytes(Path(source).read_bytes())
    with Path(target).open("rb") as file:
        os.fsync(file.fileno())
    taken = perf_counter() - started
    Path(target).unlink()
    return taken
