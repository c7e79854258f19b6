"""The result of one check."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

OK, WARNING, FAILED, SKIPPED = "ok", "warning", "failed", "skipped"
STATUSES = (OK, WARNING, FAILED, SKIPPED)


@dataclass(frozen=True)
class Check:
    """One thing that was checked.

    Parameters:
        name: a stable identifier, the group and the subject ("store.schema").
        status: one of `STATUSES`.
        summary: one sentence without a full stop that says what was found.
        remedy: what to do about it; empty if there is nothing to do.
        details: what was found as JSON values, for programs.
    """

    name: str
    status: str
    summary: str
    remedy: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def group(self) -> str:
        """The part of the name before the first dot."""
        return self.name.partition(".")[0]
