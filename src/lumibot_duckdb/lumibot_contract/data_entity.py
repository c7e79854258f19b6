"""What `windows/` relies on in Lumibot's `Data` and `Bars`, which `frameless_data` adapts."""

from __future__ import annotations

from lumibot_duckdb.lumibot_contract.requirement import Requirement

_DATA = "lumibot.entities.data:Data"

REQUIREMENTS: tuple[Requirement, ...] = (
    Requirement(
        f"{_DATA}.__init__",
        "called with a frame of two bars; expected to read only its columns and its first and last time",
        parameters=(
            "asset",
            "df",
            "date_start",
            "date_end",
            "trading_hours_start",
            "trading_hours_end",
            "timestep",
            "quote",
            "timezone",
        ),
        # re-implemented: the attributes that follow from every value (`_ohlc_has_nan` and similar)
    ),
    Requirement(
        f"{_DATA}.get_bars",
        "overridden to resample minutes and days once instead of on every request",
        parameters=("dt", "length", "timestep", "timeshift"),
        # re-implemented: larger_bars.py, bucketed_series.py
    ),
    Requirement(
        f"{_DATA}.get_iter_count",
        "overridden to find the row at a time without an index of the whole series",
        parameters=("dt",),
        # re-implemented: row_lookup.py
    ),
    Requirement(
        f"{_DATA}.repair_times_and_fill",
        "overridden to fill rows when they are read",
        parameters=("idx",),
        # re-implemented: filled_series.py, and also called to fill quotes
    ),
    Requirement(
        f"{_DATA}.to_datalines",
        "emulated to offer columns that are read when they are used",
        parameters=(),
        # re-implemented: `FramelessData.describe_rows`
    ),
    Requirement(
        f"{_DATA}._validate_bars_request",
        "emulated: requests that it would refuse or warn about are left to Lumibot",
        # re-implemented: `WindowedData._is_plain_request`; the checks are those of `Data.check_data`
    ),
    Requirement(
        f"{_DATA}.check_data",
        "emulated: the checks of `_validate_bars_request`",
        parameters=("func",),
        # re-implemented: `WindowedData._is_plain_request`
    ),
    Requirement(
        f"{_DATA}._get_bars_row_bounds",
        "overridden to find the rows of a request",
        parameters=("dt", "length", "timeshift"),
        # re-implemented: row_lookup.py
    ),
    Requirement(
        f"{_DATA}._get_bars_frame_window",
        "overridden to read the rows of a request from a window",
        parameters=("dt", "length", "timeshift"),
        # re-implemented: `FramelessData`
    ),
    Requirement(
        f"{_DATA}._get_frame_between_dates",
        "overridden to read rows from a window",
        parameters=("start_date", "end_date", "bars_only"),
        # re-implemented: `WindowedData.rows_between`
    ),
    Requirement(
        f"{_DATA}._intraday_state_at",
        "overridden to decide whether a bar has closed",
        parameters=("iter_count", "dt"),
        # re-implemented: row_lookup.py
    ),
    Requirement(
        "lumibot.entities.data:_intraday_bar_state",
        "emulated: how long an intraday bar takes to close",
        parameters=("index_ns", "i", "dt", "timestep", "index_tz", "cache_owner"),
        # re-implemented: trading_index.py
    ),
    Requirement(
        f"{_DATA}._normalize_timeshift_to_rows", "called to count a time shift in rows", parameters=("timeshift",)
    ),
    Requirement(f"{_DATA}._data_len", "set: the number of rows"),
    Requirement(f"{_DATA}._ohlc_has_nan", "set: whether prices are missing"),
    Requirement(f"{_DATA}._volume_has_nan", "set: whether volumes are missing"),
    Requirement(f"{_DATA}._dividend_has_nan", "set: whether dividends are missing"),
    Requirement(f"{_DATA}._stock_splits_has_nan", "set: whether splits are missing"),
    Requirement(f"{_DATA}._quote_required_cols_present", "set: whether the series has prices and volume"),
    Requirement(f"{_DATA}._quote_missing_cols", "set: which columns of a quote the series lacks"),
    Requirement(f"{_DATA}._quote_presence_logged", "set: whether missing columns were logged"),
    Requirement(f"{_DATA}.iter_index_dict", "emulated: None asks `Data` to align itself with its own index"),
    Requirement(
        "lumibot.entities.dataline:Dataline.__init__",
        "called with columns that are read when they are used",
        parameters=("asset", "name", "dataline", "dtype"),
    ),
    Requirement(
        "lumibot.entities.bars:Bars.__init__",
        "emulated: which returns it adds to a frame without them",
        # re-implemented: series_with_returns.py, `BucketedBars.frame`
    ),
    Requirement(
        "lumibot.tools.helpers:parse_timestep_qty_and_unit", "called to read a timestep", parameters=("timestep",)
    ),
)
