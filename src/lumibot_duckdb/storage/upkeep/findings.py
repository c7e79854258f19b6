"""What a verification finds."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from lumibot_duckdb.storage.api import EpochSeconds, SeriesKey

Severity: TypeAlias = Literal["error", "warning", "info"]
"""`error`: the store is damaged or contradicts itself. `warning`: bars are probably wrong. `info`: they are unusual."""

SEVERITIES: tuple[Severity, ...] = ("error", "warning", "info")
LISTED_BARS = 10
"""So many bars of a finding are listed."""


@dataclass(frozen=True, slots=True)
class FoundBar:
    """A bar of a finding by its start, or the first of a stretch that ends before `end`, and what is wrong there."""

    start: EpochSeconds
    note: str = ""
    end: EpochSeconds | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding of a verification.

    Attributes:
        check: The name of the check.
        severity: "error" (the store is damaged), "warning" (bars are probably wrong) or "info" (unusual, often right).
        what: What was found, in a sentence.
        series: The series; None if it is about none, or about several.
        bars: The first bars or stretches that it is about, at most 10.
        count: How many there are.
        repair: What `repair` or the user can do about it; "" if nothing is known.
        version_id: The version of the series; None if it is about none, or about several.
    """

    check: str
    severity: Severity
    what: str
    series: SeriesKey | None = None
    bars: tuple[FoundBar, ...] = ()
    count: int = 0
    repair: str = ""
    version_id: int | None = None

    @property
    def damage(self) -> bool:
        """Whether the store is damaged; otherwise bars are just implausible."""
        return self.severity == "error"


@dataclass(frozen=True, slots=True)
class VerificationReport:
    """What `verify` checked and found. At most the first 20 findings of a check of the tables are listed."""

    series: int
    rows: int
    findings: list[Finding] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        """Whether nothing is damaged. Implausible bars do not count: they are stored unchanged."""
        return not any(finding.damage for finding in self.findings)

    @property
    def unreadable(self) -> bool:
        """Whether parts of the file cannot be read, so that nothing else was checked."""
        return any(finding.check == "blocks" for finding in self.findings)

    def counts(self) -> dict[Severity, int]:
        """Return how many findings there are of each severity."""
        found = Counter(finding.severity for finding in self.findings)
        return {severity: found[severity] for severity in SEVERITIES}
