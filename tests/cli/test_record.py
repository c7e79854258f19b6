"""`lumibot-duckdb record`: from the command line to the store, and how it ends."""

from __future__ import annotations

import asyncio
import doctest
import logging
import os
import re
import shlex
import signal
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from cli.files import Command
from live.servers.alpaca_server import AlpacaStreamServer, SimulatedClock, machine_clock
from live.streams.recording import redirected_to, wait_for
from lumibot_duckdb.cli import durations, record
from lumibot_duckdb.cli.parser import CommandLineParser
from lumibot_duckdb.live.streams import supervisor
from lumibot_duckdb.live.streams.totals import Totals
from sources.alpaca.server import KEY, SECRET
from wire.loopback import Fault


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[AlpacaStreamServer]:
    time = SimulatedClock("2024-07-03 10:00")
    machine_clock(time, monkeypatch)
    monkeypatch.setenv("ALPACA_API_KEY", KEY)
    monkeypatch.setenv("ALPACA_API_SECRET", SECRET)
    monkeypatch.setenv("LUMIBOT_DISABLE_DOTENV", "1")
    with AlpacaStreamServer(time, ("SPY", "QQQ", "BRK.B")) as made, redirected_to(made):
        yield made


def meanwhile(server: AlpacaStreamServer, act: Callable[[], None]) -> threading.Thread:
    """Do something in a thread once the command has subscribed."""

    def run() -> None:
        wait_for(lambda: server.subscribed, "no subscription")
        try:
            act()
        except BaseException:
            os.kill(os.getpid(), signal.SIGINT)  # so that the command ends
            raise

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


@pytest.fixture
def totals(monkeypatch: pytest.MonkeyPatch) -> list[Totals]:
    """The totals of each recording that begins."""
    made: list[Totals] = []

    class Kept(Totals):
        def __init__(self, *values: Any, **named: Any) -> None:
            super().__init__(*values, **named)
            made.append(self)

    monkeypatch.setattr(supervisor, "Totals", Kept)
    return made


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_end_it_after_everything_is_stored(
    command: Command, server: AlpacaStreamServer, number: signal.Signals, tmp_path: Path, totals: list[Totals]
) -> None:
    def act() -> None:
        for minute in range(3):
            server.minute({"SPY": 500.0 + minute, "BRK.B": 400.0 + minute})
            wait_for(partial(received, 2 * minute + 2), "not received")  # before the clock moves on
        server.time.now += 20 * 60
        os.kill(os.getpid(), number)

    def received(count: int) -> bool:
        return totals[0].streamed == count

    (tmp_path / "symbols.txt").write_text("# shares\nspy\n\nBRK.B  # class B\n")
    handler = signal.getsignal(number)
    acting = meanwhile(server, act)
    ended = command("record", "--symbols-file", tmp_path / "symbols.txt", "--symbols", "SPY")
    acting.join()
    assert ended.code == 0, ended.err
    assert ended.out.splitlines() == [
        "Recorded 6 bars of 2 symbols from Alpaca (iex), with 0 corrections and 1 connection.",
        "Read 6 settled bars for backtests, up to 2024-07-03 10:07 in New York. The next recording or backtest reads "
        "later ones.",
        "Stream and REST: 6 bars, all equal.",
    ]
    assert len(command.bars("BRK.B", source="alpaca_live")) == len(command.bars("BRK.B", source="alpaca")) == 3
    assert "Z INFO connected to Alpaca (iex)" in ended.err
    assert KEY not in ended.err
    assert SECRET not in ended.err
    assert signal.getsignal(number) == handler
    assert logging.getLogger("lumibot_duckdb").handlers == []


