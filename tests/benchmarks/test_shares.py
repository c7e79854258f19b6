"""Samples count for the owner of the code that a strategy's thread runs."""

from __future__ import annotations

from threading import Event, Thread

BUSY = """
def work(seconds):
    from time import thread_time
    end = thread_time() + seconds
    while thread_time() < end:
        pass
"""
STRATEGY = """
def run(others):
    for work, seconds in others:
        work(seconds)
"""


def function_of(module: str, code: str, name: str):
    namespace = {"__name__": module}
    exec(code, namespace)
    return namespace[name]


def test_samples_count_for_the_innermost_owner_in_the_strategys_thread():
    from benchmarks.shares import sampled

    work = [
        (function_of("lumibot_duckdb.windows.window", BUSY, "work"), 0.6),
        (function_of("pandas.core.frame", BUSY, "work"), 0.3),  # Lumibot calls it
    ]
    run = function_of("lumibot.strategies.strategy_executor", STRATEGY, "run")
    elsewhere = function_of("lumibot_duckdb.storage", BUSY, "work")
    ended = Event()
    waiting = Thread(
        target=function_of("lumibot.strategies.strategy_executor", "def run(event): event.wait()", "run"), args=[ended]
    )
    threads = [Thread(target=run, args=[work]), Thread(target=elsewhere, args=[0.3])]
    with sampled({"lumibot": "Lumibot", "lumibot_duckdb": "ours", "lumibot_duckdb.windows": "windows"}) as counts:
        waiting.start()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    ended.set()
    assert set(counts) == {"Lumibot", "windows"}
    assert counts["windows"] > counts["Lumibot"] > 5
