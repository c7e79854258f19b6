"""How many bytes a stored bar takes, against the files that Lumibot and its users keep."""

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

# Each as pandas writes it by default, which is how Lumibot's caches are written.
_FORMATS: dict[str, tuple[float, str, Callable[[pd.DataFrame, Path], None]]] = {
    "Feather": (2.5, "60 % less", lambda bars, path: bars.reset_index().to_feather(path)),
    "CSV": (2.5, "60 % less", lambda bars, path: bars.to_csv(path)),
    "pickle": (2.5, "60 % less", lambda bars, path: bars.to_pickle(path)),
    "Parquet (snappy)": (2.0, "50 % less", lambda bars, path: bars.to_parquet(path)),
}

_WHY_SHORT = (
    "column by column, our bytes are about 4.2 for the four prices, 2.2 for volume and 2.2 for time (a night sets the "
    "width for the 2,048 bars around it); columns without values take none. Row groups that series share would save "
    "0.1 to 0.3 and slow short reads by a tenth; row groups twice as large, 0.35 and double what a short read scans; "
    "times in whole minutes, 0.7 and lose the seconds. All of it together would be 7.5"
)


def bytes_a_bar(workplace: Workplace) -> list[Row]:
    """Twenty symbols in one store as written, against a file a symbol in each format."""
    rows = sum(len(frame) for _, frame in workplace.frames())
    ours = Sample.of([bytes_in(workplace.store_path().parent) / rows])
    note = f"after `compact` the store takes {compacted_bytes(workplace.store_path()) / rows:.2f} bytes a bar"
    what = f"bytes on disk a bar, {SYMBOLS} symbols x 2 years"
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
            why_short=_WHY_SHORT,
        )
        for name, (at_least, budget, write) in _FORMATS.items()
    ]


def _file_bytes(frame: pd.DataFrame, write: Callable[[pd.DataFrame, Path], None]) -> int:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "bars"
        write(frame, path)
        return path.stat().st_size


def compacted_bytes(store: Path) -> int:
    """Return what a copy of this store takes after `compact`."""
    with TemporaryDirectory(dir=store.parent.parent) as folder:
        copy = Path(folder) / "bars.duckdb"
        shutil.copy(store, copy)
        storage = open_store(copy)
        storage.compact()
        storage.close()
        return bytes_in(copy)
