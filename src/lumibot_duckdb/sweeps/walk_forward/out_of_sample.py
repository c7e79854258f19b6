"""What walk-forward windows tell together: the joined equity and returns, and how stable the parameters are."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, zip_longest
from typing import TYPE_CHECKING

from lumibot_duckdb.results.records import DAILY_SCHEMA, EQUITY_SCHEMA
from lumibot_duckdb.sweeps.search.dimensions import Interval, is_number
from lumibot_duckdb.sweeps.search.errors import SearchError

if TYPE_CHECKING:
    import pyarrow as pa

    from lumibot_duckdb.results.records import Value
    from lumibot_duckdb.sweeps.search.dimensions import Dimension


def joined_equity(parts: Sequence[pa.Table | None], capital: float | None = None) -> pa.Table:
    """Join the equity of the out-of-sample backtests, as if each began with what the one before it had ended with.

    Each backtest began with the script's own budget. So its values and its cash are multiplied by one factor: the value
    before it, divided by its own first value. The joined growth is the product of the windows' growth. It differs from
    one long backtest: positions are closed between windows, and orders are as large as the budget allowed.

    Args:
        parts: The equity of each window, in their order and with `EQUITY_SCHEMA`; None for a window without a backtest,
            in which the value does not change.
        capital: The value at the start; by default the first value of the first part.

    Returns:
        A table with `EQUITY_SCHEMA`. Where two parts overlap, the later one counts. If a part ends with nothing or with
        debts, it is the last one.

    Raises:
        SearchError: A part does not begin after the one before it, or its first value is not above zero.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    tables = []
    for number, part in _without_overlap(parts, "time"):
        known = [value for value in part.column("value").to_pylist() if value is not None and math.isfinite(value)]
        if not known:
            continue
        if known[0] <= 0:
            raise SearchError(
                f"window {number} begins with a value of {known[0]}, from which growth cannot be computed"
            )
        capital = known[0] if capital is None else capital
        factor = capital / known[0]
        scaled = [pc.multiply(part.column(name), factor) for name in ("value", "cash")]
        tables.append(pa.table([part.column("time"), *scaled], schema=EQUITY_SCHEMA))
        capital = known[-1] * factor
        if capital <= 0:
            break
    return pa.concat_tables(tables) if tables else EQUITY_SCHEMA.empty_table()


def joined_daily_returns(parts: Sequence[pa.Table | None]) -> pa.Table:
    """Join the daily returns of the out-of-sample backtests. If two windows have the same day, the later one counts.

    Args:
        parts: The returns of each window, in their order and with `DAILY_SCHEMA`; None for a window without a backtest.

    Raises:
        SearchError: A part does not begin after the one before it.
    """
    import pyarrow as pa

    tables = [part for _, part in _without_overlap(parts, "day")]
    return pa.concat_tables(tables) if tables else DAILY_SCHEMA.empty_table()


def _without_overlap(parts: Sequence[pa.Table | None], column: str) -> Iterator[tuple[int, pa.Table]]:
    """Yield the number and the rows of each part that has rows, up to the first row of the next one."""
    import pyarrow.compute as pc

    numbered = [(number, part) for number, part in enumerate(parts, 1) if part is not None and part.num_rows]
    firsts = [part.column(column)[0].as_py() for _, part in numbered]
    for (number, part), first, following in zip_longest(numbered, firsts, firsts[1:]):
        if following is not None and following <= first:
            raise SearchError(f"window {number} begins at {first}, and a later window at {following}: not in order")
        yield number, part if following is None else part.filter(pc.less(part.column(column), following))


@dataclass(frozen=True)
class Stability:
    """How stable the choice of one parameter was over the windows.

    Attributes:
        name: The parameter.
        counts: Each chosen value and in how many windows it was chosen, the most frequent first; of equally frequent
            ones, the one that was chosen first.
        changes: How often the value differs from that of the window before.
        low: The lowest value, if all are numbers.
        high: The highest value, if all are numbers.
        spread: `high - low` as a fraction of the searched range; None if it has none, or values are not numbers.
    """

    name: str
    counts: tuple[tuple[Value, int], ...]
    changes: int
    low: float | None = None
    high: float | None = None
    spread: float | None = None

    @property
    def share(self) -> float:
        """The fraction of the windows that chose the most frequent value."""
        return self.counts[0][1] / sum(windows for _, windows in self.counts)


def parameter_stability(
    chosen: Sequence[Mapping[str, Value] | None], parameters: Mapping[str, Dimension]
) -> list[Stability]:
    """Return how stable each parameter was.

    Args:
        chosen: The chosen values of each window, in their order; None for a window without a choice, which is left out.
        parameters: The searched values of each parameter, as `Space.parameters`.

    Returns:
        The parameters in the order of the search; nothing if no window has a choice.

    >>> (fast,) = parameter_stability([{"fast": 10}, {"fast": 20}, {"fast": 10}], {"fast": (10, 20, 30)})
    >>> fast.counts, fast.changes, round(fast.share, 2), fast.spread
    (((10, 2), (20, 1)), 2, 0.67, 0.5)
    """
    choices = [values for values in chosen if values is not None]
    if not choices:
        return []
    return [_stability(name, [values[name] for values in choices], searched) for name, searched in parameters.items()]


def _stability(name: str, values: Sequence[Value], searched: Dimension) -> Stability:
    # 1, 1.0 and true are different values of a parameter.
    keys = [(type(value), value) for value in values]
    counts = tuple((value, windows) for (_, value), windows in Counter(keys).most_common())
    changes = sum(one != other for one, other in pairwise(keys))
    numbers = _numbers(values)
    if numbers is None:
        return Stability(name, counts, changes)
    low, high = min(numbers), max(numbers)
    width = _width(searched)
    return Stability(name, counts, changes, low, high, (high - low) / width if width else None)


def _width(searched: Dimension) -> float | None:
    """Return the distance of the lowest and the highest searched value; None if they are not numbers."""
    if isinstance(searched, Interval):
        return searched.high - searched.low
    ends = searched if isinstance(searched, tuple) else (searched[0], searched[-1])
    numbers = _numbers(ends)
    return max(numbers) - min(numbers) if numbers else None


def _numbers(values: Sequence[Value]) -> list[float] | None:
    """Return values as numbers; None if one is none."""
    numbers = [float(value) for value in values if is_number(value)]
    return numbers if len(numbers) == len(values) else None
