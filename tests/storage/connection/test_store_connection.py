"""The leased connection: transactions, threads, other processes, forks, and files and disks that fail."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import duckdb
import pyarrow as pa
import pytest

from lumibot_duckdb.storage.connection.engine import Engine
from lumibot_duckdb.storage.connection.store_connection import StoreConnection
from lumibot_duckdb.storage.errors import (
    DiskFullError,
    StorageError,
    StoreBusyError,
    StoreDamagedError,
    StoreNotFoundError,
    StoreVersionError,
    StoreWriteError,
)

pytestmark = pytest.mark.older_duckdb

REPOSITORY = Path(__file__).resolve().parents[3]
COUNT = "SELECT count(*) FROM {db}.main.t"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "s.duckdb"


@pytest.fixture
def store(path: Path) -> Iterator[StoreConnection]:
    """A connection to a store with the numbers 0 to 9 in a table `t`."""
    connection = StoreConnection.of(path)
    with connection.write() as cursor:
        cursor.execute("CREATE TABLE {db}.main.t AS SELECT range AS n FROM range(10)")
    yield connection
    connection.close()


def count(connection: StoreConnection) -> int:
    with connection.read() as cursor:
        return int(cursor.rows(COUNT)[0][0])


def add(connection: StoreConnection, number: int = 0) -> None:
    with connection.write() as cursor:
        cursor.execute(f"INSERT INTO {{db}}.main.t VALUES ({number})")


def is_free(path: Path) -> bool:
    """Whether another program could open the file. DuckDB may need a moment to let go of one that was detached."""
    try:
        duckdb.connect(str(path)).close()
    except duckdb.Error:
        return False
    return True


def eventually(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 20
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


class Python:
    """Another process that runs a script; both sides synchronize by lines of text."""

    started: ClassVar[list[subprocess.Popen[str]]] = []

    def __init__(self, script: str, *arguments: object, python: str = sys.executable) -> None:
        self.process = subprocess.Popen(
            # Python 3.12 warns of every fork beside threads, and DuckDB has threads.
            [
                python,
                "-W",
                "ignore:This process:DeprecationWarning",
                "-c",
                textwrap.dedent(script),
                *map(str, arguments),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.started.append(self.process)

    def says(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def go_on(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def ends(self) -> str:
        """Wait for the end; return what it said since, and fail if it failed or complained."""
        said, complaints = self.process.communicate()
        assert self.process.returncode == 0, complaints
        assert complaints == ""
        return said.strip()


@pytest.fixture(autouse=True)
def no_process_outlives_its_test() -> Iterator[None]:
    yield
    while Python.started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(Python.started.pop().pid, signal.SIGKILL)  # children of the process included


PRELUDE = """
import os, sys, threading, time
from lumibot_duckdb.storage.connection.store_connection import StoreConnection
def tell(*words): print(*words, flush=True)
def wait(): sys.stdin.readline()
store = StoreConnection.of(sys.argv[1])
def count():
    with store.read() as cursor:
        return cursor.rows("SELECT count(*) FROM {db}.main.t")[0][0]
def add(number=0):
    with store.write() as cursor:
        cursor.execute(f"INSERT INTO {{db}}.main.t VALUES ({number})")
