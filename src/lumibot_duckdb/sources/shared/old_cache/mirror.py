"""What becomes of Lumibot's mirror of its cache in an S3 bucket: told, since this package has nothing to do with it.

Just the mark that it leaves beside a file matters, since the time of such a file may be that of its copying.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

_OFF = ("", "disabled", "off", "local")


def marker_of(path: Path) -> Path:
    """Return what Lumibot leaves beside a file that it has copied out of the bucket, or into it."""
    return path.with_name(path.name + ".s3key")


def notice(environment: Mapping[str, str]) -> str | None:
    """Return what to know, by Lumibot's environment variables; None if the mirror is off."""
    backend, mode, bucket = (
        environment.get(f"LUMIBOT_CACHE_{name}", "").strip() for name in ("BACKEND", "MODE", "S3_BUCKET")
    )
    if backend.lower() != "s3" or mode.lower() in _OFF:
        return None
    return f"""\
Lumibot mirrors parts of its cache in an S3 bucket, {bucket or "which has no name"} (LUMIBOT_CACHE_BACKEND=s3):
- Only the files of this folder are brought in. What lies in the bucket alone is not: Lumibot downloads it when a
  backtest needs it. Run such a backtest on Lumibot once, and `lumibot-duckdb migrate` again.
- A copy does not tell when its bars were downloaded: its last one may not have been over, and is left out.
- Sources on the store neither read the bucket nor write to it.
- Nothing is deleted in the bucket, --delete-verified or not; Lumibot may download from there what was deleted here."""
