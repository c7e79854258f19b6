"""How the bars that a stream sent differ from what the provider's REST API returns for the same time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lumibot_duckdb.display import new_york
from lumibot_duckdb.live.bar_comparison import EXAMPLES, DifferentValue, compared_bars
from lumibot_duckdb.live.live_bars import LiveBars
from lumibot_duckdb.storage.bars.coverage import in_ranges
from lumibot_duckdb.storage.times import bar_starts

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Comparison:
    """Counts of bars.

    Attributes:
        compared: Bars that the stream or the API had.
        changed: Bars with other values.
        missing: Bars that only the API had.
        extra: Bars that only the stream had.
        examples: The first differences, for people.
    """

    compared: int = 0
    changed: int = 0
    missing: int = 0
    extra: int = 0
    examples: tuple[str, ...] = ()

    def __add__(self, other: Comparison) -> Comparison:
        return Comparison(
            self.compared + other.compared,
            self.changed + other.changed,
            self.missing + other.missing,
            self.extra + other.extra,
            (*self.examples, *other.examples)[:EXAMPLES],
        )

    @property
    def differing(self) -> int:
        """The number of bars that differ in any way."""
        return self.changed + self.missing + self.extra

    def __str__(self) -> str:
        counts = f"{self.changed} had other values, {self.missing} were not sent, {self.extra} were sent only"
        return f"{self.differing} of {self.compared} bars differed ({counts}): {'; '.join(self.examples)}"


def compare(streamed: pd.DataFrame, answer: LiveBars) -> Comparison:
    """Compare the bars that a stream sent with an answer of the API, in the ranges that the answer covers."""
    found = compared_bars(streamed[in_ranges(bar_starts(streamed), answer.covered)], answer.bars)
    symbol = answer.key.asset.label()
    changed = {each.start: each for each in reversed(found.values)}  # the first value of each bar
    examples = [
        *(f"{symbol} {new_york(start)} {_change(changed[start])}" for start in sorted(changed)),
        *(f"{symbol} {new_york(start)} was not sent" for start in found.missing[:EXAMPLES]),
        *(f"{symbol} {new_york(start)} was sent only" for start in found.extra[:EXAMPLES]),
    ]
    lacking, extra = len(found.missing), len(found.extra)
    compared = found.compared + lacking + extra
    return Comparison(compared, found.different, lacking, extra, tuple(examples[:EXAMPLES]))


def with_corrections(streamed: pd.DataFrame, corrections: Iterable[LiveBars]) -> pd.DataFrame:
    """Return bars as a stream corrected them; the last correction of a bar counts."""
    import pandas as pd

    frames = [streamed.tz_convert("UTC"), *(each.bars for each in corrections)]
    frame = pd.concat([each for each in frames if len(each)]) if any(map(len, frames)) else streamed
    corrected: pd.DataFrame = frame[~frame.index.duplicated(keep="last")].sort_index()
    return corrected


def _change(value: DifferentValue) -> str:
    return f"{value.column} {value.stored:g} instead of {value.returned:g}"
