"""The context in which tests start processes that use nothing but the storage.

Each is forked from a server that has imported what they need and did nothing else. So, like a spawned process, it
shares no lock, lease or connection with the test, but starts in a twentieth of the time.
"""

from __future__ import annotations

import multiprocessing

FORKED = multiprocessing.get_context("forkserver")
FORKED.set_forkserver_preload(["pandas", "pytest", "hypothesis", "lumibot_duckdb.duckdb_storage"])
