"""The process that runs one backtest on one of the two storages and measures it.

`python -m lumibot_duckdb.demo.worker JOB RESULT`: JOB is a JSON file with a `Job`, and RESULT is the JSON file to write
the `Outcome` to. Each backtest runs in a new process, so that its time and peak memory are its own.

Unlike `comparison.worker`, which records an unmodified script in full, this gives each side its own data source and
records only what costs no memory: with 20 symbols, recorded frames would be a large part of what is measured.
"""

from __future__ import annotations

import json
import sys
import warnings
from dataclasses import asdict, dataclass
from datetime import date, datetime
from importlib import import_module
from pathlib import Path
from time import perf_counter
from typing import Any

from lumibot_duckdb.comparison.headless import UNATTENDED
from lumibot_duckdb.comparison.memory import peak_resident_bytes, resident_bytes
from lumibot_duckdb.lumibot_contract.strategy_access import trade_events

Row = list[Any]


@dataclass(frozen=True)
class Job:
    """One backtest. `files` is a folder with `<symbol>.parquet` for Lumibot's side, and `store` the database for ours.

    `side` is "lumibot" or "duckdb", `strategy` is a class in `demo.strategies`, and `start` and `end` are ISO dates.
    """

    side: str
    strategy: str
    symbols: list[str]
    timestep: str
    start: str
    end: str
    files: str
    store: str


@dataclass(frozen=True)
class Outcome:
    """The results of a backtest and what it cost, in seconds and bytes.

    `fills` are (time, symbol, side, quantity, price), `values` are (time, portfolio value, cash), and `frames` are
    (time, asset, timestep, SHA-256) of the frames that the strategy received, as far as Lumibot records them.
    `seconds_to_first_bars` and `seconds` count from the end of the imports. `request_seconds` has the time of every
    call.
    """

    fills: list[Row]
    values: list[Row]
    frames: list[Row]
    seconds_to_first_bars: float
    seconds: float
    imports_bytes: int
    peak_bytes: int
    request_seconds: dict[str, list[float]]


# The modules that a script on each side imports before its backtest starts.
_IMPORTS = {
    "lumibot": ("lumibot.backtesting.pandas_backtesting", "lumibot.entities", "pyarrow.parquet"),
    "duckdb": ("lumibot_duckdb.sources.own_bars.source", "lumibot_duckdb.storage.duckdb_storage", "lumibot.entities"),
}


def import_side(side: str) -> None:
    """Import the modules that a script on this side imports before its backtest starts."""
    for module in _IMPORTS[side]:
        import_module(module)


def source_of(job: Job) -> tuple[Any, dict[Any, Any] | None]:
    """Return the data source class and the `pandas_data` to pass to `Strategy.backtest`."""
    return _lumibot_source(job) if job.side == "lumibot" else (_duckdb_source(job), None)


def run(job: Job) -> Outcome:
    """Run the backtest in this process."""
    from lumibot_duckdb.demo import strategies

    import_side(job.side)
    imports_bytes, started = resident_bytes(), perf_counter()
    source, pandas_data = source_of(job)
    _, strategy = getattr(strategies, job.strategy).run_backtest(
        source,
        datetime.combine(date.fromisoformat(job.start), datetime.min.time()),
        datetime.combine(date.fromisoformat(job.end), datetime.min.time()),
        pandas_data=pandas_data,
        parameters={"symbols": job.symbols},
        **UNATTENDED,
    )
    ended = perf_counter()
    return Outcome(
        fills=_fills(strategy),
        values=_values(strategy),
        frames=_frames(Path("logs/market_input_observations.csv")),
        seconds_to_first_bars=(strategy.first_bars_at or ended) - started,
        seconds=ended - started,
        imports_bytes=imports_bytes,
        peak_bytes=peak_resident_bytes(),
        request_seconds=strategy.request_seconds,
    )


def _lumibot_source(job: Job) -> tuple[Any, dict[Any, Any]]:
    """Return Lumibot's class, and every frame in memory, as it requires."""
    import pandas as pd
    from lumibot.backtesting import PandasDataBacktesting
    from lumibot.entities import Asset, Data

    dollar = Asset("USD", "forex")
    pandas_data = {}
    for symbol in job.symbols:
        frame = pd.read_parquet(Path(job.files) / f"{symbol}.parquet")
        pandas_data[Asset(symbol)] = Data(Asset(symbol), frame, timestep=job.timestep, quote=dollar)
    return PandasDataBacktesting, pandas_data


def _duckdb_source(job: Job) -> Any:
    from lumibot.entities import Asset

    from lumibot_duckdb.backtesting import PandasDataBacktesting
    from lumibot_duckdb.storage.duckdb_storage import DuckDBDataStorage

    assets = [Asset(symbol) for symbol in job.symbols]
    return PandasDataBacktesting.using(
        DuckDBDataStorage(job.store), source="demo", assets=assets, timestep=job.timestep
    )


def _fills(strategy: Any) -> list[Row]:
    events = trade_events(strategy)
    if events.empty:
        return []
    fills = events[events["status"] == "fill"]
    return [
        [str(row.time), str(row.symbol), str(row.side), float(row.filled_quantity), float(row.price)]
        for row in fills.itertuples()
    ]


def _values(strategy: Any) -> list[Row]:
    stats = strategy.stats
    return [
        [str(time), float(value), float(cash)]
        for time, value, cash in zip(stats.index, stats["portfolio_value"], stats["cash"], strict=True)
    ]


def _frames(observations: Path) -> list[Row]:
    """Read Lumibot's own record of the frames that a strategy received (the first 4,096)."""
    import pandas as pd

    if not observations.exists():
        return []
    columns = ["observedAt", "asset", "timestep", "frameSha256"]
    rows: list[Row] = pd.read_csv(observations, dtype=str)[columns].to_numpy().tolist()
    return rows


def main(arguments: list[str]) -> None:
    """Read the job, run it and write the outcome."""
    warnings.simplefilter("ignore")
    job_file, result_file = map(Path, arguments)
    outcome = run(Job(**json.loads(job_file.read_text())))
    result_file.write_text(json.dumps(asdict(outcome)))


if __name__ == "__main__":
    main(sys.argv[1:])
