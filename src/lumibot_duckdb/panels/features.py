"""The features of a panel: indicators, returns, and columns of the bars."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from lumibot_duckdb.analytics.bars import Bars, FloatArray
from lumibot_duckdb.analytics.catalogue import CATALOGUE
from lumibot_duckdb.analytics.computation.engine import Outputs
from lumibot_duckdb.analytics.requests import Request, parsed_request, request_list
from lumibot_duckdb.analytics.returns import price_return
from lumibot_duckdb.analytics.series import ChosenSeries
from lumibot_duckdb.panels.errors import PanelError
from lumibot_duckdb.panels.returns import RETURNS
from lumibot_duckdb.storage.api import BarReader

_KNOWN = {**CATALOGUE, **RETURNS}
_RESAMPLED_COLUMNS = ("open", "high", "low", "close", "volume")


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the bars as a feature."""

    name: str

    @property
    def columns(self) -> tuple[str, ...]:
        """The name of the column."""
        return (self.name,)


@dataclass(frozen=True)
class Features:
    """The features of a panel, in the order in which they were requested."""

    parts: tuple[Request | Column, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns."""
        return tuple(name for part in self.parts for name in part.columns)

    @property
    def indicators(self) -> tuple[Request, ...]:
        """The indicators of the catalogue."""
        return tuple(part for part in self.parts if isinstance(part, Request) and not _is_return(part))

    @property
    def inputs(self) -> tuple[str, ...]:
        """The columns of bars that are needed besides those of the indicators."""
        return tuple(part.name for part in self.parts if isinstance(part, Column))

    @property
    def bars_before(self) -> int:
        """How many earlier bars the returns need."""
        needed = [part.warm_up.bars for part in self.parts if isinstance(part, Request) and _is_return(part)]
        return int(max(needed, default=0))

    def values(self, bars: Bars, outputs: Outputs) -> list[FloatArray]:
        """Return an array for each column. `outputs` has the arrays of each indicator."""
        found: list[FloatArray] = []
        for part in self.parts:
            if isinstance(part, Column):
                found.append(bars.columns[part.name])
            elif _is_return(part):
                found.append(price_return(bars.close, _whole(part), log=part.indicator.name == "log_return"))
            else:
                found += outputs[part]
        return found

    def check(self, storage: BarReader, series: Sequence[ChosenSeries]) -> None:
        """Raise `PanelError` for a column that no series has, or that larger bars are not made of."""
        if not series or not self.inputs:
            return
        stored = {each: {column.name for column in storage.facts(each.pin).columns} for each in series}
        every = set().union(*stored.values())
        for name in self.inputs:
            if name not in every:
                raise PanelError(f"there is no indicator {name!r}, and no column of the bars{_suggestion(name, every)}")
            resampled = [each for each in series if not each.as_stored]
            if resampled and name not in _RESAMPLED_COLUMNS:
                each = resampled[0]
                raise PanelError(
                    f"{name!r} is not known of {each.timeframe} bars that are made of {each.label}: "
                    f"larger bars have {', '.join(_RESAMPLED_COLUMNS)}"
                )


def parsed_features(texts: str | Iterable[str]) -> Features:
    """Return what some texts mean, each once. Raises `PanelError` and `IndicatorError`.

    >>> parsed_features(["return(5)", "close", "bollinger(20, 2)"]).columns[:3]
    ('return_5', 'close', 'bollinger_20_2_lower')
    """
    wanted = request_list(texts)
    if not wanted:
        raise PanelError('no feature is requested: pass some, such as ["return(5)", "rsi(14)", "volume"]')
    return Features(tuple(dict.fromkeys(map(_parsed, wanted))))


def _parsed(text: str) -> Request | Column:
    word = text.strip() if isinstance(text, str) else ""
    if word.isidentifier() and word.lower() not in _KNOWN:
        return Column(word)
    return parsed_request(text, _KNOWN)


def _is_return(request: Request) -> bool:
    return request.indicator.name in RETURNS


def _whole(request: Request) -> int:
    (n,) = request.values
    assert isinstance(n, int)
    return n


def _suggestion(name: str, columns: Iterable[str]) -> str:
    similar = get_close_matches(name.lower(), [*_KNOWN, *columns], n=1, cutoff=0.6)
    return f"; did you mean {similar[0]}?" if similar else "; `lumibot-duckdb indicators --list` shows all indicators"
