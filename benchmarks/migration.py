"""`lumibot-duckdb migrate` on a Polygon cache of Lumibot's, in a separate process."""

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
    """Time and memory of `migrate` for a Polygon cache of 200 symbols with two years of minutes each."""
    cache = _cache(workplace, copies)
    bars = bar_files(cache)
    rows = rows_in(bars)
    with TemporaryDirectory(dir=workplace.folder) as folder:
        store = Path(folder) / "bars.duckdb"
        looked = _run(cache, store, "--dry-run")
        moved = _run(cache, store)
        again = _run(cache, store)
        size = bytes_in(store)
    what = f"migrate {len(bars)} Polygon files of two years of minutes ({rows / 1e6:.0f} million bars)"
    return [
        Row(what, "s", "", Sample.of([moved["seconds"]]), note=_note(rows, moved["seconds"], size, bytes_in(cache))),
        Row("peak memory of that, imports included", "MB", "", Sample.of([moved["peak"]], 1e-6)),
        Row("`migrate --dry-run`, before", "s", "", Sample.of([looked["seconds"]])),
        Row("`migrate` again, with nothing new", "s", "", Sample.of([again["seconds"]])),
    ]


def _note(rows: int, seconds: float, size: int, cache: int) -> str:
    return (
        f"{rows / seconds / 1e6:.2f} million bars a second. Each file is checked, stored, read back and compared. "
        f"{cache / 1e6:,.0f} MB of files became a store of {size / 1e6:,.0f} MB. The files are copies of those of "
        f"{SYMBOLS} symbols."
    )


def _cache(workplace: Workplace, copies: int) -> Path:
    """Return Lumibot's cache folder with several hard links to each file."""
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
    """Run the command; return its seconds, imports included, and its peak memory in bytes."""
    started = perf_counter()
    from lumibot_duckdb.cli.main import main
    from lumibot_duckdb.comparison.memory import peak_resident_bytes

    if code := main(arguments):
        raise AssertionError(f"{' '.join(arguments)} ended with {code}")
    return {"seconds": perf_counter() - started, "peak": peak_resident_bytes()}
