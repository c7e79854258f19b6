"""Reads Parquet and Feather files of an old cache."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow as pa

from lumibot_duckdb.sources.shared.old_cache.errors import UnreadableFileError

_MAGIC = {".parquet": (b"PAR1",), ".feather": (b"ARROW1", b"FEA1")}


def table_files(folder: Path) -> list[Path]:
    """Return the Parquet and Feather files in a folder, sorted by name; none if it does not exist."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.suffix in _MAGIC and path.is_file())


def read_table(path: Path) -> pd.DataFrame:
    """Return the frame in a file that pandas has written. Raises `UnreadableFileError` with the reason."""
    try:
        with path.open("rb") as file:
            begin = file.read(8)
        if not begin:
            raise UnreadableFileError("it is empty")
        if not begin.startswith(_MAGIC[path.suffix]):
            raise UnreadableFileError(f"it is not a {path.suffix[1:].capitalize()} file, despite its name")
        frame: pd.DataFrame = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_feather(path)
        return frame
    except OSError as error:  # pyarrow raises it for damaged files, too
        raise UnreadableFileError(f"it cannot be read: {error.strerror or _first_line(error)}") from None
    except (pa.ArrowException, ValueError, KeyError, TypeError) as error:
        raise UnreadableFileError(f"it is damaged or truncated: {_first_line(error)}") from None


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
