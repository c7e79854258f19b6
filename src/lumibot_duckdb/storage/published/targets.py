"""Turns what a user names into the place of a published snapshot: an `s3://` URL, or a folder."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from lumibot_duckdb.storage.published.manifest import MANIFEST

if TYPE_CHECKING:
    from lumibot_duckdb.storage.published.objects import ObjectStore

_S3 = re.compile(r"s3:/{1,2}(?!/)", re.IGNORECASE)  # a Path keeps one slash of two
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9]")
_MOST_PREFIX_BYTES = 900


def is_published(given: str) -> bool:
    """Return whether a location is that of a published snapshot: an `s3://` URL, or a folder that has a manifest."""
    # Unlike `Path.is_file`, this raises no error for a path that cannot be one.
    return is_s3(given) or os.path.isfile(os.path.join(os.path.expanduser(given), MANIFEST))  # noqa: PTH111, PTH113, PTH118


def is_s3(given: str) -> bool:
    """Return whether a location is an `s3://` URL."""
    return _S3.match(given) is not None


def objects_at(given: str) -> ObjectStore:
    """Return the objects at a URL or in a folder, which need not exist. Raises ValueError for an unusable URL."""
    from lumibot_duckdb.storage.published.folder import FolderObjects  # other stores are opened without these
    from lumibot_duckdb.storage.published.s3 import S3Objects

    begin = _S3.match(given)
    if begin is None:
        return FolderObjects(Path(os.path.realpath(Path(given).expanduser())))
    if "@" in given:
        raise ValueError("an s3:// URL must not contain '@': credentials come from the environment or ~/.aws")
    bucket, _, prefix = given[begin.end() :].partition("/")
    if not _BUCKET.fullmatch(bucket):
        raise ValueError(f"{given!r} has no usable bucket name; a location is written as s3://bucket/prefix")
    prefix = prefix.strip("/")
    segments = prefix.split("/") if prefix else []
    if (
        any(segment in ("", ".", "..") for segment in segments)
        or not prefix.isprintable()
        or any(character in prefix for character in "?#\\")
        or len(os.fsencode(prefix)) > _MOST_PREFIX_BYTES
    ):
        raise ValueError(
            f"{given!r} has an unusable prefix: separate printable names by single slashes, without '.', '..', '?', "
            "'#' and backslashes, as in s3://bucket/team/bars"
        )
    return S3Objects(bucket, prefix)
