"""`lumibot-duckdb record`: records the bars that a provider streams, without a strategy."""

from __future__ import annotations

import argparse
import asyncio
import logging
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from lumibot_duckdb.cli.completers import completed_by, nothing, words
from lumibot_duckdb.cli.durations import duration
from lumibot_duckdb.cli.errors import CommandError
from lumibot_duckdb.cli.settings import settings
from lumibot_duckdb.cli.store import check_recordable, open_store
from lumibot_duckdb.display import printable
from lumibot_duckdb.progress import Progress

if TYPE_CHECKING:
    from lumibot_duckdb.duckdb_storage import DuckDBDataStorage
    from lumibot_duckdb.live.streams.recorded_market import RecordedMarket
    from lumibot_duckdb.live.streams.supervisor import Supervisor

_DESCRIPTION = """\
Record bars from a provider's websocket until it is stopped: by Ctrl-C, SIGTERM or --stop-after.

Bars are in the store a few seconds after they close, in series of the source alpaca_live or ccxt_live. Once they are
settled, 15 minutes later, they are read again by REST into the series that backtests use. At midnight in New York and
at the end, the bars of the stream are compared with those of REST, and differences are reported and corrected. When a
connection is lost, the recorder reconnects, and reads by REST what it missed.

Alpaca streams minutes; larger bars are made of them by SQL (docs/indicators.md) and by strategies. The credentials are
those of Lumibot: ALPACA_API_KEY and ALPACA_API_SECRET, in the environment or in .env. Exchanges need none.
"""
_EXAMPLES = """\
examples:
  lumibot-duckdb record --symbols SPY,QQQ
  lumibot-duckdb record --symbols-file symbols.txt --feed sip --stop-after 8h
  lumibot-duckdb record --symbols BTC/USD,ETH/USD
  lumibot-duckdb record --provider ccxt --exchange binance --symbols BTC/USDT

exit codes: 0 stopped as requested; 1 the provider refuses the key, a symbol or the subscription; 2 wrong usage; 3 the
store cannot be used; 130 interrupted twice.
"""
logger = logging.getLogger(__name__)

_SYMBOL = re.compile(r"[A-Za-z0-9][A-Za-z0-9.:_-]*(/[A-Za-z0-9][A-Za-z0-9.:_-]*)?")
_IN_OPTION = "--symbols"
_FEEDS = ("iex", "sip", "delayed_sip")
_TIMEFRAMES = {"alpaca": ("minute",), "ccxt": ("minute", "hour", "day")}
_REDRAWN_AFTER = 1.0


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.description, parser.epilog = _DESCRIPTION, _EXAMPLES
    parser.add_argument(
        "--provider", choices=tuple(_TIMEFRAMES), default="alpaca", help="whose stream is recorded (default: alpaca)"
    )
    exchange = parser.add_argument("--exchange", metavar="ID", help="with --provider ccxt: ccxt's id of the exchange")
    symbols = parser.add_argument(
        "--symbols", metavar="LIST", help="the symbols, separated by commas: SPY,QQQ or BTC/USD"
    )
    parser.add_argument(
        "--symbols-file", type=Path, metavar="FILE", help="a file with a symbol on each line; # begins a comment"
    )
    timeframe = parser.add_argument(
        "--timeframe", default="minute", metavar="T", help="minute (default); with --provider ccxt also hour or day"
    )
    parser.add_argument(
        "--feed", choices=_FEEDS, help="Alpaca's feed of stocks (default: iex, which every plan includes)"
    )
    parser.add_argument(
        "--adjustment",
        choices=("all", "split"),
        help="the adjustment of Alpaca's settled bars of stocks: all (default), which backtests use, or split",
    )
    stop_after = parser.add_argument(
        "--stop-after", type=duration, metavar="DURATION", help="stop after a time such as 6h30m"
    )
    completed_by(timeframe, words(_TIMEFRAMES["ccxt"]))
    for option in (exchange, symbols, stop_after):
        completed_by(option, nothing)
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from lumibot_duckdb.live.recording.recorder import Recorder
    from lumibot_duckdb.live.streams.supervisor import Supervisor
    from lumibot_duckdb.sources.shared.errors import ProviderError

    symbols = _symbols(arguments)
    _check_usage(arguments, symbols)
    storage = open_store(arguments.store)
    check_recordable(storage.path)
    try:
        with _log_on_stderr():
            market = _market(arguments, symbols, storage)
            recorder = Recorder(lambda: storage)
            supervisor = Supervisor(market, storage, recorder)
            signals = _Signals()
            with signals.taken():
                try:
                    asyncio.run(_record(supervisor, market, signals, arguments.stop_after))
                finally:
                    recorder.close(30.0)
    except ProviderError as error:
        raise CommandError(str(error), exit_code=1) from None
    except asyncio.CancelledError:
        raise KeyboardInterrupt("the bars that were received are stored") from None
    finally:
        storage.close()
    print(printable_lines(supervisor.totals.summary(market.name, len(symbols), recorder.counts)))
    return 0


