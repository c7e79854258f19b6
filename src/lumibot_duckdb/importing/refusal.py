"""Why a row of a file cannot become a bar."""

from __future__ import annotations

from enum import IntEnum

from lumibot_duckdb.importing.arrays import BoolArray, CodeArray


class Refusal(IntEnum):
    """The reasons, as codes for arrays; `NONE` is a good row. A row has the first reason that was found."""

    NONE = 0
    FIELDS = 1
    NO_TIME = 2
    UNREADABLE_TIME = 3
    TIME_OUT_OF_RANGE = 4
    FRACTION = 5
    NO_ZONE = 6
    OTHER_UNIT = 7
    NONEXISTENT_TIME = 8
    UNCLEAR_TIME = 9
    NO_SYMBOL = 10
    UNREADABLE_NUMBER = 11
    NO_PRICES = 12
    NOT_FINITE = 13
    NOT_POSITIVE = 14
    HIGH_BELOW_LOW = 15
    NEGATIVE_VOLUME = 16
    CONFLICT = 17

    @property
    def text(self) -> str:
        """The reason in words."""
        return _TEXTS[self]


_TEXTS = {
    Refusal.NONE: "",
    Refusal.FIELDS: "wrong number of fields",
    Refusal.NO_TIME: "no time",
    Refusal.UNREADABLE_TIME: "unreadable time",
    Refusal.TIME_OUT_OF_RANGE: "time before 1678 or after 2261",
    Refusal.FRACTION: "time with a fraction of a second",
    Refusal.NO_ZONE: "time without a zone among times with one",
    Refusal.OTHER_UNIT: "epoch time in another unit than the others",
    Refusal.NONEXISTENT_TIME: "local time that does not exist (the clocks went forward)",
    Refusal.UNCLEAR_TIME: "local time that came twice (the clocks went back), in rows that are not in order",
    Refusal.NO_SYMBOL: "no symbol",
    Refusal.UNREADABLE_NUMBER: "unreadable number",
    Refusal.NO_PRICES: "no prices",
    Refusal.NOT_FINITE: "price or volume is infinite",
    Refusal.NOT_POSITIVE: "price not above zero",
    Refusal.HIGH_BELOW_LOW: "high below low",
    Refusal.NEGATIVE_VOLUME: "volume below zero",
    Refusal.CONFLICT: "other bars with the same time",
}

# What to try if many rows are refused for a reason.
_REMEDIES = {
    Refusal.FIELDS: "name the columns with --header, or the delimiter with --delimiter",
    Refusal.NO_TIME: "name the column with --time-column",
    Refusal.UNREADABLE_TIME: "name the right column with --time-column, or state --date-order or --epoch",
    Refusal.OTHER_UNIT: "state --epoch",
    Refusal.UNCLEAR_TIME: "sort the rows by time, or state --timezone UTC if they are in UTC",
    Refusal.NO_SYMBOL: "name the column with --symbol-column, or state --symbol",
    Refusal.UNREADABLE_NUMBER: "state --decimal, or name another column (--columns close=Last) or none "
    "(--columns volume=)",
    Refusal.NO_PRICES: "name the columns of prices with --columns",
    Refusal.NOT_POSITIVE: "name the columns of prices with --columns",
    Refusal.HIGH_BELOW_LOW: "name the columns of prices with --columns",
    Refusal.NEGATIVE_VOLUME: "leave the volume out with --columns volume=",
    Refusal.CONFLICT: "name the column of symbols with --symbol-column, if there are several",
}


def remedy(reason: Refusal) -> str:
    """Return what to try if many rows are refused for a reason, "" if no option helps."""
    return _REMEDIES.get(reason, "")


def mark(refusals: CodeArray, rows: BoolArray, reason: Refusal) -> None:
    """Write a reason into `refusals` at some rows, unless they have one."""
    refusals[rows & (refusals == Refusal.NONE)] = reason
