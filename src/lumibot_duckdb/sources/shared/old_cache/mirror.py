"""Lumibot's mirror of its cache in an S3 bucket, which this package does not use.

Only the marker file next to a mirrored file matters: the modification time of such a file may be that of its copying.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

_OFF = ("", "disabled", "off", "local")


def marker_of(path: Path) -> Path:
    """Return the path of the marker that Lumibot creates for a file copied from or to the bucket."""
    return path.with_name(path.name + ".s3key")


def notice(environment: Mapping[str, str]) -> str | None:
    """Return a notice about the mirror, from Lumibot's environment variables; None if the mirror is off."""
    backend, mode, bucket = (
        environment.get(f"LUMIBOT_CACHE_{name}", "").strip() for name in ("BACKEND", "MODE", "S3_BUCKET")
    )
    if backend.lower() != "s3" or mode.lower() in _OFF:
        return None
    return f"""\
Lumibot mirrors parts of its cache in an S3 bucket, {bucket or "which has no name"} (LUMIBOT_CACHE_BACKEND=s3):
- Only files in this folder are migrated. Lumibot downloads a file that is only in the bucket when a backtest needs it.
  To migrate such files, run the backtest on Lumibot once, then `lumibot-duckdb migrate` again.
- A copied file does not show when its bars were downloaded. Its last bar may have been incomplete, so it is left out.
- Sources on the store neither read from the bucket nor write to it.
- Nothing is deleted in the bucket, even with --delete-verified. Lumibot may download deleted files from there again."""
