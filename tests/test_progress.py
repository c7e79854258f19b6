"""The line of progress: when it appears, what it says, and that nothing of it is left."""

from __future__ import annotations

import io
import logging
import sys
import time
from types import SimpleNamespace

import pytest

from lumibot_duckdb import progress
from lumibot_duckdb.progress import Progress, counting, duration
from terminals import WIDTH, terminal


def pause() -> None:
    """Give the line the time to be drawn, though it is not to be."""
    time.sleep(0.03)


def test_the_line_moves_and_disappears(monkeypatch: pytest.MonkeyPatch) -> None:
    with terminal(monkeypatch) as screen, Progress("AAPL.csv: reading", 4) as work:
        for percentage in (25, 50, 75, 100):
            work.advance()
            screen.wait(f"{percentage} %")
        work.text = "AAPL.csv: storing"
        screen.wait("storing")
    assert screen.percentages == sorted(screen.percentages)
    assert screen.drawn[0].startswith("AAPL.csv: reading  ")
    assert screen.drawn[-1].startswith("AAPL.csv: storing  ████████████████████████ 100 %  0:00, about 0 s left")
    assert screen.left == ""


def test_work_of_less_than_a_second_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    with terminal(monkeypatch, at_once=False) as screen:
        for _ in range(3):
            with Progress("quick", 4):
                pause()
    assert screen.written == ""


def test_much_short_work_is_shown_and_work_now_and_then_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    with terminal(monkeypatch, at_once=False) as screen:
        monkeypatch.setattr(progress, "time", SimpleNamespace(perf_counter=lambda: now, sleep=time.sleep))
        for _ in range(50):
            with Progress("now and then"):
                now += 0.4
            now += 0.5
        pause()
        assert screen.written == ""
        for _ in range(12):
            with Progress("one after another"):
                now += 0.2
            now += 0.01
    assert screen.drawn[-1] == "#12 one after another  0:02"
    assert screen.left == ""


def test_the_rest_is_estimated_from_what_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    work = Progress("half", 10)
    work.done, work.started = 5, 100.0
    assert progress._drawing([], [work], 0, 0.0, 165.0).endswith("███░░░░░░░░░░░░  50 %  1:05, about 65 s left")
    work.done = 0.1  # too little to tell
    assert progress._drawing([], [work], 0, 0.0, 165.0).endswith("   1 %  1:05")
    work.done = 11
    assert " 100 %" in progress._drawing([], [work], 0, 0.0, 165.0)


@pytest.mark.parametrize(("seconds", "text"), [(7.4, "7 s"), (99.0, "99 s"), (150.0, "2 min"), (9_000.0, "2.5 h")])
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_work_inside_other_work_names_itself_under_the_outer_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    with terminal(monkeypatch) as screen:
        with Progress("outer", 4) as outer, Progress("inner"):
            outer.advance()
            screen.wait(" 25 % ")
        assert any(line.startswith("inner  ") and " 25 % " in line for line in screen.drawn)


def test_expected_steps_are_counted_and_show_nothing_by_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    with terminal(monkeypatch) as screen:
        with counting(4) as steps:
            pause()
            assert screen.written == ""
            steps.done = 2
            with Progress("third", 2) as third:
                third.advance()
                screen.wait(" 62 % ")
        assert any(line.startswith("3 of 4: third  ") and " 62 % " in line for line in screen.drawn)


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_leaves_the_terminal_clean(monkeypatch: pytest.MonkeyPatch, error: type[BaseException]) -> None:
    with terminal(monkeypatch) as screen:
        with pytest.raises(error), Progress("doomed", 2):  # noqa: PT012
            screen.wait()
            raise error
        drawn = len(screen.drawn)
        print("an error", file=sys.stderr, flush=True)
        pause()
        assert len(screen.drawn) == drawn
    assert drawn
    assert screen.left == "an error\n"


def test_messages_do_not_continue_the_line(monkeypatch: pytest.MonkeyPatch) -> None:
    before = logging.getLogRecordFactory()
    with terminal(monkeypatch) as screen:
        handler = logging.StreamHandler(sys.stderr)
        logger = logging.getLogger("test_progress")
        logger.addHandler(handler)
        try:
            with Progress("work", 2):
                for _ in range(2):
                    screen.wait()
                    logger.warning("a message")
                screen.wait()
        finally:
            logger.removeHandler(handler)
        assert logging.getLogRecordFactory() is before
    assert screen.left == "a message\na message\n"
    assert screen.drawn


def test_a_factory_of_records_that_was_wrapped_in_the_meantime_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    with terminal(monkeypatch) as screen:
        before = logging.getLogRecordFactory()
        try:
            with Progress("work"):
                screen.wait()
                ours = logging.getLogRecordFactory()
                wrapped = lambda *arguments, **settings: ours(*arguments, **settings)  # noqa: E731
                logging.setLogRecordFactory(wrapped)
            with Progress("more work"):
                screen.wait()
                logging.getLogger("test_progress").debug("not shown")
                logging.getLogger("test_progress").error("shown")
                screen.wait()
            assert logging.getLogRecordFactory() is wrapped
        finally:
            logging.setLogRecordFactory(before)


def test_hidden_work_hides_the_work_inside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with terminal(monkeypatch) as screen:
        with Progress("hidden", shown=False), Progress("inside", 2):
            pause()
        assert screen.written == ""


@pytest.mark.parametrize("kind", ["file", "dumb", "none"])
def test_nothing_is_written_where_there_is_no_terminal(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    with terminal(monkeypatch) as screen:
        stream = io.StringIO()
        if kind == "dumb":
            monkeypatch.setenv("TERM", "dumb")
        else:
            monkeypatch.setattr(sys, "stderr", stream if kind == "file" else None)
        with Progress("work", 2) as work:
            work.advance()
            pause()
            assert progress._line._drawer is None
    assert screen.written == stream.getvalue() == ""


def test_the_thread_that_draws_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    with terminal(monkeypatch) as screen:
        with Progress("work"):
            screen.wait()
            assert progress._line._drawer is not None
        deadline = time.monotonic() + 5
        while progress._line._drawer is not None:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        with Progress("more work"):
            screen.wait()
        assert screen.drawn[-1].startswith("more work")


def test_the_line_fits_into_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    with terminal(monkeypatch) as screen:
        for name in ("x" * 200, "株" * 100):
            with Progress(name, 3) as work:
                work.advance()
                screen.wait(" 33 % ")
        assert screen.drawn
        for line in screen.drawn:
            assert len(line.replace("株", "xx")) < WIDTH
            assert "...  " in line
