"""Files that are written as a whole or not at all."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def write_whole(file: Path, content: bytes) -> None:
    """Write a file. It has the whole content, or what it had before. Raises `OSError`."""
    unfinished = unfinished_file(file)
    try:
        with unfinished.open("xb") as written:
            written.write(content)
            written.flush()
            os.fsync(written.fileno())
        unfinished.replace(file.resolve())
    except BaseException:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)
        raise


def unfinished_file(file: Path) -> Path:
    """Return the file beside another one that has its content until it is complete."""
    real = file.resolve()
    return real.with_name(f"{real.name}.{os.getpid()}.part")
