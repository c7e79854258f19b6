"""Any range of a stored series in the shape that Lumibot expects, read through windows instead of whole histories.

`window` decides what to load and keeps all windows within a memory budget. A view (`series_view`, `ranges_view`) says
which stored bars a backtest sees. `filled_series` reads a range and fills its gaps as Lumibot does (`filling`), on the
rows and times of `bar_rows`, which come from the merged index (`trading_index`) or from the series itself. `bar_table`
cuts frames.

Sources that hold Lumibot's `Data` objects use `windowed_data`. Its parts, which `aligned_series` holds together, are
`row_lookup` (which rows a request means), `row_windows` (their frames and values), `larger_bars` (requests for larger
bars, which `bucketed_series` computes for the buckets of `bucket_numbering`) and `lazy_columns`. `indicators` lets
`self.indicators` read such data.

Sources that hold one frame per series use `framed_series`: rows found by `paged_times`, or laid on a market's calendar
by `calendar_frames`. `series_with_returns` adds the returns that Lumibot would compute on every call.
"""
