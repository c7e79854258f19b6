"""The first row that was refused for each reason, with the column and the value, for messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from lumibot_duckdb.importing.arrays import BoolArray, CodeArray
from lumibot_duckdb.importing.columns import PRICES, ColumnLayout
from lumibot_duckdb.importing.refusal import Refusal
from lumibot_duckdb.importing.table_file import Piece

_LONGEST = 60
_OF_TIMES = (
    *(Refusal.UNREADABLE_TIME, Refusal.TIME_OUT_OF_RANGE, Refusal.FRACTION, Refusal.NO_ZONE, Refusal.OTHER_UNIT),
    *(Refusal.NONEXISTENT_TIME, Refusal.UNCLEAR_TIME, Refusal.NO_TIME),
)


class Examples:
    """Collects an example of each reason while a file is read."""

    def __init__(self, layout: ColumnLayout, width: int) -> None:
        self._layout = layout
        self._width = width
        self._texts: dict[int, str] = {}
        self._seen: set[Refusal] = set()

    def of_row(self, row: int) -> str:
        """Return the values that a row was refused for, such as `High "8", Low "9"`; "" if they were not kept."""
        return self._texts.get(row, "")

    def add(self, piece: Piece, refusals: CodeArray, unreadable: Mapping[str, BoolArray]) -> None:
        """Keep an example of each reason that is new. `unreadable` are the rows with unreadable numbers by column."""
        for code in np.unique(refusals[refusals != Refusal.NONE]).tolist():
            reason = Refusal(code)
            if reason not in self._seen:
                index = int(np.flatnonzero(refusals == code)[0])
                names = self._columns(reason, index, unreadable)
                values = [(name, piece.table[name][index].as_py()) for name in dict.fromkeys(names)]
                self._keep(reason, int(piece.numbers[index]), ", ".join(f'{n} "{_cut(v)}"' for n, v in values))
        if piece.malformed and Refusal.FIELDS not in self._seen:
            row, text = piece.malformed[0]
            self._keep(Refusal.FIELDS, row, f'not {self._width} fields in "{_cut(text)}"')

    def _keep(self, reason: Refusal, row: int, text: str) -> None:
        self._seen.add(reason)
        self._texts[row] = text

    def _columns(self, reason: Refusal, index: int, unreadable: Mapping[str, BoolArray]) -> Sequence[str]:
        values = self._layout.values
        if reason in _OF_TIMES:
            return self._layout.time
        if reason == Refusal.NO_SYMBOL:
            return self._layout.keys[:1]
        if reason == Refusal.UNREADABLE_NUMBER:
            return [values[name] for name, rows in unreadable.items() if rows[index]][:1]
        if reason == Refusal.HIGH_BELOW_LOW:
            return [values["high"], values["low"]]
        if reason == Refusal.NEGATIVE_VOLUME:
            return [values["volume"]]
        return [values[price] for price in PRICES]


def _cut(value: object) -> str:
    text = "" if value is None else str(value)
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "…"
