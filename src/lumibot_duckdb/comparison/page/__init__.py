"""The report of a comparison as one self-contained HTML page."""

from lumibot_duckdb.comparison.page.page import report_page

__all__ = ["report_page"]
