"""What is known of a published snapshot that was downloaded: a small file beside it says it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

FACTS = "downloaded-snapshot.json"


@dataclass(frozen=True, slots=True)
class DownloadedSnapshot:
    """A snapshot on this machine.

    Attributes:
        location: where it was published.
        as_of: the moment whose bars it has (UTC).
        size: the bytes of its file.
        mtime_ns: when the file was last written, by which a change is noticed.
    """

    location: str
    as_of: datetime
    size: int
    mtime_ns: int

    def write(self, file: Path) -> None:
        """Write this beside the file of the snapshot."""
        facts = {"location": self.location, "as_of": self.as_of.isoformat()}
        text = json.dumps({**facts, "size": self.size, "mtime_ns": self.mtime_ns}, indent=2)
        file.with_name(FACTS).write_text(text + "\n", "utf-8")


def snapshot_at(file: Path) -> DownloadedSnapshot | None:
    """Return what is known of a downloaded snapshot, given its file; None for any other file."""
    try:
        facts = json.loads(file.with_name(FACTS).read_bytes())
        moment = datetime.fromisoformat(facts["as_of"])
        return DownloadedSnapshot(facts["location"], moment, facts["size"], facts["mtime_ns"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