class _Signals:
    """Ctrl-C, SIGTERM and SIGHUP. They may also come before the event loop runs, and while the last bars are written.

    An exception would leave a loop behind that is half made. So signals are counted, and only a repeated one is raised.
    """

    def __init__(self) -> None:
        self._count = 0
        self._on_signal: Callable[[], object] = self._interrupt

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Take the signals during the block, except those that the process ignores."""
        if threading.current_thread() is not threading.main_thread():
            yield  # it gets no signals
            return
        before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
        try:
            for number, handler in before.items():
                if handler is not signal.SIG_IGN:
                    signal.signal(number, self._take)
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextmanager
    def passed_to(self, act: Callable[[], None]) -> Iterator[None]:
        """Call a function in the running event loop for each signal, those included that have come before."""
        loop = asyncio.get_running_loop()
        self._on_signal = lambda: loop.call_soon_threadsafe(act)
        for _ in range(self._count):
            act()
        try:
            yield
        finally:
            self._on_signal = self._interrupt

    def _take(self, number: int, frame: FrameType | None) -> None:
        self._count += 1
        self._on_signal()

    def _interrupt(self) -> None:
        if self._count > 1:
            raise KeyboardInterrupt


async def _record(supervisor: Supervisor, market: RecordedMarket, signals: _Signals, seconds: int | None) -> None:
    """Run the supervisor until a signal comes or the time is over, with a status line.

    Raises `asyncio.CancelledError` at a second signal.
    """
    stop = asyncio.Event()
    running = asyncio.ensure_future(supervisor.run(stop))

    def take_signal() -> None:
        if stop.is_set():
            running.cancel()
        else:
            logger.info("stopping, after reading what has settled; another Ctrl-C stops at once")
            stop.set()

    if seconds is not None:
        asyncio.get_running_loop().call_later(seconds, stop.set)
    with signals.passed_to(take_signal), Progress("Connecting") as line:
        drawing = asyncio.ensure_future(_keep_drawing(line, supervisor, market, stop))
        try:
            await running
        finally:
            drawing.cancel()


async def _keep_drawing(line: Progress, supervisor: Supervisor, market: RecordedMarket, stop: asyncio.Event) -> None:
    from lumibot_duckdb.live.streams.pace import pause

    while not stop.is_set():
        line.text = supervisor.totals.status(market.name, len(market.series), connected=supervisor.connected)
        await pause(_REDRAWN_AFTER, stop)
    line.text = "Reading what has settled"


# -- arguments -----------------------------------------------------------------------------------------------


def _symbols(arguments: argparse.Namespace) -> tuple[str, ...]:
    """Return the symbols of both options, each once; those of Alpaca in capitals."""
    named = [(_IN_OPTION, each) for each in (arguments.symbols or "").split(",")]
    if arguments.symbols_file is not None:
        named += _listed(arguments.symbols_file)
    found: dict[str, None] = {}
    for place, text in named:
        symbol = text.strip() if arguments.provider == "ccxt" else text.strip().upper()
        if not symbol:
            continue
        if not _SYMBOL.fullmatch(symbol):
            several = "one on each line, " if place != _IN_OPTION and "," in text else ""
            raise CommandError(
                f"{printable(text.strip())!r} in {place} is no symbol: write {several}SPY, BRK.B or BTC/USD"
            )
        found[symbol] = None
    if not found and arguments.symbols_file is not None:
        raise CommandError(f"{arguments.symbols_file} names no symbol: write one on each line")
    if not found:
        raise CommandError("name what to record: --symbols SPY,QQQ or --symbols-file FILE")
    return tuple(found)


def _listed(file: Path) -> list[tuple[str, str]]:
    """Return the symbols of a file, each with its place."""
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise CommandError(f"cannot read {file}: {reason}") from None
    return [(f"line {number} of {file}", line.partition("#")[0]) for number, line in enumerate(lines, 1)]


def _check_usage(arguments: argparse.Namespace, symbols: tuple[str, ...]) -> None:
    """Raise `CommandError` if options do not fit each other."""
    provider = arguments.provider
    if arguments.timeframe not in _TIMEFRAMES[provider]:
        raise CommandError(
            f"--timeframe {arguments.timeframe}: the stream of {provider} has {', '.join(_TIMEFRAMES[provider])}. "
            "Record minutes, and make larger bars of them by SQL (docs/indicators.md)"
        )
    if provider == "ccxt":
        _refuse(arguments, "ccxt", "feed", "adjustment")
        if not arguments.exchange:
            raise CommandError("--provider ccxt needs an exchange, such as --exchange binance")
        alone = [symbol for symbol in symbols if "/" not in symbol]
        if alone:
            raise CommandError(f"{printable(alone[0])} is not a pair, as exchanges trade them: write BTC/USDT")
        return
    _refuse(arguments, "alpaca", "exchange")
    pairs = [symbol for symbol in symbols if "/" in symbol]
    if pairs and len(pairs) < len(symbols):
        raise CommandError(
            f"{pairs[0]} is a pair, and others are stocks, which Alpaca streams over two connections: start one "
            "recorder for each"
        )
    if pairs:
        _refuse(arguments, "pairs", "feed", "adjustment")


def _refuse(arguments: argparse.Namespace, what: str, *options: str) -> None:
    for option in options:
        if getattr(arguments, option) is not None:
            raise CommandError(f"--{option} does not apply to {what}: leave it out")


def _market(arguments: argparse.Namespace, symbols: tuple[str, ...], storage: DuckDBDataStorage) -> RecordedMarket:
    if arguments.provider == "ccxt":
        from lumibot_duckdb.live.streams.ccxt_market import open_market as open_ccxt_market

        return open_ccxt_market(arguments.exchange, symbols, arguments.timeframe)
    from lumibot_duckdb.live.streams.alpaca_stream import key_from, open_market

    return open_market(
        key_from(settings()), symbols, storage, feed=arguments.feed or "iex", adjustment=arguments.adjustment or "all"
    )


# -- output --------------------------------------------------------------------------------------------------


def printable_lines(text: str) -> str:
    """Return lines without control characters."""
    return "\n".join(map(printable, text.splitlines()))


@contextmanager
def _log_on_stderr() -> Iterator[None]:
    """Log what happens on standard error, which systemd and containers keep: a line per event, times in UTC."""
    form = logging.Formatter("%(asctime)sZ %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%S")
    form.converter = time.gmtime
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(form)
    log = logging.getLogger("lumibot_duckdb")
    level, propagates = log.level, log.propagate
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(level)
        log.propagate = propagates
