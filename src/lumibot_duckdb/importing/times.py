"""Converts the time columns of a file to UTC: epochs, text and typed columns, with the rules for zones."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lumibot_duckdb.importing.arrays import BoolArray, CodeArray, IntArray, as_bools, as_integers, as_text
from lumibot_duckdb.importing.errors import FileRefusedError
from lumibot_duckdb.importing.refusal import Refusal, mark
from lumibot_duckdb.importing.time_text import ClockReadings, find_date_order, read_time_text, readings_of_timestamps
from lumibot_duckdb.importing.zones import first_instants, localise
from lumibot_duckdb.storage.timeframes import TICKS_PER_SECOND
from lumibot_duckdb.storage.times import SECONDS_PER_DAY

DATE_ZONE = "America/New_York"
"""The zone in which a plain date is midnight, as in Lumibot."""

_FIRST_SECOND, _END_SECOND = (int(np.datetime64(day, "s").astype(int)) for day in ("1678-01-01", "2262-01-01"))
# Seconds stay below this until the year 5138; milliseconds passed it in 1973. A thousand times more, and so on.
_SECONDS_LIMIT = 100_000_000_000
_LIMITS = {"s": _SECONDS_LIMIT, "ms": _SECONDS_LIMIT * 1_000, "us": _SECONDS_LIMIT * 1_000_000}
# No file ends before 1973.
_EARLIEST = 100_000_000
_EPOCH = r"^-?[0-8]?\d{1,18}(\.\d*)?$"
_COMPACT_DATE = r"^(1[89]|2[01])\d{2}(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])(([01]\d|2[0-3])[0-5]\d([0-5]\d)?)?$"


@dataclass(frozen=True, slots=True)
class TimeChoice:
    """The user's options: `zone` of times without one, `date_order` "dmy" or "mdy", `epoch_unit`."""

    zone: str | None = None
    date_order: str | None = None
    epoch_unit: str | None = None


@dataclass(frozen=True, slots=True)
class Times:
    """A chunk's times: `utc` in epoch seconds, meaningless where `refusals` has a code of `Refusal` other than `NONE`.

    `later` as in `LocalTimes`: how much later the bar may be where the clocks went back.
    """

    utc: IntArray
    later: IntArray
    refusals: CodeArray


