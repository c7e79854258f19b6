"""Bytes on disk per bar, against common file formats."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from benchmarks.bars import SYMBOLS, Workplace, bytes_in, open_store
from benchmarks.measure import Row, Sample, against

if TYPE_CHECKING:
    import pandas as pd

# With pandas' default settings, which Lumibot's caches use, too.
_FORMATS: dict[str, tuple[float, str, Callable[[pd.DataFrame, Path], None]]] = {
    "Feather": (2.5, "60 % less", lambda bars, path: bars.reset_index().to_feather(path)),
    "CSV": (2.5, "60 % less", lambda bars, path: bars.to_csv(path)),
    "pickle": (2.5, "60 % less", lambda bars, path: bars.to_pickle(path)),
    "Parquet (snappy)": (2.0, "50 % less", lambda bars, path: bars.to_parquet(path)),
}


def bytes_a_bar(workplace: Workplace) -> list[Row]:
    """Disk space per bar: 20 symbols with two years of minutes, in one store or in one file per symbol."""
    rows = sum(len(frame) for _, frame in workplace.frames())
    ours = Sample.of([bytes_in(workplace.store_path().parent) / rows])
    note = (
        f"After `compact` the store takes {compacted_bytes(workplace.store_path()) / rows:.2f} bytes per bar. "
        "About half of that are the four prices, a quarter the volume and a quarter the time."
    )
    what = f"bytes on disk per bar, {SYMBOLS} symbols x 2 years"
    return [
        against(
            what,
            "bytes",
            name,
            ours,
            Sample.of([sum(_file_bytes(frame, write) for _, frame in workplace.frames()) / rows]),
            at_least=at_least,
            budget=budget,
            note=note,
        )
        for name, (at_least, budget, write) in _FORMATS.items()
    ]


def _file_bytes(frame: pd.DataFrame, write: Callable[[pd.DataFrame, Path], None]) -> int:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "bars"
        write(frame, path)
        return path.stat().st_size


def compacted_bytes(store: Path) -> int:
    """Return the size of a compacted copy of a store."""
    with TemporaryDirectory(dir=store.parent.parent) as folder:
        copy = Path(folder) / "bars.duckdb"
        shutil.copy(store, copy)
        storage = open_store(copy)
        storage.compact()
        storage.close()
        return bytes_in(copy)
