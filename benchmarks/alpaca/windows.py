"""A backtest over a longer window than before, with a loopback server in place of Alpaca."""

from __future__ import annotations

from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

from benchmarks.alpaca.sides import OPPONENT, make_source, source_class
from benchmarks.bars import Workplace
from benchmarks.measure import Row, Sample, against
from benchmarks.polygon.sides import only_this_machine
from benchmarks.process import run_apart
from benchmarks.sides import regular_minutes, set_clock
from lumibot_duckdb.demo.market import symbol_names

_WINDOWS = {
    "into an empty cache or store": ("2023-01-03", "2023-03-31"),
    "then two weeks longer": ("2023-01-03", "2023-04-14"),
}
_SYMBOLS = 2
_REPEATS = 3


def another_window(workplace: Workplace) -> list[Row]:
    """Time to download a quarter of minutes for 2 symbols, and then again with the backtest two weeks longer."""
    from sources.alpaca.server import AlpacaServer

    seconds: dict[tuple[str, str], list[float]] = {}
    requests: dict[tuple[str, str], int] = {}
    with AlpacaServer() as server:
        for symbol, frame in workplace.frames(_SYMBOLS):
            prices = frame[["open", "high", "low", "close"]]
            frame = frame.assign(high=prices.max(axis=1), low=prices.min(axis=1))
            server.serve("stock", symbol, frame["2022-12-01":"2023-05-01"])
        for _ in range(_REPEATS):
            for side in ("lumibot", "duckdb"):
                with TemporaryDirectory(dir=workplace.folder) as folder:
                    settings = {"LUMIBOT_CACHE_FOLDER": folder, "LUMIBOT_DUCKDB_PATH": f"{folder}/bars.duckdb"}
                    for name, (start, end) in _WINDOWS.items():
                        server.requests.clear()
                        taken = run_apart(
                            "alpaca.windows.fetch", settings=settings, side=side, url=server.url, start=start, end=end
                        )
                        seconds.setdefault((side, name), []).append(taken)
                        requests[side, name] = len(server.requests)
    return [
        against(
            f"{_SYMBOLS} symbols x 1 quarter of minutes, {name}",
            "s",
            OPPONENT,
            Sample.of(seconds["duckdb", name]),
            Sample.of(seconds["lumibot", name]),
            note=f"Requests to a server on the same machine, {name}: Lumibot {requests['lumibot', name]}, "
            f"lumibot-duckdb "
            f"{requests['duckdb', name]}.",
        )
        for name in _WINDOWS
    ]


def fetch(side: str, url: str, start: str, end: str) -> float:
    """Begin a backtest in a new process; return the seconds until the bars of all symbols are there."""
    source_class(side)
    from lumibot.entities import Asset

    from sources.alpaca.loopback_client import clients_redirected_to
    from sources.alpaca.server import KEY, SECRET

    config: dict[str, Any] = {"API_KEY": KEY, "API_SECRET": SECRET, "PAPER": True}
    with only_this_machine(), clients_redirected_to(url):
        started = perf_counter()
        source = make_source(side, start, end, config)
        set_clock(source, list(regular_minutes(start, 1))[120])
        for symbol in symbol_names(_SYMBOLS):
            answer = source.get_historical_prices(Asset(symbol), 60, "minute")
            if len(answer.df) != 60:
                raise AssertionError(f"{len(answer.df)} bars instead of 60")
        return perf_counter() - started