"""
# A program that uses DuckDB and knows nothing of this package.
SHELL = """
import duckdb, sys
shell = duckdb.connect(sys.argv[1], read_only=sys.argv[2] == "reading")
print("open", flush=True)
sys.stdin.readline()
shell.execute("INSERT INTO t VALUES (99)") if sys.argv[2] == "writing" else shell.execute("FROM t").fetchall()
shell.close()
print("closed", flush=True)
"""


def helper(script: str, *arguments: object) -> Python:
    return Python(PRELUDE + textwrap.dedent(script), *arguments)


# -- transactions --------------------------------------------------------------------------------------------


def test_what_a_block_writes_is_there_when_it_ends(store: StoreConnection) -> None:
    add(store)
    assert count(store) == 11


def test_a_block_that_raises_writes_nothing(store: StoreConnection) -> None:
    def fail() -> None:
        with store.write() as cursor:
            cursor.execute("INSERT INTO {db}.main.t VALUES (1)")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert count(store) == 10
    add(store)
    assert count(store) == 11


def test_a_statement_that_failed_is_not_forgotten_though_its_error_was_caught(store: StoreConnection) -> None:
    def write() -> None:
        with store.write() as cursor:
            cursor.execute("INSERT INTO {db}.main.t VALUES (1)")
            with contextlib.suppress(duckdb.Error):
                cursor.execute("INSERT INTO {db}.main.t SELECT error('no')::INTEGER")

    with pytest.raises(duckdb.Error):
        write()
    assert count(store) == 10


def test_reading_a_missing_store_is_an_error_and_creates_nothing(tmp_path: Path) -> None:
    store = StoreConnection.of(tmp_path / "folder" / "s.duckdb")
    assert not store.exists()
    with pytest.raises(StoreNotFoundError, match=r"s\.duckdb"), store.read():
        pass
    assert list(tmp_path.iterdir()) == []


def test_writing_makes_the_store_and_its_folder(tmp_path: Path) -> None:
    store = StoreConnection.of(tmp_path / "a folder with 'quotes'" / "s.duckdb")
    with store.write() as cursor:
        cursor.execute("CREATE TABLE {db}.main.t (n INTEGER)")
    assert store.exists()
    assert count(store) == 0
    store.close()


def test_there_is_one_connection_for_each_file_however_its_path_is_written(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("folder")
    store = StoreConnection.of(tmp_path / "folder" / "s.duckdb")
    assert StoreConnection.of(tmp_path / "link" / "s.duckdb") is store
    assert StoreConnection.of(tmp_path / "folder" / ".." / "folder" / "s.duckdb") is store
    assert StoreConnection.of(tmp_path / "folder" / "t.duckdb") is not store
    assert store.path == (tmp_path / "folder" / "s.duckdb").resolve()


def test_results_come_as_arrow_or_as_tuples_with_parameters_or_without(store: StoreConnection) -> None:
    with store.read() as cursor:
        assert cursor.db in cursor.execute("SELECT database_name FROM duckdb_databases()").fetchnumpy()["database_name"]
        assert cursor.rows("SELECT n FROM {db}.main.t WHERE n = ?", [3]) == [(3,)]
        assert cursor.rows("SELECT n FROM {db}.main.t WHERE n = $n", {"n": 4}) == [(4,)]
        assert cursor.rows(f"SELECT max(n) FROM {cursor.db}.main.t") == [(9,)]
        assert cursor.arrow("SELECT n FROM {db}.main.t WHERE n < ? ORDER BY n", [2]).equals(pa.table({"n": [0, 1]}))
        assert cursor.arrow("SELECT n FROM {db}.main.t WHERE n > 99").num_rows == 0


def test_arrow_tables_are_visible_to_sql_until_the_block_ends(store: StoreConnection) -> None:
    with store.write() as cursor:
        cursor.register("incoming", pa.table({"n": [10, 11, 12]}))
        cursor.execute("INSERT INTO {db}.main.t SELECT n FROM incoming")
    assert count(store) == 13
    with store.read() as cursor, pytest.raises(duckdb.CatalogException):
        cursor.rows("FROM incoming")
    with store.read() as cursor:
        cursor.register("incoming", pa.table({"n": [1]}))
        cursor.unregister("incoming")
        with pytest.raises(duckdb.CatalogException):
            cursor.rows("FROM incoming")


def test_names_in_sql_never_mean_python_variables(store: StoreConnection) -> None:
    t = pa.table({"n": [1]})
    with store.read() as cursor, pytest.raises(duckdb.CatalogException):
        cursor.rows("FROM t")
    assert t.num_rows == 1


def test_reading_inside_a_write_block_sees_what_is_not_committed(store: StoreConnection) -> None:
    with store.write() as cursor:
        cursor.execute("INSERT INTO {db}.main.t VALUES (1)")
        assert count(store) == 11
    with store.read(), store.read() as inner:
        assert inner.rows(COUNT) == [(11,)]


def test_blocks_that_would_wait_for_themselves_are_refused(store: StoreConnection) -> None:
    inner: list[Callable[[], contextlib.AbstractContextManager[object]]] = [
        store.write,
        store.exclusive,
        store.unchanging,
        store.replacing,
    ]
    for outer in (store.read, *inner):
        with outer():
            for block in inner:
                with pytest.raises(RuntimeError, match="same thread"), block():
                    pass
            with pytest.raises(RuntimeError, match="same thread"):
                store.close()
    with store.exclusive(), pytest.raises(RuntimeError, match="same thread"), store.read():
        pass
    assert count(store) == 10


def test_results_that_nobody_read_do_not_keep_the_file(store: StoreConnection) -> None:
    with store.read() as cursor:
        unread = cursor.execute("SELECT a.n FROM {db}.main.t AS a, range(100000)")
        unread.fetchone()
    store.close()
    with duckdb.connect(str(store.path)) as other:
        assert other.execute("SELECT count(*) FROM t").fetchall() == [(10,)]


def test_sessions_are_in_utc_and_load_nothing_from_the_network(store: StoreConnection) -> None:
    with store.read() as cursor:
        settings = dict(cursor.rows("SELECT name, value FROM duckdb_settings()"))
        assert cursor.rows("SELECT TIMESTAMPTZ '2024-07-01 12:00:00+00'::VARCHAR") == [("2024-07-01 12:00:00+00",)]
    assert settings["TimeZone"] == "UTC"
    assert settings["autoinstall_known_extensions"] == settings["autoload_known_extensions"] == "false"


# -- threads -------------------------------------------------------------------------------------------------


def in_threads(*targets: Callable[[], object]) -> list[BaseException]:
    """Run the functions at once; return what they raised."""
    raised: list[BaseException] = []

    def guarded(target: Callable[[], object]) -> None:
        try:
            target()
        except BaseException as error:
            raised.append(error)

    threads = [threading.Thread(target=guarded, args=(target,)) for target in targets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return raised


def test_threads_read_at_the_same_time(store: StoreConnection) -> None:
    all_inside = threading.Barrier(8, timeout=20)

    def read() -> None:
        with store.read() as cursor:
            all_inside.wait()
            assert cursor.rows(COUNT) == [(10,)]

    assert in_threads(*[read] * 8) == []


def test_threads_read_the_old_state_while_one_writes(store: StoreConnection) -> None:
    with store.write() as cursor:
        cursor.execute("INSERT INTO {db}.main.t VALUES (1)")
        seen: list[int] = []
        assert in_threads(lambda: seen.append(count(store))) == []
        assert seen == [10]
    assert count(store) == 11


def test_a_read_block_sees_one_state_while_another_thread_commits(store: StoreConnection) -> None:
    add(store)
    with store.read() as cursor:
        before = store.generation()
        assert cursor.rows(COUNT) == [(11,)]
        assert in_threads(lambda: add(store)) == []
        assert cursor.rows(COUNT) == [(11,)]
        assert store.generation() == before
    assert store.generation() != before
    assert count(store) == 12


def test_writes_of_many_threads_are_all_stored(store: StoreConnection) -> None:
    def write() -> None:
        for number in range(20):
            add(store, number)
            assert count(store) >= 11

    assert in_threads(*[write] * 5) == []
    assert count(store) == 110


def test_a_writing_thread_waits_for_reading_threads_and_not_for_ever(store: StoreConnection) -> None:
    store.close()
    store.wait_seconds = 0.3
    with store.read():
        (error,) = in_threads(lambda: add(store))
        assert isinstance(error, StoreBusyError)
        assert "threads of this process" in str(error)
    add(store)
    assert count(store) == 11


def test_a_writing_thread_gets_in_between_threads_that_always_read(store: StoreConnection) -> None:
    store.close()
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            count(store)

    def write() -> None:
        try:
            for _ in range(10):
                add(store)
                store.close()
        finally:
            done.set()

    assert in_threads(read, read, read, write) == []
    assert count(store) == 20


# -- generation ----------------------------------------------------------------------------------------------


def test_the_generation_changes_with_a_commit_and_only_then(store: StoreConnection) -> None:
    before = store.generation()
    with store.read() as cursor:
        cursor.rows(COUNT)
        assert store.generation() == before
    with pytest.raises(ValueError, match="no"), store.write():
        raise ValueError("no")
    store.close()
    count(store)
    assert store.generation() == before
    add(store)
    assert store.generation() != before


def test_what_was_read_inside_a_write_block_can_never_be_taken_for_current(store: StoreConnection) -> None:
    with store.write() as cursor:
        cursor.execute("INSERT INTO {db}.main.t VALUES (1)")
        with store.read():
            inside = {store.generation() for _ in range(10)}
    assert len(inside) == 10
    assert store.generation() not in inside


def test_what_a_thread_reads_while_another_commits_is_not_taken_for_current(
    store: StoreConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A read of the old state in the moment between the announcement of a commit and the commit itself.
    add(store)
    bump = store._lock.bump_generation
    cached: list[tuple[int, int]] = []

    def read() -> None:
        with store.read() as cursor:
            cached.append((store.generation(), cursor.rows(COUNT)[0][0]))

    def bump_and_read() -> None:
        bump()
        if not cached:
            assert in_threads(read) == []

    monkeypatch.setattr(store._lock, "bump_generation", bump_and_read)
    add(store)
    ((generation, seen),) = cached
    assert seen == 11
    assert store.generation() != generation


def test_what_another_process_writes_changes_the_generation(store: StoreConnection) -> None:
    before = store.generation()
    assert helper("add(); tell(count())", store.path).ends() == "11"
    assert store.generation() != before
    assert count(store) == 11


def test_what_a_program_that_does_not_count_writes_changes_the_generation(store: StoreConnection) -> None:
    store.close()
    before = store.generation()
    with duckdb.connect(str(store.path)) as other:
        other.execute("INSERT INTO t VALUES (1)")
    assert store.generation() != before
    with store.read():
        after = store.generation()
    assert after != before
    assert store.generation() == after


# -- other processes -----------------------------------------------------------------------------------------


def test_an_idle_reader_lets_a_writer_in(store: StoreConnection) -> None:
    idle = helper("store.idle_seconds = 3600; tell(count()); wait(); tell(count())", store.path)
    assert idle.says() == "10"
    add(store)
    store.close()
    idle.go_on()
    assert idle.ends() == "11"


def test_an_idle_writer_lets_a_reader_in(store: StoreConnection) -> None:
    idle = helper("store.idle_seconds = 3600; add(); tell(count()); wait(); tell(count())", store.path)
    assert idle.says() == "11"
    assert count(store) == 11
    idle.go_on()
    assert idle.ends() == "11"


def test_a_reading_block_is_waited_for(store: StoreConnection) -> None:
    reader = helper(
        """
        with store.read() as cursor:
            tell(cursor.rows("SELECT count(*) FROM {db}.main.t"))
            wait()
            tell(cursor.rows("SELECT count(*) FROM {db}.main.t"))
        """,
        store.path,
    )
    assert reader.says() == "[(10,)]"
    store.wait_seconds = 0.3
    with pytest.raises(StoreBusyError, match=f"process {reader.process.pid} .*is reading"):
        add(store)
    store.wait_seconds = 30.0
    reader.go_on()
    assert reader.ends() == "[(10,)]"
    add(store)


def test_an_unused_lease_ends_by_itself(path: Path) -> None:
    store = StoreConnection.of(path, idle_seconds=0.2)
    with store.write() as cursor:
        cursor.execute("CREATE TABLE {db}.main.t (n INTEGER)")
    assert not is_free(path)
    assert eventually(lambda: is_free(path))
    assert eventually(lambda: not any("lease of s.duckdb" in thread.name for thread in threading.enumerate()))


def test_a_lease_ends_at_once_where_no_thread_can_start(
    store: StoreConnection, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As at the end of the interpreter, since Python 3.12."""
    store.close()

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    add(store)
    assert eventually(lambda: is_free(path))  # without a thread, a lease that did not end now would never end
    assert count(store) == 11
    assert eventually(lambda: is_free(path))


