"""Points Polygon's client at a loopback server, in every process that has this folder on its path.

Scripts that run alone need it as much as those of a sweep, so Python imports it at its start.
"""

from __future__ import annotations

import os
from contextlib import ExitStack

_stack = ExitStack()  # to the end of the process

if url := os.environ.get("TEST_POLYGON"):
    from sources.polygon.loopback_client import client_redirected_to

    _stack.enter_context(client_redirected_to(url))
