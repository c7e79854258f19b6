"""Reading an old cache neither prints Lumibot's start-up messages nor connects to a broker."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

READ = """
import socket, sys
from pathlib import Path

def refused(*arguments):
    sys.exit("something wanted to connect")

socket.socket.connect = refused
from lumibot_duckdb.sources.registry import SOURCES
for spec in SOURCES.values():
    spec.load_cache_readers()
assert "lumibot" not in sys.modules
from lumibot_duckdb.sources.alpaca.old_cache.reader import AlpacaReader
reader = AlpacaReader(Path(sys.argv[1]))
(content,) = reader.read(reader.files()[0])
print(content.rows)
"""


def test_lumibot_says_nothing_and_connects_to_no_broker(tmp_path: Path) -> None:
    path = tmp_path / "alpaca" / "AAPL-STOCK_USD-FOREX_NASDAQ_DAY_AMERICA-NEW-YORK_AA_2024-03-04_2024-03-04.csv"
    path.parent.mkdir()
    path.write_text("timestamp,open,high,low,close,volume\n2024-03-04 00:00:00-05:00,1.5,2.0,1.0,1.25,7.0\n")
    keys = {"ALPACA_API_KEY": "PKSOMETHING", "ALPACA_API_SECRET": "secret", "ALPACA_IS_PAPER": "true"}
    ran = subprocess.run(
        [sys.executable, "-c", READ, str(tmp_path)], env={**os.environ, **keys}, capture_output=True, text=True
    )
    assert (ran.stdout, ran.returncode) == ("1\n", 0), ran.stderr
