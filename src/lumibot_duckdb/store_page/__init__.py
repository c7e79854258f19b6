"""The status page: what is in a store, as one self-contained HTML page."""

from lumibot_duckdb.store_page.page import status_page

__all__ = ["status_page"]
