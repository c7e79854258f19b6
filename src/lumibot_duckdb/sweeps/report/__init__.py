"""The report of a sweep as one self-contained HTML page."""

from lumibot_duckdb.sweeps.report.contents import SweepReport, Window, charted_trials
from lumibot_duckdb.sweeps.report.page import report_page, write_report

__all__ = ["SweepReport", "Window", "charted_trials", "report_page", "write_report"]