def test_a_transaction_is_kept_apart_though_its_file_was_opened_and_closed_plainly(store: StoreConnection) -> None:
    other_program = """
    import duckdb, sys
    with duckdb.connect() as shell:
        shell.execute(f"ATTACH '{sys.argv[1]}' AS s")
        shell.execute("INSERT INTO s.t SELECT range FROM range(1000)")
    print("written")
    """
    with store.write() as cursor:
        cursor.execute("INSERT INTO {db}.main.t VALUES (1)")
        store.path.read_bytes()
        # A process that respects our lock stays out ...
        refused = helper(
            """
            from lumibot_duckdb.storage.errors import StoreBusyError
            store.wait_seconds = 0.3
            try:
                add()
            except StoreBusyError:
                tell("busy")
            """,
            store.path,
        )
        assert refused.ends() == "busy"
    store.close()
    assert count(store) == 11
    store.close()
    # ... while DuckDB's own lock is gone by then: this is why there is another.
    with duckdb.connect() as shell:
        shell.execute(f"ATTACH '{store.path}' AS s")
        store.path.read_bytes()
        assert Python(other_program, store.path).ends() == "written"


def test_a_burst_of_writes_lets_other_processes_in_between(store: StoreConnection) -> None:
    with store.burst():
        add(store)
        other = helper("tell('here'); add(); tell(count())", store.path)
        assert other.says() == "here"
        for written in itertools.count(2):  # until the other has written too
            add(store)
            if count(store) > 10 + written:
                break
    assert int(other.ends()) > 11


