"""What `windows/` relies on in Lumibot's `Data` and `Bars`, which `data_entity_hooks` adapts."""

from __future__ import annotations

from lumibot_duckdb.lumibot_contract.requirement import Requirement

_DATA = "lumibot.entities.data:Data"

_REIMPLEMENTED: tuple[Requirement, ...] = (
    Requirement(
        f"{_DATA}.__init__",
        "called with a frame of two bars, for its columns and its first and last time",
        digests=frozenset({"a4e2fefc1e093bd2"}),
    ),
    Requirement(
        f"{_DATA}.get_bars",
        "overridden to resample bars once instead of on every request",
        parameters=("dt", "length", "timestep", "timeshift"),
        digests=frozenset({"d2061d99f7380037"}),
    ),
    Requirement(
        f"{_DATA}.get_last_price",
        "overridden to read one price without the checks of `check_data`",
        parameters=("dt", "length", "timeshift"),
        digests=frozenset({"b4e8fea4f607f9e1"}),
    ),
    Requirement(
        f"{_DATA}.get_iter_count",
        "overridden to find the row at a time without an index of the whole series",
        parameters=("dt",),
        digests=frozenset({"d5a70130d9758227"}),
    ),
    Requirement(
        f"{_DATA}.repair_times_and_fill",
        "overridden to fill rows when they are read; called to fill quotes",
        parameters=("idx",),
        digests=frozenset({"d2f71ae7749f24a3"}),
    ),
    Requirement(
        f"{_DATA}.to_datalines",
        "emulated with columns that are read when they are used",
        digests=frozenset({"eaf72d8c1690bfc3"}),
    ),
    Requirement(
        f"{_DATA}.check_data",
        "emulated: requests that it refuses or warns about are left to it",
        digests=frozenset({"d6f95d2dae39b5df"}),
    ),
    Requirement(
        f"{_DATA}._validate_bars_request",
        "emulated: its checks are those of `check_data`",
        digests=frozenset({"7a8757dcda6368f5"}),
    ),
    Requirement(
        f"{_DATA}._get_bars_row_bounds",
        "overridden to find the rows of a request",
        parameters=("dt", "length", "timeshift"),
        digests=frozenset({"9ffac0609f982546"}),
    ),
    Requirement(
        f"{_DATA}._get_bars_frame_window",
        "overridden to read the rows of a request from a window",
        parameters=("dt", "length", "timeshift"),
        digests=frozenset({"8d66f57347242e08"}),
    ),
    Requirement(
        f"{_DATA}._get_frame_between_dates",
        "overridden to read rows from a window",
        parameters=("start_date", "end_date", "bars_only"),
        digests=frozenset({"e6ceef12fca603d5"}),
    ),
    Requirement(
        f"{_DATA}._intraday_state_at",
        "overridden to decide whether a bar has closed",
        parameters=("iter_count", "dt"),
        digests=frozenset({"2fb307559b9a8414"}),
    ),
    Requirement(
        "lumibot.entities.data:_intraday_bar_state",
        "emulated: how long an intraday bar takes to close",
        digests=frozenset({"5b8b95a9bc4cd721"}),
    ),
    Requirement(
        "lumibot.entities.bars:Bars.__init__",
        "emulated: which returns it adds to a frame without them",
        digests=frozenset({"c1e55d024e0349de"}),
    ),
)

REQUIREMENTS: tuple[Requirement, ...] = (
    *_REIMPLEMENTED,
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
    Requirement(f"{_DATA}.iter_index_dict", "overridden: `Data` aligns itself with its own index if this is None"),
    Requirement(
        "lumibot.entities.dataline:Dataline.__init__",
        "called with columns that are read when they are used",
        parameters=("asset", "name", "dataline", "dtype"),
    ),
    Requirement(
        "lumibot.tools.helpers:parse_timestep_qty_and_unit", "called to read a timestep", parameters=("timestep",)
    ),
)
