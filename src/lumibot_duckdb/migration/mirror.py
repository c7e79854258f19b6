"""What becomes of Lumibot's mirror of its cache in an S3 bucket: told, since this package has nothing to do with it."""

from __future__ import annotations

from collections.abc import Mapping

_OFF = ("", "disabled", "off", "local")


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
- Sources on the store neither read the bucket nor write to it.
- Nothing is deleted in the bucket, --delete-verified or not; Lumibot may download from there what was deleted here."""
