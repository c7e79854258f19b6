"""The report of a sweep as one self-contained HTML page."""

from lumibot_duckdb.sweeps.report.contents import SweepReport, WalkForwardReport, Window, charted_trials
from lumibot_duckdb.sweeps.report.page import default_report_path, report_page, write_report
from lumibot_duckdb.sweeps.report.stored import stored_report

__all__ = [
    "SweepReport",
    "WalkForwardReport",
    "Window",
    "charted_trials",
    "default_report_path",
    "report_page",
    "stored_report",
    "write_report",
]
