"""`lumibot-duckdb record` in a separate process, on loopback servers and at the time of a test.

The command is the real one, with the real clients: only their addresses are others, and its pauses are shorter.
`python -m live.kills.record_process` forks from a process that has imported all it needs, for each line of its standard
input; with a call as its argument, it runs just this one, from the start of the interpreter on.
"""

from __future__ import annotations

import atexit
import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import ccxt

from live.kills.market_time import MarketTime
from live.servers.binance_server import stream_redirected_to
from live.servers.binance_session import PACE, QUICK
from live.streams.recording import redirected_to
from lumibot_duckdb import clock
from lumibot_duckdb.cli import main as command
from lumibot_duckdb.live.recording.batch_writer import BatchWriter, State
from lumibot_duckdb.live.recording.recorder import Recorder
from lumibot_duckdb.live.streams import ccxt_stream, supervisor
from lumibot_duckdb.live.streams.alpaca_stream import AlpacaStream
from lumibot_duckdb.live.streams.pace import Pace
from lumibot_duckdb.sources.ccxt import client
from lumibot_duckdb.storage.connection.store_connection import StoreConnection
from sources.ccxt.exchanges import exchange_redirected_to

_PACE = Pace(poll=0.02, first_pause=0.02, longest_pause=0.1, final_read=30, final_write=30, refused_connections=10**6)
_WRITE_SECONDS = 0.1


def run(call: dict[str, Any]) -> int:
    """Run a command, and return its exit code."""
    market = MarketTime(Path(call["market"]))
    with surroundings(call, market):
        return command.main(["--store", call["store"], *call["words"]])


@contextmanager
def surroundings(call: dict[str, Any], market: MarketTime) -> Iterator[None]:
    with ExitStack() as entered:
        patched = [
            mock.patch.dict(os.environ, call["environment"]),
            mock.patch.object(clock, "utc_now", market.now),
            mock.patch.object(supervisor, "Pace", return_value=_PACE),
            mock.patch.object(ccxt_stream, "CandlePace", return_value=PACE),
            mock.patch.dict(Recorder.__init__.__kwdefaults__ or {}, pause_seconds=_WRITE_SECONDS),
            mock.patch.dict(StoreConnection.of.__func__.__kwdefaults__, wait_seconds=1.0),  # type: ignore[attr-defined]
            mock.patch.dict(AlpacaStream.__init__.__kwdefaults__ or {}, ping_seconds=0.5),
        ]
        for each in [*patched, begin_noted(market), writes_noted(market, Path(call["safe"]))]:
            entered.enter_context(each)
        rest, stream = call["rest"], call["stream"]
        if "ccxt" in call["words"]:
            entered.enter_context(exchange_redirected_to(rest))
            entered.enter_context(stream_redirected_to(SimpleNamespace(stream_url=stream)))  # type: ignore[arg-type]
            client.PROVIDERS["binance"] = client.CcxtProvider(ccxt.binance(), retry_policy=QUICK)
        else:
            entered.enter_context(redirected_to(SimpleNamespace(url=stream, rest=SimpleNamespace(url=rest))))  # type: ignore[arg-type]
        yield


@contextmanager
def begin_noted(market: MarketTime) -> Iterator[None]:
    """Note when the command begins to handle signals. What comes before is Python's."""
    stopped_by_signals = command.stopped_by_signals

    @contextmanager
    def noted() -> Iterator[None]:
        with stopped_by_signals():
            market.count_command()
            yield

    with mock.patch.object(command, "stopped_by_signals", noted):
        yield


@contextmanager
def writes_noted(market: MarketTime, safe: Path) -> Iterator[None]:
    """Note each write when it begins, and what has been stored or spooled when it has ended."""
    write = BatchWriter.write

    def noted(self: BatchWriter, batch: Sequence[Any]) -> Any:
        market.count_write()
        fates = write(self, batch)
        kept = [each for each in fates if each.state in (State.WRITTEN, State.SPOOLED) and each.bars and each.within]
        lines = "".join(f"{each.key.source} {each.key.asset.symbol} {each.within.end}\n" for each in kept)
        with safe.open("a") as file:
            file.write(lines)
        return fates

    with mock.patch.object(BatchWriter, "write", noted):
        yield


def serve() -> None:
    """Fork a process for each call that standard input has, and answer with its id; wait for those that end."""
    for line in sys.stdin:
        asked = json.loads(line)
        if isinstance(asked, int):
            answer = os.waitstatus_to_exitcode(os.waitpid(asked, 0)[1])
        elif (answer := os.fork()) == 0:
            _end(asked)
        print(answer, flush=True)


def _end(call: dict[str, Any]) -> None:
    """Be the process of a call."""
    log = os.open(call["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for number, descriptor in enumerate((os.open(os.devnull, os.O_RDONLY), log, log)):
        os.dup2(descriptor, number)
    code = 70
    try:
        code = run(call)
        atexit._run_exitfuncs()
        sys.stdout.flush()
    finally:
        os._exit(code)  # freeing all that was imported takes longer than the command


if __name__ == "__main__":
    if sys.argv[1:]:
        sys.exit(run(json.loads(sys.argv[1])))
    serve()
