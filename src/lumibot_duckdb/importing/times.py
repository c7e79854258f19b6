"""Converts the time columns of a file to UTC: epochs, text and typed columns, with the rules for zones."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lumibot_duckdb.importing.arrays import BoolArray, CodeArray, IntArray, as_bools, as_integers, as_text
from lumibot_duckdb.importing.errors import FileRefusedError
from lumibot_duckdb.importing.refusal import Refusal, mark
from lumibot_duckdb.importing.time_text import ClockReadings, find_date_order, read_time_text, readings_of_timestamps
from lumibot_duckdb.importing.zones import first_instants, localise, same_zone
from lumibot_duckdb.storage.timeframes import TICKS_PER_SECOND
from lumibot_duckdb.storage.times import SECONDS_PER_DAY

DATE_ZONE = "America/New_York"
"""The zone in which a plain date is midnight, as in Lumibot."""

_COUNTED, _WRITTEN = "UTC (counted since 1970)", "as the file states it"
_FROM_HEADING = "(from the heading of the times)"
_FIRST_SECOND, _END_SECOND = (int(np.datetime64(day, "s").astype(int)) for day in ("1678-01-01", "2262-01-01"))
# Seconds stay below this until the year 5138; milliseconds passed it in 1973. A thousand times more, and so on.
_SECONDS_LIMIT = 100_000_000_000
_LIMITS = {"s": _SECONDS_LIMIT, "ms": _SECONDS_LIMIT * 1_000, "us": _SECONDS_LIMIT * 1_000_000}
# No file ends before 1973.
_EARLIEST = 100_000_000
_CLOCK_ALONE = r"(?i)^\d{1,2}:\d{2}(:\d{2}([.,]\d+)?)?( ?[ap]\.?m\.?)?$"
_EPOCH = r"^-?[0-8]?\d{1,18}(\.\d*)?$"
_COMPACT_DATE = r"^(1[89]|2[01])\d{2}(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])(([01]\d|2[0-3])[0-5]\d([0-5]\d)?)?$"


@dataclass(frozen=True, slots=True)
class TimeChoice:
    """The user's options.

    `zone` of times without one, `date_order` "dmy" or "mdy", `epoch_unit`, and the `day` of times without a date.
    """

    zone: str | None = None
    date_order: str | None = None
    epoch_unit: str | None = None
    day: date | None = None


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

    def __init__(
        self,
        choice: TimeChoice,
        samples: Iterable[pa.Table],
        zones: Sequence[str] = (),
        day: date | None = None,
        milliseconds_of_day: bool = False,
    ) -> None:
        """Learn the format of the times from samples of the time columns.

        `zones` are those that the heading of the column may mean. `day` is the date of times of day without one, unless
        the user states it.
        Raises `FileRefusedError` when a date such as 01/02/2024 may be of two days in all samples.
        """
        self._choice = choice
        self._heading_zones = zones
        self._date_order = choice.date_order
        self._epoch_unit = choice.epoch_unit or ("ms" if milliseconds_of_day else None)
        self._unit_is_guessed = choice.epoch_unit is None
        self._day = choice.day or day
        self._clock_digits = 4
        self._met_zones = False
        self._of_day = False
        self.only_dates = True
        """Whether all times so far were dates without a time of day and without a zone."""
        self.zone = ""
        """The zone of the times read so far, and how it is known."""
        doubt = None
        for number, sample in enumerate(samples):
            if number == 0:
                self._learn_form(sample)
            if self._epoch_unit or self._date_order or _is_timestamp(sample):
                return
            self._date_order, doubtful = find_date_order(self._text(sample))
            doubt = doubt or doubtful
            if self._date_order or doubt is None:
                return
        if doubt is not None:
            raise FileRefusedError(
                f"{doubt} may be two days, and no date in the file decides it: give --date-order mdy or dmy"
            )

    @property
    def ignores_stated_zone(self) -> bool:
        """Whether the user stated a zone that the times read so far did not need."""
        return self._choice.zone is not None and self.zone in (_COUNTED, _WRITTEN)

    @property
    def zone_is_from_heading(self) -> bool:
        """Whether the times read so far are in the zone that their heading states."""
        return self.zone.endswith(_FROM_HEADING)

    def read(self, columns: pa.Table) -> Times:
        """Return the times of a chunk. Raises `FileRefusedError` for times of day of an unknown zone or day."""
        if self._epoch_unit and not self._of_day:
            self.only_dates = False
            self.zone = _COUNTED
            return _read_epochs(as_text(columns.column(0)), self._epoch_unit, self._unit_is_guessed)
        if self._of_day and self._epoch_unit:
            text = as_text(columns.column(0))
            readings = _readings_of_day(text, self._epoch_unit, self._day_number())
            missing = as_bools(pc.equal(text, ""))
        elif _is_timestamp(columns):
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
        if sample.num_columns == 1 and not pa.types.is_temporal(sample.column(0).type):
            self._learn_whether_of_day(as_text(sample.column(0)))

    def _learn_whether_of_day(self, text: pa.ChunkedArray) -> None:
        """Find out whether the times lack a date: 09:30:00, or 34200000 milliseconds since midnight."""
        filled = text.filter(pc.not_equal(text, ""))
        if len(filled) == 0:
            return
        if self._epoch_unit:
            numbers = filled.filter(pc.match_substring_regex(filled, _EPOCH))
            counts = as_integers(_whole_part(numbers))
            of_day = SECONDS_PER_DAY * TICKS_PER_SECOND[self._epoch_unit]
            self._of_day = len(counts) > 0 and 0 <= int(counts.min()) <= int(counts.max()) < of_day
        else:
            self._of_day = bool(pc.all(pc.match_substring_regex(filled, _CLOCK_ALONE)).as_py())
        if self._of_day and self._day is None:
            unit = f" {self._epoch_unit} since midnight" if self._epoch_unit else ""
            raise FileRefusedError(
                f"its times are times of day without a date ({filled[0].as_py()}{unit}), and neither its name nor its "
                "folder has a date: give --date YYYY-MM-DD, or --name-pattern with {date}"
            )

    def _day_number(self) -> int:
        return (self._day - date(1970, 1, 1)).days if self._day else 0

    def _text(self, columns: pa.Table) -> pa.ChunkedArray:
        first = as_text(columns.column(0))
        if columns.num_columns == 1 and self._of_day:
            dated = pc.binary_join_element_wise(str(self._day), first, " ")
            return pc.if_else(pc.equal(first, ""), "", dated)
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
        if self._met_zones:
            self.zone = self.zone or _WRITTEN
        if not len(naive):
            return
        zone = self._stated_zone()
        if self._met_zones and zone is None:
            refusals[naive] = Refusal.NO_ZONE
            return
        seconds = readings.seconds[naive]
        if not (seconds % SECONDS_PER_DAY).any():
            self.zone = self.zone or f"{DATE_ZONE} (plain dates)"
            utc[naive] = first_instants(seconds, zone or DATE_ZONE)
            return
        if zone is None:
            example = np.datetime_as_string(seconds[seconds % SECONDS_PER_DAY != 0][0].astype("M8[s]")).replace(
                "T", " "
            )
            raise FileRefusedError(
                f"its times have no time zone (the first is {example}): state the one they are in, "
                "e.g. --timezone America/New_York or --timezone UTC"
            )
        local = localise(seconds, zone)
        utc[naive], later[naive] = local.utc, local.later
        refusals[naive[~local.exists]] = Refusal.NONEXISTENT_TIME

    def _stated_zone(self) -> str | None:
        """Return the zone that the heading or the user states. Raises `FileRefusedError` if they contradict."""
        chosen, heading = self._choice.zone, self._heading_zones
        if chosen is not None and heading and not any(same_zone(chosen, zone) for zone in heading):
            raise FileRefusedError(
                f"the heading of its times says {' or '.join(heading)}, which contradicts --timezone {chosen}: leave "
                "the option out, or give the columns other names (--header for text files)"
            )
        if chosen is None and len(heading) > 1:
            raise FileRefusedError(
                f"the time zone in the heading of its times may be {' or '.join(heading)}: state it with --timezone"
            )
        zone = chosen or (heading[0] if heading else None)
        if zone is not None:
            self.zone = f"{zone} (--timezone)" if chosen else f"{zone} {_FROM_HEADING}"
        return zone


def _readings_of_day(text: pa.ChunkedArray, unit: str, day: int) -> ClockReadings:
    is_number = as_bools(pc.match_substring_regex(text, _EPOCH))
    counts = as_integers(_whole_part(pc.if_else(pa.chunked_array([is_number]), text, "")))
    per_second = TICKS_PER_SECOND[unit]
    nowhere = np.zeros(len(text), bool)
    return ClockReadings(
        seconds=day * SECONDS_PER_DAY + counts // per_second,
        zoned=nowhere,
        offset=np.zeros(len(text), np.int64),
        fraction=counts % per_second != 0,
        readable=is_number & (counts >= 0) & (counts < SECONDS_PER_DAY * per_second),
    )


def _is_timestamp(columns: pa.Table) -> bool:
    return columns.num_columns == 1 and bool(pa.types.is_timestamp(columns.column(0).type))


def _whole_part(text: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.replace_substring_regex(text, r"\..*$", "")


def _unit_of(counts: IntArray) -> str:
    largest = int(np.abs(counts).max())
    if largest < _EARLIEST:
        raise FileRefusedError(
            f"cannot tell what time {largest} is: give its unit with --epoch, the right column with --time-column, or, "
            "if it counts from midnight, its unit and --date"
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
