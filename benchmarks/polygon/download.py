"""Downloading into an empty cache or store, from the loopback server of the tests in place of Polygon."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

from benchmarks.bars import Workplace
from benchmarks.measure import Row, Sample, against
from benchmarks.polygon.bars import bar_files, rows_in
from benchmarks.polygon.sides import OPPONENT, make_source, only_this_machine, source_class
from benchmarks.process import run_apart
from benchmarks.sides import regular_minutes, set_clock
from lumibot_duckdb.demo.market import symbol_names
from sources.polygon.server import KEY, PolygonServer
from wire.loopback import Answer, Request

START, END = "2023-01-17", "2023-04-14"  # about a quarter, with the days that the first request looks back on
_SYMBOLS = 5
_REPEATS = 3


@dataclass
class RehearsedServer(PolygonServer):
    """Keeps its responses, so that the clients are timed and not this server."""

    answers: dict[tuple[str, str], Answer] = field(default_factory=dict)

    def answer(self, request: Request, headers: Mapping[str, str]) -> Answer:
        asked = request.path, json.dumps(request.query, sort_keys=True)
        if asked not in self.answers:
            made = super().answer(request, headers)
            self.answers[asked] = Answer(made.content(), made.status, made.headers)
        return self.answers[asked]


def into_nothing(workplace: Workplace, symbols: int = _SYMBOLS, repeats: int = _REPEATS) -> list[Row]:
    """Time to download a quarter of minutes for 5 symbols into an empty cache or store."""
    seconds: dict[str, list[float]] = {"lumibot": [], "duckdb": []}
    bars: dict[str, int] = {}
    with RehearsedServer(whole_as_int=True) as server:
        for symbol, frame in workplace.frames(symbols):
            server.serve(symbol, "minute", frame)
        for repeat in range(1 + repeats):
            for side, times in seconds.items():
                with TemporaryDirectory(dir=workplace.folder) as folder:
                    outcome = _downloaded(side, Path(folder), server.url, symbols)
                bars[side] = outcome["bars"]
                if repeat > 0:  # the first run fills the server's responses
                    times.append(outcome["seconds"])
    if bars["duckdb"] != bars["lumibot"] or not bars["duckdb"]:
        raise AssertionError(f"the sides did not download the same bars: {bars}")
    return [
        against(
            f"{symbols} symbols x 1 quarter of minutes, into an empty cache or store",
            "s",
            OPPONENT,
            Sample.of(seconds["duckdb"]),
            Sample.of(seconds["lumibot"]),
            note=f"{bars['duckdb']:,} bars downloaded from a server on the same machine, which had its responses "
            "ready.",
        )
    ]


def _downloaded(side: str, folder: Path, url: str, symbols: int) -> dict[str, Any]:
    settings = {"LUMIBOT_CACHE_FOLDER": str(folder), "LUMIBOT_DUCKDB_PATH": str(folder / "bars.duckdb")}
    arguments = {"side": side, "url": url, "folder": str(folder), "symbols": symbols}
    return dict(run_apart("polygon.download.fetch", settings=settings, **arguments))


def fetch(side: str, url: str, folder: str, symbols: int) -> dict[str, Any]:
    """Request bars of one symbol after another; each first downloads those of the whole backtest."""
    source_class(side)
    from lumibot.entities import Asset

    from sources.polygon.loopback_client import client_redirected_to

    with only_this_machine(), client_redirected_to(url):
        started = perf_counter()
        source = make_source(side, START, END, KEY)
        set_clock(source, next(iter(regular_minutes(START, 1))))
        for symbol in symbol_names(symbols):
            answer = source.get_historical_prices(Asset(symbol), 60, "minute")
            if len(answer.df) != 60:
                raise AssertionError(f"{len(answer.df)} bars instead of 60")
        seconds = perf_counter() - started
    return {"seconds": seconds, "bars": _kept_bars(side, Path(folder))}


def _kept_bars(side: str, folder: Path) -> int:
    if side == "duckdb":
        from benchmarks.bars import open_store

        return sum(series.rows for series in open_store(folder / "bars.duckdb").list_series())
    return rows_in(bar_files(folder))
