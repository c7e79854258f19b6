"""The manifest of a published snapshot: a small JSON object that points to the data, and says what it is.

Anyone who can write to the bucket can write a manifest, so nothing in it is trusted: the data must be an object beside
it.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, TypeGuard

from lumibot_duckdb.storage.errors import PublishedSnapshotError, StoreVersionError

MANIFEST = "lumibot-duckdb-snapshot.json"
"""The name of the manifest, which every publication replaces."""
MOST_BYTES = 2**16
DATA_PREFIX = "snapshot-"
"""What the names of data objects begin with."""

_FORMAT = 1
_DATA = re.compile(r"snapshot-\d{8}T\d{6}Z-[0-9a-f]{12}-[0-9a-f]{8}\.duckdb")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_REMEDY = "publish the snapshot again with `lumibot-duckdb publish`"


@dataclass(frozen=True, slots=True)
class Manifest:
    """What is known of a published snapshot.

    Attributes:
        data: the name of the object with the bars, beside the manifest.
        size: its bytes.
        sha256: its digest, in hexadecimal.
        as_of: the moment whose bars it has (UTC).
        schema: the schema of the store in it.
        series: how many series it has.
        rows: how many bars.
        package: the release of lumibot-duckdb that published it.
        duckdb: the release of DuckDB that wrote it.
    """

    data: str
    size: int
    sha256: str
    as_of: datetime
    schema: int
    series: int
    rows: int
    package: str
    duckdb: str

    def to_json(self) -> bytes:
        """Return the manifest as JSON."""
        fields: dict[str, Any] = {name: getattr(self, name) for name in self.__slots__}
        fields["as_of"] = self.as_of.astimezone(timezone.utc).isoformat()
        return json.dumps({"format": _FORMAT, **fields}, indent=2).encode() + b"\n"


def data_name(published_at: datetime, sha256: str, unique: str) -> str:
    """Return the name of a data object, which no other publication uses. `unique` is eight hexadecimal digits."""
    return f"{DATA_PREFIX}{published_at.astimezone(timezone.utc):%Y%m%dT%H%M%SZ}-{sha256[:12]}-{unique}.duckdb"


def is_data_name(name: object) -> bool:
    """Return whether a name is that of a data object."""
    return isinstance(name, str) and _DATA.fullmatch(name) is not None


def read_manifest(content: bytes, location: str, newest_schema: int) -> Manifest:
    """Return the manifest in JSON from `location`.

    Raises `StoreVersionError` if a newer release wrote it, and `PublishedSnapshotError` for anything that is not one.
    """
    try:
        fields = json.loads(content)
    except (ValueError, RecursionError):
        raise _unusable(location, "it is not JSON") from None
    if not isinstance(fields, dict):
        raise _unusable(location, "it is not a JSON object")
    version = fields.get("format")
    if _is_count(version) and version > _FORMAT:
        raise _newer(location, fields, f"manifest format {version}; this release knows {_FORMAT}")
    if version != _FORMAT:
        raise _unusable(location, f"its format is {version!r}"[:100])
    manifest = _checked(fields, location)
    if manifest.schema > newest_schema:
        raise _newer(location, fields, f"schema {manifest.schema}; this release knows up to {newest_schema}")
    return manifest


def _checked(fields: dict[str, Any], location: str) -> Manifest:
    if not is_data_name(fields.get("data")):
        raise _unusable(location, f"its data {fields.get('data')!r:.100} is not the name of an object beside it")
    if not (isinstance(fields.get("sha256"), str) and _DIGEST.fullmatch(fields["sha256"])):
        raise _unusable(location, "its sha256 is not a digest")
    for name in ("size", "schema", "series", "rows"):
        if not _is_count(fields.get(name)):
            raise _unusable(location, f"its {name} is {fields.get(name)!r:.100}, not a number")
    try:
        as_of = datetime.fromisoformat(fields["as_of"])
        if as_of.tzinfo is None:
            raise ValueError
    except (KeyError, TypeError, ValueError):
        raise _unusable(location, f"its as_of is {fields.get('as_of')!r:.100}, not a time with an offset") from None
    kept = {name: fields[name] for name in ("data", "size", "sha256", "schema", "series", "rows")}
    package, duckdb = (str(fields.get(name, ""))[:100] for name in ("package", "duckdb"))
    return Manifest(**kept, as_of=as_of.astimezone(timezone.utc), package=package, duckdb=duckdb)


def _is_count(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def _unusable(location: str, why: str) -> PublishedSnapshotError:
    return PublishedSnapshotError(f"the manifest {location}/{MANIFEST} cannot be used: {why}; {_REMEDY}")


def _newer(location: str, fields: dict[str, Any], what: str) -> StoreVersionError:
    return StoreVersionError(
        f"the snapshot at {location} was published by a newer release of lumibot-duckdb "
        f"({str(fields.get('package', 'unknown'))[:100]}; {what}): upgrade the package"
    )
