"""How the bars that a stream sent differ from what the provider's REST API returns for the same time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lumibot_duckdb.display import new_york
from lumibot_duckdb.live.live_bars import LiveBars
from lumibot_duckdb.storage.api import TimeRange
from lumibot_duckdb.storage.times import bar_starts

if TYPE_CHECKING:
    import pandas as pd

_EXAMPLES = 5


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
            (*self.examples, *other.examples)[:_EXAMPLES],
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
    columns = [name for name in answer.bars.columns if name in streamed.columns] or list(answer.bars.columns)
    theirs = _by_start(answer.bars, columns)
    ours = _by_start(streamed, columns)
    ours = ours.loc[[start for start in ours.index if _is_in(start, answer.covered)]]
    both = ours.index.intersection(theirs.index)
    one, other = ours.loc[both], theirs.loc[both]
    differs = ((one != other) & ~(one.isna() & other.isna())).any(axis=1)
    symbol = answer.key.asset.label()
    changed, lacking = both[differs], theirs.index.difference(ours.index)
    extra = ours.index.difference(theirs.index)
    examples = [
        *(f"{symbol} {new_york(start)} {_change(one.loc[start], other.loc[start])}" for start in changed[:_EXAMPLES]),
        *(f"{symbol} {new_york(start)} was not sent" for start in lacking[:_EXAMPLES]),
        *(f"{symbol} {new_york(start)} was sent only" for start in extra[:_EXAMPLES]),
    ]
    compared = len(ours.index.union(theirs.index))
    return Comparison(compared, len(changed), len(lacking), len(extra), tuple(examples[:_EXAMPLES]))


def with_corrections(streamed: pd.DataFrame, corrections: Iterable[LiveBars]) -> pd.DataFrame:
    """Return bars as a stream corrected them; the last correction of a bar counts."""
    import pandas as pd

    frames = [streamed.tz_convert("UTC"), *(each.bars for each in corrections)]
    frame = pd.concat([each for each in frames if len(each)]) if any(map(len, frames)) else streamed
    corrected: pd.DataFrame = frame[~frame.index.duplicated(keep="last")].sort_index()
    return corrected


def _by_start(bars: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    import pandas as pd

    frame: pd.DataFrame = bars.reindex(columns=list(columns)).astype("float64")
    frame.index = pd.Index(bar_starts(bars))
    return frame


def _is_in(start: int, ranges: Sequence[TimeRange]) -> bool:
    return any(piece.start <= start < piece.end for piece in ranges)


def _change(one: pd.Series, other: pd.Series) -> str:
    name = next(str(name) for name in one.index if not one[[name]].equals(other[[name]]))
    return f"{name} {one[name]:g} instead of {other[name]:g}"
