"""New files that replace others: complete before they get their name, and removed if they never get it."""

from __future__ import annotations

import logging
import os
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lumibot_duckdb.storage.connection.lock import is_alive

logger = logging.getLogger(__name__)

_UNFINISHED = re.compile(r"\.(compacting|copying|restoring|salvaging)-(?P<pid>\d+)-.*")


@contextmanager
def unfinished(target: Path, work: str) -> Iterator[Path]:
    """Yield the path for a new file beside `target`, which the block may rename.

    What has the name or begins with it is removed at the end, and before that the files of processes that have ended.
    `work` is "compacting", "copying", "restoring" or "salvaging".
    """
    remove_left_over(target)
    path = target.with_name(f"{target.name}.{work}-{os.getpid()}-{uuid.uuid4().hex[:8]}")
    try:
        yield path
    finally:
        for file in _beginning_with(path):
            with suppress(OSError):
                file.unlink(missing_ok=True)


def put_in_place(unfinished: Path, target: Path) -> None:
    """Give a finished file its name, durably even if the machine loses power now. What it raises changes nothing."""
    _sync(unfinished)
    unfinished.replace(target)
    try:
        _sync(target.parent)
    except OSError as error:
        logger.warning("%s is complete, but a power failure may undo its renaming: %s", target, error.strerror)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_left_over(target: Path) -> None:
    """Remove the unfinished files beside `target` of processes that have ended."""
    for path in _beginning_with(target):
        found = _UNFINISHED.fullmatch(path.name[len(target.name) :])
        if found and not is_alive(int(found["pid"])):
            logger.info("removing %s, which an interrupted program left behind", path)
            with suppress(OSError):
                path.unlink(missing_ok=True)


def _beginning_with(path: Path) -> list[Path]:
    try:
        return [file for file in path.parent.iterdir() if file.name.startswith(path.name)]
    except OSError:
        return []