def test_a_reader_is_served_while_other_processes_always_write(store: StoreConnection) -> None:
    script = """
    tell("here")
    with store.burst():
        while not os.path.exists(sys.argv[2]):
            add()
    """
    done = store.path.with_name("done")
    writers = [helper(script, store.path, done) for _ in range(2)]
    for writer in writers:
        assert writer.says() == "here"
    seen: set[int] = set()
    until = time.monotonic() + 60
    while len(seen) <= 5 and time.monotonic() < until:  # on a busy machine the writers are slow
        seen.add(count(store))
        store.close()
    done.touch()
    for writer in writers:
        writer.ends()
    assert len(seen) > 5


def test_a_writer_is_served_while_other_processes_always_read(store: StoreConnection) -> None:
    script = """
    tell("here")
    def read():
        while not os.path.exists(sys.argv[2]):
            count()
    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    """
    done = store.path.with_name("done")
    readers = [helper(script, store.path, done) for _ in range(3)]
    for reader in readers:
        assert reader.says() == "here"
    for _ in range(20):
        add(store)
        store.close()
    done.touch()
    for reader in readers:
        reader.ends()
    assert count(store) == 30


@pytest.mark.parametrize("doing", ["reading", "writing"])
def test_another_program_that_has_the_file_open_is_waited_for(store: StoreConnection, doing: str) -> None:
    store.close()
    shell = Python(SHELL, store.path, doing)
    assert shell.says() == "open"
    threading.Timer(0.2, shell.go_on).start()
    add(store)
    assert shell.ends() == "closed"
    assert count(store) == (12 if doing == "writing" else 11)


def test_another_program_that_keeps_the_file_open_is_named(store: StoreConnection) -> None:
    store.close()
    store.wait_seconds = 0.3
    shell = Python(SHELL, store.path, "writing")
    assert shell.says() == "open"
    with pytest.raises(StoreBusyError, match=f"process {shell.process.pid}"):
        count(store)
    shell.go_on()
    shell.ends()
    assert count(store) == 11


def test_reads_continue_while_a_write_waits_for_another_program_that_reads(store: StoreConnection) -> None:
    store.close()
    store.wait_seconds = 1.0
    shell = Python(SHELL, store.path, "reading")
    assert shell.says() == "open"
    raised: list[BaseException] = []
    writer = threading.Thread(target=lambda: raised.extend(in_threads(lambda: add(store))))
    writer.start()
    reads = 0
    while writer.is_alive():
        assert count(store) == 10
        reads += 1
    writer.join()
    assert [type(error) for error in raised] == [StoreBusyError]
    assert reads > 3
    shell.go_on()
    assert shell.ends() == "closed"
    add(store)


def test_a_duckdb_connection_of_ones_own_process_is_named_too(store: StoreConnection) -> None:
    store.close()
    store.wait_seconds = 0.3
    with (
        duckdb.connect(str(store.path)),
        pytest.raises(StoreBusyError, match="another DuckDB connection of this process"),
    ):
        count(store)
    assert count(store) == 10


def test_the_end_of_the_interpreter_leaves_no_lock_and_no_log(store: StoreConnection) -> None:
    assert helper("add(); tell(count())", store.path).ends() == "11"
    assert helper("count(); add(); threading.Thread(target=add).start()", store.path).ends() == ""
    assert not store.path.with_name("s.duckdb.wal").exists()
    with duckdb.connect(str(store.path)) as other:
        assert other.execute("SELECT count(*) FROM t").fetchall() == [(13,)]


# -- replacing the file --------------------------------------------------------------------------------------


def test_the_file_can_be_replaced_under_the_lock(store: StoreConnection) -> None:
    before = store.generation()
    add(store)  # leaves a log, that must not be applied to the new file
    with store.exclusive() as file:
        assert sorted(entry.name for entry in file.parent.iterdir()) == [
            "s.duckdb",
            "s.duckdb.lock",
            "s.duckdb.turn",
        ]
        replacement = file.with_name("replacement")
        with duckdb.connect() as other:
            other.execute(f"ATTACH '{file}' AS old; ATTACH '{replacement}' AS new (STORAGE_VERSION 'v1.5.0')")
            other.execute("CREATE TABLE new.t AS SELECT n FROM old.t WHERE n < 5")
        replacement.replace(file)
    assert store.generation() != before
    assert count(store) == 6


