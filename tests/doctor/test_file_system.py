"""The kind of file system under a folder, and its locks."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

import pytest

from lumibot_duckdb.doctor.file_system import is_shared, kind_of, lock_error


def mounts(folder: Path, *points: tuple[Path, str]) -> Path:
    lines = ["22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw"]
    lines += [
        f"{number} 22 0:45 / {str(point).replace(' ', chr(92) + '040')} rw shared:9 master:1 - {kind} server:/x rw"
        for number, (point, kind) in enumerate(points, start=30)
    ]
    file = folder / "mountinfo"
    file.write_text("\n".join(lines) + "\n")
    return file


def test_the_innermost_mount_counts(tmp_path: Path) -> None:
    inner = tmp_path / "a folder" / "deep"
    inner.mkdir(parents=True)
    table = mounts(tmp_path, (tmp_path, "xfs"), (tmp_path / "a folder", "nfs4"), (tmp_path / "a", "cifs"))
    assert kind_of(inner, table) == "nfs4"
    assert kind_of(tmp_path, table) == "xfs"
    assert kind_of(tmp_path.parent, table) == "ext4"


def test_an_unknown_system_has_no_kind(tmp_path: Path) -> None:
    assert kind_of(tmp_path, tmp_path / "no such file") is None


def test_network_file_systems_are_known() -> None:
    assert all(map(is_shared, ("nfs", "cifs", "9p", "fuse.sshfs")))
    assert not any(map(is_shared, ("ext4", "apfs", "tmpfs", "overlay")))


def test_locks_are_tried_and_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert lock_error(tmp_path) is None

    def refuse(*arguments: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    assert lock_error(tmp_path) == os.strerror(errno.ENOLCK)
    assert list(tmp_path.iterdir()) == []
