"""The file system that a store is on: its kind, and whether its locks work."""

from __future__ import annotations

import errno
import re
import tempfile
from pathlib import Path

SHARED = frozenset(
    ("nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "glusterfs", "lustre", "beegfs", "vboxsf", "virtiofs")
)
"""Kinds that several machines may mount at once. A lock may then be invisible to the others."""
_MOUNTS = Path("/proc/self/mountinfo")
_OCTAL = re.compile(r"\\([0-7]{3})")


def kind_of(folder: Path, mounts: Path = _MOUNTS) -> str | None:
    """Return the kind of file system that a folder is on, such as "ext4"; None if it is unknown."""
    try:
        lines = mounts.read_text().splitlines()
    except OSError:
        return None
    real, best, kind = folder.resolve(), -1, None
    for line in lines:
        before, separator, after = line.partition(" - ")
        fields = before.split()
        if not separator or len(fields) < 5:
            continue
        point = Path(_OCTAL.sub(lambda found: chr(int(found[1], 8)), fields[4]))
        if (point == real or point in real.parents) and len(point.parts) >= best:
            best, kind = len(point.parts), after.split()[0]
    return kind


def is_shared(kind: str) -> bool:
    """Return whether several machines may have mounted a file system of this kind."""
    return kind in SHARED or kind.startswith("fuse.")


def lock_error(folder: Path) -> str | None:
    """Return why a file in a writable folder cannot be locked; None if it can be. Leaves no file."""
    try:
        import fcntl
    except ImportError:  # Windows
        return "this platform has no flock"
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return None  # another check reports it
        return error.strerror or str(error)
    return None