def test_nobody_reads_or_writes_while_the_file_may_be_replaced(store: StoreConnection) -> None:
    refused = "store.wait_seconds = 0.3\ntry:\n    {}()\nexcept Exception as error:\n    tell(type(error).__name__)\n"
    with store.exclusive():
        for what in ("count", "add"):
            assert helper(refused.format(what), store.path).ends() == "StoreBusyError"
        store.wait_seconds = 0.3
        errors = in_threads(lambda: count(store), lambda: add(store))
        assert [type(error) for error in errors] == [StoreBusyError] * 2
    assert count(store) == 10


def test_other_processes_read_while_nobody_may_write(store: StoreConnection) -> None:
    add(store)
    generation = store.generation()
    refused = "store.wait_seconds = 0.3\ntry:\n    {}()\nexcept Exception as error:\n    tell(type(error).__name__)\n"
    with store.unchanging() as file:
        assert helper("tell(count())", store.path).ends() == "11"
        assert helper(refused.format("add"), store.path).ends() == "StoreBusyError"
        with duckdb.connect(str(file), read_only=True) as other:
            assert other.execute("SELECT count(*) FROM t").fetchall() == [(11,)]
        store.wait_seconds = 0.3
        errors = in_threads(lambda: count(store), lambda: add(store))
        assert [type(error) for error in errors] == [StoreBusyError] * 2
    assert store.generation() == generation
    add(store)
    assert count(store) == 12


def test_threads_that_want_nobody_to_write_take_turns_with_those_that_write(store: StoreConnection) -> None:
    def copy() -> None:
        for _ in range(5):
            with store.unchanging() as file, duckdb.connect(str(file), read_only=True) as other:
                assert other.execute("SELECT count(*) >= 10 FROM t").fetchall() == [(True,)]

    def write() -> None:
        for _ in range(5):
            add(store)
            count(store)

    assert in_threads(copy, copy, write) == []
    assert count(store) == 15


@pytest.mark.parametrize("content", [None, b"", b"no store" * 1000])
def test_what_is_no_store_can_be_replaced_under_the_lock(path: Path, content: bytes | None) -> None:
    store = StoreConnection.of(path)
    if content is not None:
        path.write_bytes(content)
    with store.replacing() as file:
        assert (file.read_bytes() if file.exists() else None) == content
        held = "store.wait_seconds = 0.1\ntry:\n    add()\nexcept Exception as error:\n    tell(type(error).__name__)\n"
        assert helper(held, path).ends() == "StoreBusyError"
        replacement = file.with_name("replacement")
        with duckdb.connect(str(replacement)) as other:
            other.execute("CREATE TABLE t AS SELECT range AS n FROM range(3)")
        replacement.replace(file)
    assert count(store) == 3
    store.close()


def test_an_error_while_the_file_may_be_replaced_leaves_the_store_usable(store: StoreConnection) -> None:
    with pytest.raises(ValueError, match="no"), store.exclusive():
        raise ValueError("no")
    add(store)
    assert count(store) == 11


def test_a_store_that_was_deleted_under_a_lease_is_not_written_into_thin_air(store: StoreConnection) -> None:
    count(store)
    store.path.unlink()
    with pytest.raises(StoreNotFoundError):
        count(store)
    for lease in ("none", "exclusive"):
        with store.write() as cursor:
            cursor.execute("CREATE TABLE {db}.main.t AS SELECT 1 AS n")
        if lease == "none":
            store.path.unlink()
    assert count(store) == 1


# -- forks ---------------------------------------------------------------------------------------------------


def test_a_forked_child_uses_the_store_on_its_own(store: StoreConnection) -> None:
    script = """
    add()
    tell(count())
    child = os.fork()
    if child == 0:
        tell("child", count())
        add()
        tell("child", count())
        store.close()
        os._exit(0)  # a normal end aborts, for the connection that DuckDB 1.5 makes for itself when imported
    tell(os.waitpid(child, 0)[1])
    tell(count())
    """
    assert helper(script, store.path).ends().split("\n") == ["11", "child 11", "child 12", "0", "12"]


def test_a_child_forked_inside_a_block_neither_harms_it_nor_uses_it(store: StoreConnection) -> None:
    script = """
    child = None
    try:
        with store.write() as cursor:
            cursor.execute("INSERT INTO {db}.main.t VALUES (1)")
            child = os.fork()
            if child == 0:
                try:
                    cursor.execute("SELECT 1")
                except RuntimeError as error:
                    tell("child:", error)
            else:
                os.waitpid(child, 0)
                cursor.execute("INSERT INTO {db}.main.t VALUES (2)")
    except RuntimeError:
        tell("child: the block did not commit")
        try:
            count()
        except Exception as error:
            tell("child:", type(error).__name__)
        os._exit(0)
    tell(count())
    """
    assert helper(script, store.path).ends().split("\n") == [
        "child: this cursor belongs to the parent process; enter a read() or write() block in the forked one",
        "child: the block did not commit",
        "child: StorageError",
        "12",
    ]


def test_a_child_that_lives_on_does_not_keep_the_lock_of_its_dead_parent(store: StoreConnection) -> None:
    script = """
    with store.read():
        child = os.fork()
        if child == 0:
            sys.stdin.readline()
            os._exit(0)
        tell("reading")
        os.kill(os.getpid(), 9)
    """
    store.close()
    parent = helper(script, store.path)
    assert parent.says() == "reading"
    parent.process.wait()
    # DuckDB's own lock died with the parent, and so did ours, though the child has inherited the descriptors.
    add(store)
    parent.go_on()
    assert count(store) == 11


def test_forking_does_not_wait_for_what_it_need_not(store: StoreConnection) -> None:
    script = """
    import multiprocessing
    fork = multiprocessing.get_context("fork")
    def child(pipe):
        pipe.send(count())
    add()
    for _ in range(5):
        ours, theirs = fork.Pipe()
        process = fork.Process(target=child, args=(theirs,))
        process.start()
        tell(ours.recv())
        process.join()
        add()
    """
    assert helper(script, store.path).ends().split() == ["11", "12", "13", "14", "15"]


