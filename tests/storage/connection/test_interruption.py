"""Ctrl-C stops a long query at once, and the store can be used afterwards."""

from __future__ import annotations

import _thread
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import duckdb
import pytest

from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.storage import readonly_sql
from lumibot_duckdb.storage.connection import store_file
from lumibot_duckdb.storage.connection.interruption import check, deferred, postponed
from lumibot_duckdb.storage.connection.lock import StoreLock
from lumibot_duckdb.storage.upkeep import store_copy
from storage.frames import minute_bars

pytestmark = pytest.mark.older_duckdb

# Work for one thread: whether it is DuckDB's or the caller's is chance, so each is stopped several times.
ENDLESS = [
    "SELECT max(total) FROM (SELECT sum(range) AS total FROM range(1_000_000_000_000) GROUP BY range % 5)",
    "SELECT count(*) FROM range(1_000_000) a, range(1_000_000) b WHERE (a.range * b.range) % 7 = 3",
]


@pytest.fixture
def heeded() -> Iterator[None]:
    """Restore the usual handler: the tests may have been started with the signal ignored, like background jobs."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.timeout(60)
@pytest.mark.usefixtures("heeded")
@pytest.mark.parametrize("query", ENDLESS)
def test_a_query_stops_at_ctrl_c(storage: DuckDBDataStorage, query: str) -> None:
    storage.store_ohlcv_data("X", minute_bars(), "test", "minute")
    for attempt in range(8):
        threading.Timer(0.1 + attempt / 50, _thread.interrupt_main).start()
        with pytest.raises(KeyboardInterrupt):
            storage.sql(query)
    assert storage.sql("SELECT count(*) AS bars FROM ohlcv_data").to_pylist() == [{"bars": 60}]


def test_what_a_query_raises_comes_through(storage: DuckDBDataStorage) -> None:
    storage.store_ohlcv_data("X", minute_bars(), "test", "minute")
    with pytest.raises(Exception, match="Could not convert"):
        storage.sql("SELECT CAST(asset_symbol AS INTEGER) FROM ohlcv_data")


# -- writes --------------------------------------------------------------------------------------------------


@pytest.mark.timeout(120)
@pytest.mark.usefixtures("heeded")
def test_an_interrupted_write_raises_keyboard_interrupt_and_the_next_one_works(
    storage: DuckDBDataStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Python only reports an exception that a signal raises in a weak reference's callback, e.g. pandas'.
    reported: list[type[BaseException]] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda report: reported.append(report.exc_type))
    frames = [minute_bars(rows=20_000).assign(volume=number) for number in range(2)]
    storage.store_ohlcv_data("X", frames[0], "test", "minute")
    began = time.monotonic()
    storage.store_ohlcv_data("X", frames[1], "test", "minute")
    seconds = time.monotonic() - began
    interrupted = 0
    for attempt in range(40):
        timer = threading.Timer(seconds * attempt / 40, _thread.interrupt_main)
        try:
            timer.start()
            storage.store_ohlcv_data("X", frames[attempt % 2], "test", "minute")
            timer.join()
            for _ in range(100):  # it comes after the write
                time.sleep(0.001)
        except KeyboardInterrupt:
            interrupted += 1
        timer.join()
        volume = storage.get_historical_prices("X")["volume"]
        assert volume.nunique() == 1
        assert len(volume) == 20_000
    assert interrupted + reported.count(KeyboardInterrupt) == 40
    storage.store_ohlcv_data("Y", frames[0], "test", "minute")
    assert storage.verify().sound


@pytest.mark.timeout(60)
@pytest.mark.usefixtures("heeded")
def test_waiting_for_another_process_can_be_interrupted(storage: DuckDBDataStorage) -> None:
    storage.store_ohlcv_data("X", minute_bars(), "test", "minute")
    storage.close()
    lock = StoreLock(storage.path)
    lock.acquire(True, time.monotonic() + 5)
    uses: list[Callable[[], object]] = [
        lambda: storage.store_ohlcv_data("Y", minute_bars(), "test", "minute"),
        lambda: storage.get_historical_prices("X"),
        lambda: storage.sql("SELECT 1"),
    ]
    try:
        for use in uses:
            timer = threading.Timer(0.2, _thread.interrupt_main)
            timer.start()
            began = time.monotonic()
            with pytest.raises(KeyboardInterrupt):
                use()
            assert time.monotonic() - began < 5
    finally:
        lock.close()
    assert len(storage.get_historical_prices("X")) == 60


def slowly(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that first runs a statement on its DuckDB connection, with Ctrl-C in the middle of it."""

    def call(duck: duckdb.DuckDBPyConnection, *arguments: Any) -> Any:
        threading.Timer(0.05, _thread.interrupt_main).start()
        duck.execute("SELECT max(sin(range)) FROM range(20_000_000)").fetchall()
        return function(duck, *arguments)

    return call


@pytest.mark.timeout(60)
@pytest.mark.usefixtures("heeded")
@pytest.mark.parametrize(
    ("module", "name", "use"),
    [
        (store_copy, "attach", lambda storage: storage.compact()),
        (readonly_sql, "_functions", lambda storage: storage.sql("SELECT 1")),
        (store_file, "attach", lambda storage: storage.list_series()),
    ],
)
def test_ctrl_c_is_never_an_error_of_duckdb(
    storage: DuckDBDataStorage, monkeypatch: pytest.MonkeyPatch, module: Any, name: str, use: Callable[..., object]
) -> None:
    storage.store_ohlcv_data("X", minute_bars(), "test", "minute")
    storage.close()
    with monkeypatch.context() as patched:
        patched.setattr(module, name, slowly(getattr(module, name)))
        with pytest.raises(KeyboardInterrupt):
            use(storage)
    assert [file.name for file in storage.path.parent.iterdir() if "compacting" in file.name] == []
    assert len(storage.get_historical_prices("X")) == 60
    storage.compact()


@pytest.mark.usefixtures("heeded")
def test_the_programs_own_handler_is_called_at_once_and_its_error_comes_later() -> None:
    called: list[int] = []

    def handle(number: int, frame: object) -> None:
        called.append(number)
        raise TimeoutError("of the program")

    signal.signal(signal.SIGINT, handle)

    def work() -> None:
        with deferred():
            with deferred():
                signal.raise_signal(signal.SIGINT)
                assert called == [signal.SIGINT]
            called.append(0)

    with pytest.raises(TimeoutError, match="of the program"):
        work()
    assert called == [signal.SIGINT, 0]
    assert signal.getsignal(signal.SIGINT) is handle


@pytest.mark.usefixtures("heeded")
def test_what_follows_a_commit_is_stopped_after_the_report_of_the_commit() -> None:
    """The query ends at once, and the error comes at the end of the outer block; without one, at once."""
    reported: list[str] = []

    def stopped() -> None:
        with postponed():
            signal.raise_signal(signal.SIGINT)
            check()
            reported.append("not reached")

    def work() -> None:
        with deferred():
            stopped()
            reported.append("stored")

    with pytest.raises(KeyboardInterrupt):
        work()
    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert reported == ["stored"]
    check()  # nothing is left


@pytest.mark.usefixtures("heeded")
def test_a_handler_that_installs_another_one_keeps_its_choice() -> None:
    def first(number: int, frame: object) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)

    signal.signal(signal.SIGINT, first)
    with deferred():
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_ignored_signal_stays_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with deferred():
            signal.raise_signal(signal.SIGINT)
            check()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
