"""The context in which tests start processes that use nothing but the storage.

Each is forked from a server that has imported what they need and did nothing else. So, like a spawned process, it
shares no lock, lease or connection with the test, but starts in a twentieth of the time.
"""

from __future__ import annotations

import multiprocessing
from multiprocessing.connection import Connection

FORKED = multiprocessing.get_context("forkserver")
FORKED.set_forkserver_preload(["pandas", "pytest", "hypothesis", "lumibot_duckdb.duckdb_storage"])


def last_message(pipe: Connection, so_far: int) -> int:
    """Return the last whole message that a killed process has sent; `so_far` if there is no newer one."""
    try:
        while pipe.poll():
            so_far = pipe.recv()
    except EOFError:
        pass
    return so_far
