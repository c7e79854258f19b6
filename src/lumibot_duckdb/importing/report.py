"""The outcome of an import for one file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lumibot_duckdb.importing.refusal import Refusal
from lumibot_duckdb.storage.api import EpochSeconds


@dataclass(frozen=True, slots=True)
class FirstBar:
    """One of the first bars of a file: its asset, its start, and its values by stored column."""

    asset: str
    time: EpochSeconds
    values: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Preview:
    """What an import would store: how the file was understood, and its first bars.

    `times` and `columns` name the file's columns, `zone` and `scale` also say how they are known, and `origin` where
    the symbol is from.
    """

    origin: str
    source: str
    times: str
    zone: str
    scale: str
    columns: Mapping[str, str]
    first_bars: Sequence[FirstBar]


@dataclass(slots=True)
class FileReport:
    """The outcome for one file.

    `error` is why it was refused as a whole (None: it was not).

    `rows` are the rows of the file that are not blank; each of them is in `added`, `changed` or `unchanged` (bars of
    the store), `spooled` (it waits beside the store), `repeated` (an identical row came before) or `refused`.
    `symbols` names the series that were written. `first` and `last` are the starts of the first and last good bar.
    `left_out` are the file's columns that are not stored, `notes` further things to know about the file. `preview` is
    set if nothing was to be stored.
    """

    path: Path
    rows: int = 0
    added: int = 0
    changed: int = 0
    unchanged: int = 0
    spooled: int = 0
    repeated: int = 0
    refused: Counter[Refusal] = field(default_factory=Counter)
    quarantine: Path | None = None
    timeframe: str = ""
    symbols: tuple[str, ...] = ()
    first: EpochSeconds | None = None
    last: EpochSeconds | None = None
    left_out: tuple[str, ...] = ()
    notes: list[str] = field(default_factory=list)
    preview: Preview | None = None
    error: str | None = None
