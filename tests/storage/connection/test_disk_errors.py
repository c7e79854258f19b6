"""What an error of the disk means for the user."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import duckdb
import pytest

from lumibot_duckdb.storage.connection.disk_errors import disk_error, is_full, writing
from lumibot_duckdb.storage.errors import DiskFullError, StoreDamagedError, StoreWriteError

pytestmark = pytest.mark.older_duckdb

FULL = duckdb.IOException('IO Error: Could not write file "/data/s.duckdb.wal": No space left on device')
FAILED = duckdb.IOException('IO Error: Could not write file "/data/s.duckdb.wal": Input/output error')


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (FULL, True),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/data/x"), True),
        (OSError(errno.EDQUOT, os.strerror(errno.EDQUOT)), True),
        (OSError("[Errno 28] Error writing bytes to file. Detail: [errno 28] No space left on device"), True),
        (DiskFullError("any words"), True),
        (FAILED, False),
        (duckdb.CatalogException("Table missing\nLINE 1: SELECT 'No space left on device'"), False),
        (StoreWriteError("the disk is full or failed"), False),
    ],
)
def test_a_full_disk_is_recognized(error: Exception, expected: bool) -> None:
    assert is_full(error) == expected
    assert isinstance(disk_error(error, "nothing was stored"), DiskFullError) == expected


def test_a_full_disk_names_the_file_and_the_remedy() -> None:
    error = disk_error(FULL, "nothing was stored in /data/s.duckdb")
    assert str(error) == (
        "the disk is full, and nothing was stored in /data/s.duckdb: there is no space for /data/s.duckdb.wal. "
        "Free some space and try again"
    )
    assert error.cause == "the disk is full: there is no space for /data/s.duckdb.wal"


def test_a_disk_that_failed_has_the_reason() -> None:
    error = disk_error(OSError(errno.EIO, os.strerror(errno.EIO)), "the store is unchanged")
    assert str(error) == (
        "the disk is full or failed, and the store is unchanged: Input/output error. Check the disk and try again"
    )


def test_a_folder_that_can_only_be_read_is_no_full_disk() -> None:
    for number in (errno.EROFS, errno.EACCES):
        error = disk_error(OSError(number, os.strerror(number), "/data/exports/.new"), "nothing was exported")
        assert str(error) == (
            f"/data/exports is not writable, and nothing was exported: {os.strerror(number)}. "
            "Make it writable, or choose another folder"
        )


def test_how_much_space_is_needed_is_only_said_of_the_disk_that_is_full(tmp_path: Path) -> None:
    here = OSError(errno.ENOSPC, "No space left on device", str(tmp_path / "copy"))
    there = OSError(errno.ENOSPC, "No space left on device", "/elsewhere/temporary")
    needs = (2_500_000, tmp_path)
    assert "this takes about 2.5 MB, and " in str(disk_error(here, "nothing was copied", needs=needs))
    assert f" MB are free in {tmp_path}" in str(disk_error(here, "nothing was copied", needs=needs))
    assert "there is no space for /elsewhere/temporary" in str(disk_error(there, "nothing was copied", needs=needs))


@pytest.mark.parametrize(
    ("raised", "expected", "message"),
    [
        (FULL, DiskFullError, "the disk is full, and nothing was copied"),
        (FAILED, StoreWriteError, "the disk is full or failed, and nothing was copied"),
        (DiskFullError("the disk is full, and nothing was folded"), DiskFullError, "and nothing was copied"),
        (StoreDamagedError("a block is damaged"), StoreDamagedError, "a block is damaged"),
        (FileExistsError("there is one"), FileExistsError, "there is one"),
        (duckdb.InterruptException("Interrupted!"), KeyboardInterrupt, "^$"),
    ],
)
def test_what_is_raised_while_files_are_written(raised: Exception, expected: type[BaseException], message: str) -> None:
    with pytest.raises(expected, match=message), writing("nothing was copied"):
        raise raised
