"""Which kinds of series `live check` has verified, which allows warm-up from them.

This is a file beside the store. It is read before each live read, where a look at the file's time takes microseconds,
and a query would have to wait for the store. A copy of the store on another machine begins without it: another
recorder, or another account, made its bars. If it is lost, strategies get their history from the broker again.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime
from pathlib import Path

from lumibot_duckdb.storage.api import SeriesKey

logger = logging.getLogger(__name__)

_SUFFIX = ".live.json"


@dataclass(frozen=True, order=True)
class SeriesKind:
    """What series have in common that were recorded in the same way."""

    source: str
    timeframe: str
    adjustment: str
    asset_type: str
    exchange: str = ""

    @classmethod
    def of(cls, key: SeriesKey) -> SeriesKind:
        """Return the kind of a series."""
        return cls(key.source, key.timeframe, key.adjustment, key.asset.asset_type, key.asset.exchange)

    def label(self) -> str:
        """Return a name for people: "stock, minute bars from alpaca (all)"."""
        adjusted = f" ({self.adjustment})" if self.adjustment else ""
        place = f" on {self.exchange}" if self.exchange else ""
        return f"{self.asset_type}{place}, {self.timeframe} bars from {self.source}{adjusted}"


@dataclass(frozen=True)
class Verification:
    """A check that found all recorded bars of a kind equal to the provider's.

    Attributes:
        kind: The kind of series.
        verified_at: When (UTC).
        day: The day that was compared.
        series: The number of series.
        bars: The number of bars.
    """

    kind: SeriesKind
    verified_at: datetime
    day: date
    series: int
    bars: int


class VerifiedKinds:
    """The verified kinds of series of a store, in a file beside it. Safe for several threads and processes.

    Parameters:
        store: the path of the store.
    """

    def __init__(self, store: Path) -> None:
        real = Path(os.path.realpath(store))
        self.path = real.with_name(real.name + _SUFFIX)
        self._read: tuple[tuple[int, int], Mapping[SeriesKind, Verification]] | None = None

    def has(self, key: SeriesKey) -> bool:
        """Return whether series of this kind are verified."""
        return SeriesKind.of(key) in self.verifications()

    def verifications(self) -> Mapping[SeriesKind, Verification]:
        """Return the last verification of each kind; none if there is no file, or it is damaged."""
        try:
            state = self.path.stat()
        except OSError:
            return {}
        version = (state.st_mtime_ns, state.st_ino)
        if self._read is None or self._read[0] != version:
            self._read = (version, self._parsed())
        return self._read[1]

    def update(self, verified: Iterable[Verification], withdrawn: Iterable[SeriesKind] = ()) -> None:
        """Add verifications, and remove those of other kinds. Raises OSError if the file cannot be written."""
        known = {**self.verifications(), **{each.kind: each for each in verified}}
        for kind in withdrawn:
            known.pop(kind, None)
        content = json.dumps([_as_json(known[kind]) for kind in sorted(known)], indent=2)
        unfinished = self.path.with_name(f"{self.path.name}.{os.getpid()}")
        try:
            unfinished.write_text(content, encoding="utf-8")
            unfinished.replace(self.path)
        finally:
            with suppress(OSError):
                unfinished.unlink(missing_ok=True)

    def _parsed(self) -> Mapping[SeriesKind, Verification]:
        try:
            entries = json.loads(self.path.read_text(encoding="utf-8"))
            read = [_from_json(entry) for entry in entries]
        except (OSError, ValueError, TypeError, KeyError) as error:
            logger.warning(
                "%s cannot be read (%s), so no series counts as verified: run `lumibot-duckdb live check` again",
                self.path,
                type(error).__name__,
            )
            return {}
        return {each.kind: each for each in read}


def _as_json(verification: Verification) -> dict[str, object]:
    return {
        **asdict(verification.kind),
        "verified_at": verification.verified_at.isoformat(timespec="seconds"),
        "day": verification.day.isoformat(),
        "series": verification.series,
        "bars": verification.bars,
    }


def _from_json(entry: Mapping[str, str | int]) -> Verification:
    names = ("source", "timeframe", "adjustment", "asset_type", "exchange")
    kind = SeriesKind(*(str(entry[name]) for name in names))
    verified_at = datetime.fromisoformat(str(entry["verified_at"]))
    if verified_at.tzinfo is None:
        raise ValueError(f"{verified_at} has no time zone")
    day = date.fromisoformat(str(entry["day"]))
    return Verification(kind, verified_at, day, int(entry["series"]), int(entry["bars"]))


def joined(verifications: Iterable[Verification]) -> list[Verification]:
    """Return one verification for each kind, with the sums of series and bars."""
    found: dict[SeriesKind, Verification] = {}
    for each in verifications:
        before = found.get(each.kind)
        if before is None:
            found[each.kind] = each
        else:
            found[each.kind] = replace(each, series=before.series + each.series, bars=before.bars + each.bars)
    return list(found.values())
