"""How long `verify` takes, and its memory."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter

from benchmarks.bars import Workplace, open_store
from benchmarks.measure import Row, Sample
from benchmarks.process import run_apart
from lumibot_duckdb.comparison.memory import peak_resident_bytes

_SYMBOLS = 100
_SECONDS, _MEGABYTES = 20, 500
_REPEATS = 3


def hundred_symbols(workplace: Workplace) -> list[Row]:
    """All checks of a store, bars included: 100 symbols with two years of minutes."""
    store = workplace.store_path(_SYMBOLS)
    measured = [run_apart("verification.check", store=str(store)) for _ in range(_REPEATS)]
    rows = measured[0]["rows"]
    seconds = Sample.of(each["seconds"] for each in measured)
    megabytes = Sample.of(each["megabytes"] for each in measured)
    what = f"{rows / 1e6:.0f} M bars: verify, with the checks of bars"
    note = "Every value is read from the disk and compared with its checksum."
    return [
        Row(what, "s", "-", seconds, budget=f"under {_SECONDS} s", met=seconds.median < _SECONDS, note=note),
        Row(
            f"{what}: peak memory of the process",
            "MB",
            "-",
            megabytes,
            budget=f"under {_MEGABYTES} MB",
            met=megabytes.median < _MEGABYTES,
        ),
    ]


def check(store: str) -> dict[str, float]:
    """Verify a store; return how many bars it has, the seconds, and the megabytes of this process at most."""
    storage = open_store(Path(store))
    started = perf_counter()
    report = storage.verify(storage.list_series())
    seconds = perf_counter() - started
    storage.close()
    assert report.sound
    return {
        "rows": report.rows,
        "seconds": seconds,
        "megabytes": peak_resident_bytes() / 1e6,
    }
