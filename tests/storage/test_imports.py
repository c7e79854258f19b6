"""What a SQL query does not import, because it takes longer to load than the query takes to run; and what a backtest
does not, because it never uses it.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from lumibot_duckdb import DuckDBDataStorage
from storage.frames import minute_bars

pytestmark = pytest.mark.older_duckdb


def run_on_bars(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run code in a new process, with the path of a store that has bars as its argument."""
    with_bars = DuckDBDataStorage(folder)
    with_bars.store_ohlcv_data("AAPL", minute_bars(rows=7), "test", "minute")
    with_bars.close()
    return subprocess.run(
        [sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=False, timeout=120
    )


QUERY = """
import sys
from lumibot_duckdb.duckdb_storage import DuckDBDataStorage
storage = DuckDBDataStorage(sys.argv[1])
table = storage.sql("SELECT count(*) AS bars FROM ohlcv_data", max_rows=10)
print(table.to_pylist(), sorted(name for name in ("pandas", "polars", "lumibot") if name in sys.modules))
"""


@pytest.mark.skipif(duckdb.__version__ < "2", reason="DuckDB 1.5 imports pandas by itself")
def test_a_sql_query_imports_no_pandas(tmp_path: Path) -> None:
    ended = run_on_bars(QUERY, tmp_path)
    assert (ended.stdout, ended.stderr) == ("[{'bars': 7}] []\n", "")


BACKTEST = """
import sys
from lumibot_duckdb.sources.yahoo.history import YahooHistory
from lumibot_duckdb.duckdb_storage import DuckDBDataStorage
storage = DuckDBDataStorage(sys.argv[1])
history = YahooHistory(storage, None, "AAPL")
assert len(history) == 0
unused = ("compaction", "verification", "old_cache", "migration", "importing", "comparison", "doctor", "demo")
unused += ("computation",)
print([name for name in sys.modules if name.startswith("lumibot_duckdb") and set(unused) & set(name.split("."))])
print(*[method(storage) for method in (DuckDBDataStorage.compact, DuckDBDataStorage.verify)], sep="\\n")
"""


def test_a_backtest_imports_no_upkeep(tmp_path: Path) -> None:
    ended = run_on_bars(BACKTEST, tmp_path)
    *_, imported, compacted, verified = ended.stdout.splitlines()  # Lumibot may say that it starts
    assert (imported, ended.stderr) == ("[]", "")
    assert compacted.startswith("CompactionReport(")
    assert verified.startswith("VerificationReport(")
