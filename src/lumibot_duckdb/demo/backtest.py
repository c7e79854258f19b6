"""The script that the demo runs on both storages: `python -m lumibot_duckdb.demo.backtest JOB`.

JOB is a JSON file with a `Job`. Lumibot's side loads every frame, as a script on Lumibot does; ours names the bars in
the store. The environment variable `LUMIBOT_USE_DUCKDB` says which side this is.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
from lumibot.entities import Asset, Data

from lumibot_duckdb.comparison.headless import UNATTENDED
from lumibot_duckdb.demo import strategies
from lumibot_duckdb.demo.job import REQUESTS_FILE, SOURCE, Job


def load_frames(files: Path, symbols: Sequence[str], timestep: str) -> dict[Asset, Data]:
    """Return the `pandas_data` of a backtest on Lumibot's storage: every bar of every symbol, in memory."""
    return {
        Asset(symbol): Data(Asset(symbol), pd.read_parquet(files / f"{symbol}.parquet"), timestep=timestep)
        for symbol in symbols
    }


def _frames_source(job: Job) -> tuple[Any, dict[Asset, Data]]:
    from lumibot.backtesting import PandasDataBacktesting

    return PandasDataBacktesting, load_frames(Path(job.files), job.symbols, job.timestep)


def _store_source(job: Job) -> tuple[Any, None]:
    from lumibot_duckdb.backtesting import PandasDataBacktesting

    assets = [Asset(symbol) for symbol in job.symbols]
    return PandasDataBacktesting.using(source=SOURCE, assets=assets, timestep=job.timestep), None


def run(job: Job, *, on_store: bool) -> Any:
    """Run the backtest; return its strategy."""
    source, frames = _store_source(job) if on_store else _frames_source(job)
    _, strategy = getattr(strategies, job.strategy).run_backtest(
        source,
        datetime.fromisoformat(job.start),
        datetime.fromisoformat(job.end),
        pandas_data=frames,
        parameters={"symbols": job.symbols},
        **UNATTENDED,
    )
    return strategy


def main(job: Job, *, on_store: bool) -> None:
    """Run the backtest and write the time of each request."""
    Path(REQUESTS_FILE).write_text(json.dumps(run(job, on_store=on_store).request_seconds))


if __name__ == "__main__":
    main(Job(**json.loads(Path(sys.argv[1]).read_text())), on_store=os.environ["LUMIBOT_USE_DUCKDB"] == "true")
