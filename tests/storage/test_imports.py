"""What a SQL query does not import: pandas takes longer to load than the query takes to run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from lumibot_duckdb import DuckDBDataStorage
from storage.frames import minute_bars

QUERY = """
import sys
from lumibot_duckdb.storage.duckdb_storage import DuckDBDataStorage
storage = DuckDBDataStorage(sys.argv[1])
table = storage.sql("SELECT count(*) AS bars FROM ohlcv_data", max_rows=10)
print(table.to_pylist(), sorted(name for name in ("pandas", "polars", "lumibot") if name in sys.modules))
"""


@pytest.mark.skipif(duckdb.__version__ < "2", reason="DuckDB 1.5 imports pandas by itself")
def test_a_sql_query_imports_no_pandas(tmp_path: Path) -> None:
    with_bars = DuckDBDataStorage(tmp_path)
    with_bars.store_ohlcv_data("AAPL", minute_bars(rows=7), "test", "minute")
    with_bars.close()
    ended = subprocess.run(
        [sys.executable, "-c", QUERY, str(tmp_path)], capture_output=True, text=True, check=False, timeout=120
    )
    assert (ended.stdout, ended.stderr) == ("[{'bars': 7}] []\n", "")
