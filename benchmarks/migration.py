"""Bringing Lumibot's Polygon cache into a store, with the command that people run, in a process of its own."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

from benchmarks.bars import SYMBOLS, Workplace, bytes_in
from benchmarks.measure import Row, Sample
from benchmarks.polygon.bars import SOURCE, bar_files, lumibot_cache, rows_in, store_settings
from benchmarks.process import run_apart

_COPIES = 10


def polygon_files(workplace: Workplace, copies: int = _COPIES) -> list[Row]:
    """A cache of two hundred symbols with two years of minutes each: a dry run, the run, and the run again."""
    cache = _cache(workplace, copies)
    bars = bar_files(cache)
    rows = rows_in(bars)
    with TemporaryDirectory(dir=workplace.folder) as folder:
        store = Path(folder) / "bars.duckdb"
        looked = _run(cache, store, "--dry-run")
        moved = _run(cache, store)
        again = _run(cache, store)
        size = bytes_in(store)
    what = f"migrate {len(bars)} Polygon files of two years of minutes ({rows / 1e6:.0f} M bars)"
    return [
        Row(what, "s", "", Sample.of([moved["seconds"]]), note=_note(rows, moved["seconds"], size, bytes_in(cache))),
        Row("the same at its peak, imports included", "MB", "", Sample.of([moved["peak"]], 1e-6)),
        Row("a dry run before", "s", "", Sample.of([looked["seconds"]])),
        Row("the same command again, nothing new", "s", "", Sample.of([again["seconds"]])),
    ]


def _note(rows: int, seconds: float, size: int, cache: int) -> str:
    return (
        f"{rows / seconds / 1e6:.2f} M bars a second, each file read, stored, read back and compared; "
        f"{cache / 1e6:,.0f} MB of files became a store of {size / 1e6:,.0f} MB; the files are those of "
        f"{SYMBOLS} symbols, each under several names"
    )


def _cache(workplace: Workplace, copies: int) -> Path:
    """Return Lumibot's cache folder with its files under several names each; the copies take no space."""
    made = lumibot_cache(workplace)

    def fill(folder: Path) -> None:
        (folder / SOURCE).mkdir()
        for file in made.glob(f"{SOURCE}/*.parquet"):
            for copy in range(copies):
                os.link(file, folder / SOURCE / file.name.replace("_SIM", f"_S{chr(ord('A') + copy)}M", 1))

    return workplace.made_once(f"polygon-cache-{copies}-fold", fill)


def _run(cache: Path, store: Path, *options: str) -> dict[str, float]:
    arguments = ["migrate", "--from", str(cache), *options]
    return dict(run_apart("migration.command", settings=store_settings(store), arguments=arguments))


def command(arguments: list[str]) -> dict[str, float]:
    """Run the command; return the seconds that it took, imports included, and the bytes that the process held."""
    started = perf_counter()
    from lumibot_duckdb.cli.main import main
    from lumibot_duckdb.comparison.memory import peak_resident_bytes

    if code := main(arguments):
        raise AssertionError(f"{' '.join(arguments)} ended with {code}")
    return {"seconds": perf_counter() - started, "peak": peak_resident_bytes()}