# -- files and disks that fail -------------------------------------------------------------------------------


def test_a_file_that_is_no_store_is_named(path: Path) -> None:
    for content in (b"hello", b"hello" * 10_000, b"SQLite format 3\0" + bytes(8192)):
        path.write_bytes(content)
        store = StoreConnection.of(path)
        for block in (store.read, store.write):
            with pytest.raises(StoreDamagedError, match=r"s\.duckdb"), block():
                pass
        assert path.read_bytes() == content


@pytest.mark.parametrize("keep", [100, 4096, 9000, 300_000])
def test_a_store_that_was_cut_off_is_named(store: StoreConnection, keep: int) -> None:
    with store.write() as cursor:
        cursor.execute("INSERT INTO {db}.main.t SELECT hash(range) % 1000000007 FROM range(200000)")
    store.close()
    os.truncate(store.path, keep)
    with pytest.raises(StoreDamagedError, match=r"s\.duckdb"), store.read() as cursor:
        cursor.rows("SELECT sum(n) FROM {db}.main.t")


def test_a_store_with_wrong_bytes_is_named_and_the_process_continues(store: StoreConnection, tmp_path: Path) -> None:
    with store.write() as cursor:
        cursor.execute("INSERT INTO {db}.main.t SELECT hash(range) % 1000000007 FROM range(300000)")
    store.close()
    with store.path.open("r+b") as file:
        for block in range(1, store.path.stat().st_size // 262_144):
            file.seek(12_288 + block * 262_144 + 5000)
            file.write(b"\xff" * 100)
    with pytest.raises(StoreDamagedError, match=r"s\.duckdb"), store.read() as cursor:
        cursor.rows("SELECT sum(n) FROM {db}.main.t")
    store.close()
    other = StoreConnection.of(tmp_path / "other.duckdb")
    with other.write() as cursor:
        cursor.execute("CREATE TABLE {db}.main.t AS SELECT 1 AS n")
    assert count(other) == 1
    other.close()


def test_a_duckdb_that_failed_is_replaced_by_a_new_one(store: StoreConnection) -> None:
    add(store)
    with pytest.raises(duckdb.FatalException), store.read():
        raise duckdb.FatalException("FATAL Error: the database has been invalidated")
    add(store)
    assert count(store) == 12


@pytest.mark.parametrize("failure", [duckdb.FatalException("fsync failed!"), duckdb.IOException("Could not write")])
@pytest.mark.parametrize("step", ["_run_attach", "_run_detach"])
def test_a_store_whose_creation_failed_can_be_created_later(
    path: Path, monkeypatch: pytest.MonkeyPatch, failure: duckdb.Error, step: str
) -> None:
    """The disk fails while DuckDB attaches the new file, or detaches it."""
    engine, other = Engine.current(), StoreConnection.of(path.with_name("other.duckdb"))
    with other.write() as cursor:
        cursor.execute("CREATE TABLE {db}.main.t AS SELECT 1 AS n")
    store = StoreConnection.of(path)

    def fail(*arguments: object) -> None:
        raise failure

    with monkeypatch.context() as failing:
        if step == "_run_attach":
            failing.setattr("lumibot_duckdb.storage.connection.store_file.attach", fail)
        else:
            failing.setattr(store._file, step, fail)
        with pytest.raises(StoreWriteError, match="the disk is full or failed, and nothing was stored"), store.write():
            pass
    assert not store.exists()
    assert (Engine.current() is engine) == (isinstance(failure, duckdb.IOException) and step == "_run_attach")
    with store.write() as cursor:
        cursor.execute("CREATE TABLE {db}.main.t AS SELECT 1 AS n")
    assert count(store) == count(other) == 1
    store.close()
    other.close()


class FailingCommit:
    """A DuckDB connection whose COMMIT fails, with the transaction stored or rolled back."""

    def __init__(self, duck: duckdb.DuckDBPyConnection, error: duckdb.Error, *, stores: bool) -> None:
        self._duck = duck
        self._error = error
        self._stores = stores

    def __getattr__(self, name: str) -> Any:
        return getattr(self._duck, name)

    def commit(self) -> None:
        self._duck.commit() if self._stores else self._duck.rollback()
        raise self._error


@pytest.mark.parametrize(
    ("error", "stores", "claim"),
    [
        (duckdb.IOException, False, "nothing was stored"),
        (duckdb.IOException, True, r"may be stored or not.*write the same again"),
        (duckdb.FatalException, False, "nothing was stored"),
    ],
)
def test_a_failed_commit_is_reported_truly(
    store: StoreConnection, monkeypatch: pytest.MonkeyPatch, error: type[duckdb.Error], stores: bool, claim: str
) -> None:
    add(store)
    engine, cursor = Engine.current(), Engine.cursor
    with monkeypatch.context() as failing:
        failing.setattr(Engine, "cursor", lambda self: FailingCommit(cursor(self), error("I/O error"), stores=stores))
        with pytest.raises(StoreWriteError, match=claim):
            add(store)
    # An instance that failed, or whose last transaction is uncertain, is replaced: attaching the file shows the truth.
    assert (Engine.current() is engine) == (error is duckdb.IOException and not stores)
    assert count(store) == (12 if stores else 11)
    add(store)
    assert count(store) == (13 if stores else 12)


def test_a_commit_that_cannot_be_counted_is_a_commit(
    store: StoreConnection, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The lock file fails between the commit and the count of it."""
    add(store)
    bump, calls = store._lock.bump_generation, itertools.count(1)

    def fail_after_the_commit() -> None:
        if next(calls) == 2:
            raise StorageError("cannot write the lock file")
        bump()

    monkeypatch.setattr(store._lock, "bump_generation", fail_after_the_commit)
    add(store)
    assert "every read of this process goes to the disk for now: cannot write the lock file" in caplog.text
    assert count(store) == 12


def test_a_query_that_talks_of_damage_is_not_taken_for_it(store: StoreConnection) -> None:
    with store.read() as cursor, pytest.raises(duckdb.BinderException):
        cursor.rows("SELECT checksum,\n'Corrupt database file: No space left on device'\nFROM {db}.main.t")


def test_a_directory_in_the_place_of_the_store_is_named(path: Path) -> None:
    path.mkdir()
    store = StoreConnection.of(path)
    with pytest.raises(StorageError, match=r"s\.duckdb"), store.read():
        pass


def test_a_file_too_large_for_its_limit_is_rolled_back(path: Path) -> None:
    script = """
    import resource
    from lumibot_duckdb.storage.errors import StoreWriteError
    def sizes(limit): resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    with store.write() as cursor:
        cursor.execute("CREATE TABLE {db}.main.t AS SELECT 1::BIGINT AS n")
    store.close()
    sizes(os.path.getsize(sys.argv[1]) + 300_000)
    for rows in (200_000, 2_000_000):
        try:
            with store.write() as cursor:
                cursor.execute(f"INSERT INTO {{db}}.main.t SELECT hash(range) // 2 FROM range({rows})")
            tell("stored")
        except StoreWriteError as error:
            tell("File too large" in str(error) and sys.argv[1] in str(error))
        tell(count())
        store.close()
        tell(count())
    sizes(resource.RLIM_INFINITY)
    add()
    tell(count())
    """
    assert helper(script, path).ends().split() == ["True", "1", "1", "True", "1", "1", "2"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of eight megabytes."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(disk)], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting a small disk takes root")
    yield disk
    StoreConnection.of(disk / "s.duckdb").close()
    subprocess.run(["umount", str(disk)], check=True)


def fill(disk: Path) -> Path:
    """Leave no room on a disk; return the file that takes it."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(4096)):
            pass
    return filler


def test_what_does_not_fit_on_the_disk_is_rolled_back(small_disk: Path) -> None:
    store = StoreConnection.of(small_disk / "s.duckdb")
    with store.write() as cursor:
        cursor.execute("CREATE TABLE {db}.main.t AS SELECT 1::BIGINT AS n")
    stored, refused = 1, 0
    for attempt in range(40):
        rows = [5_000, 50_000, 400_000][attempt % 3]
        try:
            with store.write() as cursor:
                cursor.execute(f"INSERT INTO {{db}}.main.t SELECT hash(range) // 2 FROM range({rows})")
            stored += rows
        except StoreWriteError as error:
            refused += isinstance(error, DiskFullError)
        assert count(store) == stored
        if attempt % 4 == 0:
            store.close()
            assert count(store) == stored
    assert refused > 10
    assert stored > 5_000
    store.close()
    assert count(store) == stored


def test_a_store_on_a_full_disk_can_be_read_and_written_again_when_there_is_room(small_disk: Path) -> None:
    store = StoreConnection.of(small_disk / "s.duckdb")
    with store.write() as cursor:
        cursor.execute("CREATE TABLE {db}.main.t AS SELECT hash(range) // 2 AS n FROM range(100_000)")
    killed = helper("add(); add(); tell('added'); os.kill(os.getpid(), 9)", store.path)
    store.close()
    assert killed.says() == "added"
    killed.process.wait()
    filler = fill(small_disk)
    assert count(store) == 100_002
    with pytest.raises(DiskFullError, match="the disk is full"), store.write() as cursor:
        cursor.execute("INSERT INTO {db}.main.t SELECT hash(range) // 2 FROM range(1_000_000)")
    assert count(store) == 100_002
    filler.unlink()
    add(store)
    store.close()
    assert count(store) == 100_003
    store.close()
    assert not store.path.with_name("s.duckdb.wal").exists()


def test_there_is_no_room_to_make_a_store(small_disk: Path) -> None:
    filler = fill(small_disk)
    store = StoreConnection.of(small_disk / "s.duckdb")
    with pytest.raises(DiskFullError, match="the disk is full"), store.write():
        pass
    assert not store.exists()
    filler.unlink()
    with store.write() as cursor:
        cursor.execute("CREATE TABLE {db}.main.t AS SELECT 1 AS n")
    assert count(store) == 1


# -- versions of DuckDB --------------------------------------------------------------------------------------


def other_duckdb() -> str:
    """Return the interpreter of the other environment, or skip."""
    major = int(duckdb.__version__.split(".")[0])
    python = REPOSITORY / (".venv-duckdb15" if major >= 2 else ".venv") / "bin" / "python"
    if not python.exists():
        pytest.skip(f"there is no {python.parent.parent.name} with another version of DuckDB")
    return str(python)


def test_a_store_that_one_version_of_duckdb_wrote_is_read_and_written_by_the_other(store: StoreConnection) -> None:
    other = other_duckdb()
    store.close()
    script = PRELUDE + "tell(count()); add(); add(); tell(count())"
    assert Python(script, store.path, python=other).ends().split() == ["10", "12"]
    assert count(store) == 12
    add(store)
    store.close()
    assert Python(script, store.path, python=other).ends().split() == ["13", "15"]
    assert count(store) == 15


def test_a_log_that_one_version_of_duckdb_left_is_recovered_by_the_other(store: StoreConnection) -> None:
    other = other_duckdb()
    store.close()
    script = PRELUDE + "add(); add(); tell('added'); os.kill(os.getpid(), 9)"
    killed = Python(script, store.path, python=other)
    assert killed.says() == "added"
    killed.process.wait()
    assert store.path.with_name("s.duckdb.wal").exists()
    assert count(store) == 12
    assert not store.path.with_name("s.duckdb.wal").exists()


def test_a_file_that_is_too_new_is_refused_with_its_reason(path: Path) -> None:
    if duckdb.__version__.startswith("2."):
        pytest.skip("there is no newer DuckDB to make one")
    script = """
    import duckdb, sys
    with duckdb.connect() as shell:
        shell.execute(f"ATTACH '{sys.argv[1]}' AS s (STORAGE_VERSION 'v2.0.0')")
        shell.execute("CREATE TABLE s.t AS SELECT 1 AS n")
    """
    Python(script, path, python=other_duckdb()).ends()
    with pytest.raises(StoreVersionError, match=r"s\.duckdb"), StoreConnection.of(path).read():
        pass


# -- settings ------------------------------------------------------------------------------------------------


@pytest.fixture
def engine_of_its_own() -> Iterator[None]:
    """Settings are those of the process: put them back."""
    threads, memory_limit = Engine._threads, Engine._memory_limit
    Engine.close_current()
    yield
    Engine._threads, Engine._memory_limit = threads, memory_limit
    Engine.close_current()


def settings() -> tuple[int, str]:
    with Engine.current().cursor() as cursor:
        (found,) = cursor.execute("SELECT current_setting('threads'), current_setting('memory_limit')").fetchall()
    return found


@pytest.mark.usefixtures("engine_of_its_own")
def test_settings_are_modest_unless_given(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LUMIBOT_DUCKDB_THREADS", raising=False)
    monkeypatch.delenv("LUMIBOT_DUCKDB_MEMORY_LIMIT", raising=False)
    StoreConnection.of(path)
    assert settings() == (min(2, os.cpu_count() or 1), "122.0 MiB")
    StoreConnection.of(path, threads=3, memory_limit="1GiB")
    assert settings() == (3, "1.0 GiB")
    StoreConnection.of(path)
    assert settings() == (3, "1.0 GiB")


@pytest.mark.usefixtures("engine_of_its_own")
def test_the_environment_sets_what_arguments_do_not(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUMIBOT_DUCKDB_THREADS", "5")
    monkeypatch.setenv("LUMIBOT_DUCKDB_MEMORY_LIMIT", "512MiB")
    Engine._threads = Engine._memory_limit = None
    assert settings() == (5, "512.0 MiB")
    StoreConnection.of(path, threads=1)
    assert settings() == (1, "512.0 MiB")


@pytest.mark.usefixtures("engine_of_its_own")
def test_unusable_settings_are_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for threads in (0, -1):
        with pytest.raises(ValueError, match="threads must be"):
            StoreConnection.of(path, threads=threads)
    for memory_limit in ("lots", "12", "-1GB", "1GB'; DROP TABLE t; --"):
        with pytest.raises(ValueError, match="memory limit must be"):
            StoreConnection.of(path, memory_limit=memory_limit)
    monkeypatch.setenv("LUMIBOT_DUCKDB_THREADS", "two")
    Engine._threads = None
    with pytest.raises(ValueError, match="LUMIBOT_DUCKDB_THREADS"):
        settings()


def test_what_does_not_fit_in_memory_is_spilled_and_cleaned_up(store: StoreConnection, tmp_path: Path) -> None:
    script = """
    import glob, tempfile
    def spills(): return glob.glob(os.path.join(tempfile.gettempdir(), "lumibot-duckdb-*"))
    StoreConnection.of(sys.argv[1], memory_limit="64MB")
    spilled = []
    def watch():
        while not done.is_set():
            spilled.extend(spills())
            time.sleep(0.002)
    done = threading.Event()
    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    with store.write() as cursor:
        cursor.execute("CREATE TABLE {db}.main.big AS SELECT hash(range) AS n FROM range(3000000)")
        cursor.execute("CREATE TABLE {db}.main.sorted AS SELECT n, n / 2 AS m, n / 3 FROM {db}.main.big ORDER BY n")
    done.set()
    watcher.join()
    tell(len(set(spilled)))
    """
    environment_folder = tmp_path / "spill"
    environment_folder.mkdir()
    process = subprocess.run(
        [sys.executable, "-c", PRELUDE + textwrap.dedent(script), str(store.path)],
        env={**os.environ, "TMPDIR": str(environment_folder)},
        capture_output=True,
        text=True,
    )
    assert (process.stdout.strip(), process.stderr) == ("1", "")
    assert list(environment_folder.iterdir()) == []


def test_the_log_of_a_long_lease_is_folded_as_the_file_grows(store: StoreConnection, path: Path) -> None:
    """Otherwise, the space that each checkpoint frees would be used by none of the writes before the last one."""
    log = path.with_name(f"{path.name}.wal")
    folded_at = []
    with store.write():  # the lease is kept from here on
        pass
    for number in range(8):
        with store.write() as cursor:
            name = f"{{db}}.main.large_{number}"
            cursor.execute(f"CREATE TABLE {name} AS SELECT random() AS x FROM range(500_000)")  # 4 MB
        if not log.exists():
            folded_at.append(number)
    assert folded_at
    assert min(folded_at) >= 3
    assert len(folded_at) <= 2
    assert count(store) == 10
