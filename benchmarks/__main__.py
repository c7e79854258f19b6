"""`python -m benchmarks [NAME…]`: runs the named benchmarks, or all of them; `--write` updates RESULTS.md."""

from __future__ import annotations

import argparse
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter

from benchmarks import (
    backtests,
    clustering,
    correlation,
    disk,
    frame_record,
    history_length,
    indicator_layers,
    indicators,
    ingest,
    machine,
    memory,
    migration,
    ordinary,
    processes,
    publishing,
    reads,
    report,
    requests,
    searches,
    sweeps,
    verification,
)
from benchmarks.alpaca import memory as alpaca_memory
from benchmarks.alpaca import requests as alpaca_requests
from benchmarks.alpaca import windows as alpaca_windows
from benchmarks.bars import Workplace
from benchmarks.ccxt import disk as ccxt_disk
from benchmarks.ccxt import memory as ccxt_memory
from benchmarks.ccxt import requests as ccxt_requests
from benchmarks.live import iterations
from benchmarks.measure import Row
from benchmarks.polygon import backtest as polygon_backtest
from benchmarks.polygon import disk as polygon_disk
from benchmarks.polygon import download as polygon_download
from benchmarks.polygon import memory as polygon_memory
from benchmarks.polygon import options as polygon_options
from benchmarks.polygon import requests as polygon_requests
from benchmarks.yahoo import memory as yahoo_memory
from benchmarks.yahoo import requests as yahoo_requests

BENCHMARKS: dict[str, Callable[[Workplace], list[Row]]] = {
    "hourly_backtest": backtests.hourly,
    "daily_backtest": backtests.daily,
    "polygon_backtest": polygon_backtest.whole_backtest,
    "polygon_backtest_shares": polygon_backtest.our_share,
    "ordinary_scripts": ordinary.ordinary_scripts,
    "polygon_options": polygon_options.iron_condors,
    "yahoo_memory_500": yahoo_memory.whole_backtest,
    "memory_100": memory.hundred_symbols,
    "polygon_memory_100": polygon_memory.hundred_symbols,
    "memory_20": memory.twenty_symbols,
    "steady": requests.steady,
    "first_touch": requests.first_touch,
    "frame_record": frame_record.frame_record,
    "history_length": history_length.first_touch,
    "disk": disk.bytes_a_bar,
    "range_read": reads.range_read,
    "full_read": reads.full_read,
    "indicators": indicators.hundred_symbols,
    "indicator_layers": indicator_layers.one_series_and_many,
    "correlation": correlation.five_hundred_symbols,
    "searches": searches.two_hundred_trials,
    "sweep": sweeps.daily_strategy,
    "sweep_minutes": sweeps.minutes_of_twenty_symbols,
    "ingest": ingest.ingest,
    "scattered": ingest.scattered,
    "verify": verification.hundred_symbols,
    "random_order": clustering.random_order,
    "publishing": publishing.store_on_s3,
    "live": iterations.live_strategy,
    "lease": processes.lease,
    "soak": processes.soak,
    "migration": migration.polygon_files,
    "polygon_steady": polygon_requests.steady,
    "polygon_first_touch": polygon_requests.first_touch,
    "polygon_memory_20": polygon_memory.twenty_symbols,
    "polygon_disk": polygon_disk.bytes_a_bar,
    "polygon_download": polygon_download.into_nothing,
    "yahoo_steady": yahoo_requests.steady,
    "yahoo_first_touch": yahoo_requests.first_touch,
    "ccxt_steady": ccxt_requests.steady,
    "ccxt_first_touch": ccxt_requests.first_touch,
    "ccxt_memory_10": ccxt_memory.ten_coins,
    "ccxt_disk": ccxt_disk.bytes_a_bar,
    "alpaca_steady": alpaca_requests.steady,
    "alpaca_first_touch": alpaca_requests.first_touch,
    "alpaca_memory": alpaca_memory.few_symbols,
    "alpaca_windows": alpaca_windows.another_window,
}
RESULTS = Path(__file__).with_name("RESULTS.md")


def main() -> None:
    """Run the command. Missing a budget is no error."""
    arguments = _parse()
    if arguments.list:
        for name, description in _descriptions().items():
            print(f"{name:20} {description}")
        return
    warnings.simplefilter("ignore")
    print("\n".join(machine.describe()), end="\n\n", flush=True)
    results: dict[str, list[Row]] = {}
    with _workplace(arguments.work_dir) as workplace:
        for name in arguments.names or BENCHMARKS:
            print(f"{name} ...", flush=True)
            started = perf_counter()
            results[name] = BENCHMARKS[name](workplace)
            print("\n".join(map(report.line, results[name])))
            print(f"  ({perf_counter() - started:.0f} s)", flush=True)
            if arguments.write:  # after each benchmark, so that a later failure loses nothing
                existing = RESULTS.read_text() if RESULTS.exists() else ""
                RESULTS.write_text(report.renewed(existing, {name: results[name]}, _descriptions()))
    if arguments.write:
        print(f"wrote {RESULTS.name}")


def _descriptions() -> dict[str, str]:
    """Return the first line of each benchmark's docstring."""
    return {name: (benchmark.__doc__ or "").partition("\n")[0] for name, benchmark in BENCHMARKS.items()}


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="the benchmarks to run (default: all)")
    parser.add_argument("--list", action="store_true", help="list the benchmarks")
    parser.add_argument("--write", action="store_true", help=f"update {RESULTS.name} with the results")
    parser.add_argument(
        "--work-dir", type=Path, help="a folder for the data (5 GB); it is kept, which makes a second run faster"
    )
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.names) - set(BENCHMARKS))
    if unknown:
        parser.error(f"no such benchmark: {', '.join(unknown)} (choose from {', '.join(BENCHMARKS)})")
    return arguments


@contextmanager
def _workplace(folder: Path | None) -> Iterator[Workplace]:
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        yield Workplace(folder.resolve())
        return
    temporary = Path(tempfile.mkdtemp(prefix="lumibot-duckdb-benchmarks-"))
    try:
        yield Workplace(temporary)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


if __name__ == "__main__":
    main()