class TimeReader:
    """Reads the time columns of one file: one column, or a date and a time of day."""

    def __init__(self, choice: TimeChoice, samples: Iterable[pa.Table], says_utc: bool = False) -> None:
        """Learn the format of the times from samples of the time columns.

        `says_utc`: the name of the column says that its times are UTC. Raises `FileRefusedError` when a date such as
        01/02/2024 may be of two days in all samples.
        """
        self._zone = "UTC" if says_utc else choice.zone
        self._date_order = choice.date_order
        self._epoch_unit = choice.epoch_unit
        self._unit_is_guessed = choice.epoch_unit is None
        self._clock_digits = 4
        self._met_zones = False
        self.only_dates = True
        """Whether all times so far were dates without a time of day and without a zone."""
        doubt = None
        for number, sample in enumerate(samples):
            if number == 0:
                self._learn_form(sample)
            if self._epoch_unit or self._date_order or _is_timestamp(sample):
                return
            self._date_order, doubt = find_date_order(self._text(sample))
            if doubt is None:
                return
        if doubt is not None:
            raise FileRefusedError(
                f"{doubt} may be two days, and no date in the file decides it: give --date-order mdy or dmy"
            )

    def read(self, columns: pa.Table) -> Times:
        """Return the times of a chunk. Raises `FileRefusedError` for times of day of an unknown zone."""
        if self._epoch_unit:
            self.only_dates = False
            return _read_epochs(as_text(columns.column(0)), self._epoch_unit, self._unit_is_guessed)
        if _is_timestamp(columns):
            readings = readings_of_timestamps(columns.column(0))
            missing = ~readings.readable
        else:
            text = self._text(columns)
            readings = read_time_text(text, self._date_order)
            missing = as_bools(pc.equal(text, ""))
        refusals = np.zeros(len(missing), np.uint8)
        refusals[_out_of_range(readings.seconds)] = Refusal.TIME_OUT_OF_RANGE
        refusals[~readings.readable] = Refusal.UNREADABLE_TIME
        refusals[missing] = Refusal.NO_TIME
        mark(refusals, readings.fraction, Refusal.FRACTION)
        utc = readings.seconds - readings.offset
        later = np.zeros(len(utc), np.int64)
        self._localise(readings, utc, later, refusals)
        return Times(utc, later, refusals)

    def _learn_form(self, sample: pa.Table) -> None:
        if sample.num_columns == 2:
            clock = as_text(sample.column(1))
            numbers = clock.filter(pc.match_substring_regex(clock, r"^\d{1,6}$"))
            self._clock_digits = 6 if (pc.max(pc.utf8_length(numbers)).as_py() or 0) > 4 else 4
        if sample.num_columns == 2 or pa.types.is_temporal(sample.column(0).type):
            self._epoch_unit = None
        elif self._epoch_unit is None:
            first = as_text(sample.column(0))
            filled = first.filter(pc.not_equal(first, ""))
            is_epoch = as_bools(pc.match_substring_regex(filled, _EPOCH))
            is_epoch &= ~as_bools(pc.match_substring_regex(filled, _COMPACT_DATE))
            if 2 * is_epoch.sum() > len(filled):
                self._epoch_unit = _unit_of(as_integers(_whole_part(filled.filter(pa.array(is_epoch)))))

    def _text(self, columns: pa.Table) -> pa.ChunkedArray:
        first = as_text(columns.column(0))
        if columns.num_columns == 1:
            return first
        clock = as_text(columns.column(1))
        is_number = pc.match_substring_regex(clock, r"^\d{1,6}$")
        clock = pc.if_else(is_number, pc.utf8_lpad(clock, self._clock_digits, "0"), clock)
        # A date that was exported as a time stamp has a midnight without a meaning.
        date = pc.replace_substring_regex(first, r"[ T]0?0:00(:00)?(\.0+)?$", "")
        whole = pc.binary_join_element_wise(date, clock, " ")
        return pc.if_else(pc.or_(pc.equal(first, ""), pc.equal(clock, "")), "", whole)

    def _localise(self, readings: ClockReadings, utc: IntArray, later: IntArray, refusals: CodeArray) -> None:
        """Convert clock readings without a zone to UTC in place."""
        usable = refusals == Refusal.NONE
        self._met_zones |= bool((usable & readings.zoned).any())
        naive = np.flatnonzero(usable & ~readings.zoned)
        self.only_dates &= not self._met_zones and not (readings.seconds[naive] % SECONDS_PER_DAY).any()
        if self._met_zones and self._zone is None:
            refusals[naive] = Refusal.NO_ZONE
            return
        seconds = readings.seconds[naive]
        if not (seconds % SECONDS_PER_DAY).any():
            utc[naive] = first_instants(seconds, self._zone or DATE_ZONE)
            return
        if self._zone is None:
            example = np.datetime_as_string(seconds[seconds % SECONDS_PER_DAY != 0][0].astype("M8[s]")).replace(
                "T", " "
            )
            raise FileRefusedError(
                f"its times have no time zone (the first is {example}): state the one they are in, "
                "e.g. --timezone America/New_York or --timezone UTC"
            )
        local = localise(seconds, self._zone)
        utc[naive], later[naive] = local.utc, local.later
        refusals[naive[~local.exists]] = Refusal.NONEXISTENT_TIME


def _is_timestamp(columns: pa.Table) -> bool:
    return columns.num_columns == 1 and bool(pa.types.is_timestamp(columns.column(0).type))


def _whole_part(text: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.replace_substring_regex(text, r"\..*$", "")


def _unit_of(counts: IntArray) -> str:
    largest = int(np.abs(counts).max())
    if largest < _EARLIEST:
        raise FileRefusedError(
            f"cannot tell what time {largest} is: give its unit with --epoch or the right column with --time-column"
        )
    return next((unit for unit, limit in _LIMITS.items() if largest < limit), "ns")


def _read_epochs(text: pa.ChunkedArray, unit: str, may_be_another: bool) -> Times:
    is_number = as_bools(pc.match_substring_regex(text, _EPOCH))
    counts = as_integers(_whole_part(pc.if_else(pa.chunked_array([is_number]), text, "")))
    per_second = TICKS_PER_SECOND[unit]
    refusals = np.zeros(len(text), np.uint8)
    refusals[(counts % per_second != 0) | as_bools(pc.match_substring_regex(text, r"\.\d*[1-9]"))] = Refusal.FRACTION
    if may_be_another:
        size = np.abs(counts)
        refusals[size >= _LIMITS.get(unit, np.inf)] = Refusal.OTHER_UNIT
        if unit != "s":
            refusals[size < _SECONDS_LIMIT * per_second // 1_000] = Refusal.OTHER_UNIT
    refusals[_out_of_range(counts // per_second)] = Refusal.TIME_OUT_OF_RANGE
    refusals[~is_number] = Refusal.UNREADABLE_TIME
    refusals[as_bools(pc.equal(text, ""))] = Refusal.NO_TIME
    return Times(counts // per_second, np.zeros(len(text), np.int64), refusals)


def _out_of_range(seconds: IntArray) -> BoolArray:
    """Return which times are outside the range of pandas' nanoseconds."""
    return (seconds < _FIRST_SECOND) | (seconds >= _END_SECOND)
