"""The bars of all benchmarks: generated minute bars for 2022 and 2023, made once per run and kept in its folder."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from lumibot_duckdb.demo.job import SOURCE
from lumibot_duckdb.demo.market import symbol_names, us_stock_bars

if TYPE_CHECKING:
    import pandas as pd

    from lumibot_duckdb.duckdb_storage import DuckDBDataStorage

FIRST_DAY, LAST_DAY = date(2022, 1, 1), date(2024, 1, 1)
SYMBOLS = 20


@dataclass(frozen=True)
class Workplace:
    """The folder of one run. Its contents are made on first use."""

    folder: Path

    def frame(self, symbol: str, first: date = FIRST_DAY) -> pd.DataFrame:
        """Return minute bars for a symbol, by default two years. They are the same in every run and process."""
        return us_stock_bars(symbol, first, LAST_DAY)

    def frames(self, symbols: int = SYMBOLS, first: date = FIRST_DAY) -> Iterator[tuple[str, pd.DataFrame]]:
        """Yield symbols and their bars."""
        for symbol in symbol_names(symbols):
            yield symbol, self.frame(symbol, first)

    def parquet_folder(self, symbols: int = SYMBOLS, first: date = FIRST_DAY) -> Path:
        """Return a folder with one snappy-compressed `<symbol>.parquet` for each symbol."""

        def fill(folder: Path) -> None:
            for symbol, frame in self.frames(symbols, first):
                frame.to_parquet(folder / f"{symbol}.parquet")

        return self.made_once(named(f"parquet-{symbols}", first), fill)

    def store_path(self, symbols: int = SYMBOLS, first: date = FIRST_DAY) -> Path:
        """Return a store with the bars of `symbols` symbols, written in order."""

        def fill(folder: Path) -> None:
            storage = open_store(folder / "bars.duckdb")
            for symbol, frame in self.frames(symbols, first):
                storage.store_ohlcv_data(symbol, frame, SOURCE, "minute")
            storage.close()

        return self.made_once(named(f"store-{symbols}", first), fill) / "bars.duckdb"

    def made_once(self, name: str, fill: Callable[[Path], object]) -> Path:
        """Return a folder with this name. On first use, `fill` fills it, completely or not at all."""
        folder = self.folder / name
        if not folder.exists():
            unfinished = self.folder / f"{name}.unfinished"
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir()
            fill(unfinished)
            unfinished.rename(folder)
        return folder


def named(name: str, first: date) -> str:
    """Return the name of a folder with bars since a day."""
    return name if first == FIRST_DAY else f"{name}-since-{first.year}"


def open_store(path: Path) -> DuckDBDataStorage:
    from lumibot_duckdb.duckdb_storage import DuckDBDataStorage

    return DuckDBDataStorage(path)


def bytes_in(path: Path) -> int:
    """Return the size of a file, or the total size of the files under a folder."""
    if path.is_file():
        return path.stat().st_size
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