def test_second_signal_skips_the_last_reading(
    command: Command, server: AlpacaStreamServer, totals: list[Totals]
) -> None:
    held = threading.Event()

    def act() -> None:
        server.minute({"SPY": 500.0})
        wait_for(lambda: totals[0].streamed == 1, "not received")
        server.time.now += 1200
        server.rest.faults.append(Fault("stocks/bars", until=held))
        os.kill(os.getpid(), signal.SIGINT)
        wait_for(lambda: server.rest.asked("stocks/bars")[1:], "no last reading")
        os.kill(os.getpid(), signal.SIGINT)

    acting = meanwhile(server, act)
    ended = command("record", "--symbols", "SPY")
    acting.join()
    held.set()
    assert ended.code == 130
    assert ended.err.endswith("lumibot-duckdb: interrupted: the bars that were received are stored\n")
    assert len(command.bars("SPY", source="alpaca_live")) == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_before_it_records_ends_it_in_order(
    command: Command, server: AlpacaStreamServer, number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = asyncio.run

    def signalled(coroutine: Any) -> None:
        os.kill(os.getpid(), number)
        run(coroutine)

    monkeypatch.setattr(asyncio, "run", signalled)
    handler = signal.getsignal(number)
    ended = command("record", "--symbols", "SPY")
    assert (ended.code, ended.out) == (
        0,
        "Recorded 0 bars of 1 symbol from Alpaca (iex), with 0 corrections and 0 connections.\n",
    )
    assert signal.getsignal(number) == handler
    assert not server.connections


def test_it_stops_after_a_time(command: Command, server: AlpacaStreamServer) -> None:
    meanwhile(server, lambda: server.minute({"SPY": 500.0}))
    ended = command("record", "--symbols", "SPY", "--stop-after", "1s")
    assert ended.code == 0
    assert ended.out == "Recorded 1 bar of 1 symbol from Alpaca (iex), with 0 corrections and 1 connection.\n"


def test_refusals(command: Command, server: AlpacaStreamServer, monkeypatch: pytest.MonkeyPatch) -> None:
    unknown = command("record", "--symbols", "SPY,SPX")
    assert (unknown.code, unknown.out) == (1, "")
    assert "Alpaca has no bars of SPX: check the spelling" in unknown.err
    monkeypatch.setenv("ALPACA_API_SECRET", "a-wrong-secret")
    refused = command("record", "--symbols", "SPY")
    assert refused.code == 1
    assert "Alpaca does not accept the API key" in refused.err
    assert "a-wrong-secret" not in refused.err
    monkeypatch.delenv("ALPACA_API_SECRET")
    lacking = command("record", "--symbols", "SPY")
    assert lacking.code == 1
    assert "set ALPACA_API_KEY and ALPACA_API_SECRET" in lacking.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "name what to record: --symbols SPY,QQQ or --symbols-file FILE"),
        (("--symbols", "SPY;QQQ"), "'SPY;QQQ' in --symbols is no symbol: write SPY, BRK.B or BTC/USD"),
        (("--symbols", "SPY,BTC/USD"), "BTC/USD is a pair, and others are stocks"),
        (("--symbols", "BTC/USD", "--feed", "sip"), "--feed does not apply to pairs: leave it out"),
        (("--symbols", "SPY", "--timeframe", "5minute"), "--timeframe 5minute: the stream of alpaca has minute."),
        (("--symbols", "SPY", "--exchange", "binance"), "--exchange does not apply to alpaca: leave it out"),
        (("--symbols", "BTC/USDT", "--provider", "ccxt"), "--provider ccxt needs an exchange"),
        (
            ("--symbols", "BTC/USDT,ETH", "--provider", "ccxt", "--exchange", "binance"),
            "ETH is not a pair, as exchanges trade them: write BTC/USDT",
        ),
        (
            ("--symbols", "BTC/USDT", "--provider", "ccxt", "--exchange", "binance", "--feed", "iex"),
            "--feed does not apply to ccxt: leave it out",
        ),
        (("--symbols", "SPY", "--stop-after", "soon"), "'soon' is not a duration: write days, hours"),
        (("--symbols", "SPY", "--stop-after", "0s"), "'0s' is not a duration"),
        (("--symbols-file", "none.txt"), "cannot read none.txt: No such file or directory"),
    ],
)
def test_wrong_usage(command: Command, options: tuple[str, ...], message: str) -> None:
    ended = command("record", *options)
    assert (ended.code, ended.out) == (2, "")
    assert message in ended.err
    assert not command.store.exists()


@pytest.mark.long  # importing ccxt takes two seconds
def test_unknown_exchange(command: Command) -> None:
    ended = command("record", "--provider", "ccxt", "--exchange", "binanse", "--symbols", "BTC/USDT")
    assert ended.code == 1
    assert "ccxt knows no exchange 'binanse'" in ended.err


DOCUMENTED = re.compile(
    r"^ *(?:lumibot-duckdb record|RECORD_OPTIONS=|.*/store lumibot-record) ?(--.*?)(?: {2,}#.*)?$", re.M
)


def test_documented_commands_are_right_usage() -> None:
    root = Path(__file__).parents[2]
    named = [root / "docs" / "live.md", *(root / "examples" / "recorder").iterdir(), Path(record.__file__)]
    commands = [command for each in named for command in DOCUMENTED.findall(each.read_text())]
    assert len(commands) == 10
    for command in commands:
        arguments = CommandLineParser(["record"]).parse(["record", *shlex.split(command)])
        if arguments.symbols:
            record._check_usage(arguments, record._symbols(arguments))


@pytest.mark.parametrize(("provider", "expected"), [("alpaca", ("SPY", "BRK.B")), ("ccxt", ("spy", "SPY", "brk.b"))])
def test_names_of_exchanges_keep_their_case(provider: str, expected: tuple[str, ...]) -> None:
    arguments = ["record", "--provider", provider, "--symbols", " spy,SPY,,brk.b"]
    assert record._symbols(CommandLineParser(["record"]).parse(arguments)) == expected


def test_examples_of_durations() -> None:
    assert doctest.testmod(durations) == (0, 1)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("SPY\nQ Q\n", "'Q Q' in line 2 of {} is no symbol: write SPY"),
        ("SPY,QQQ\n", "'SPY,QQQ' in line 1 of {} is no symbol: write one on each line, SPY"),
        ("# none yet\n", "{} names no symbol: write one on each line"),
    ],
)
def test_bad_symbols_in_a_file(command: Command, tmp_path: Path, content: str, message: str) -> None:
    file = tmp_path / "symbols.txt"
    file.write_text(content)
    ended = command("record", "--symbols-file", file)
    assert ended.code == 2
    assert message.format(file) in ended.err
