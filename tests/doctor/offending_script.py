"""A script that tries every way to connect, and looks for the user's settings."""

from __future__ import annotations

import json
import os
import socket
import sys
from contextlib import suppress
from pathlib import Path

if __name__ == "__main__":
    found = {"environment": dict(os.environ), "folder": str(Path.cwd()), "home": str(Path.home()), "failed": []}
    for address in (("127.0.0.1", 9_999), ("192.0.2.1", 443)):
        with suppress(ConnectionRefusedError), socket.socket() as wanted:
            wanted.settimeout(1)
            wanted.connect(address)
    try:
        socket.getaddrinfo("example.invalid", 443)
    except ConnectionRefusedError as error:
        found["failed"].append(str(error))
    import curl_cffi.requests

    try:
        curl_cffi.requests.get("https://192.0.2.1/", timeout=2)
    except Exception as error:
        found["failed"].append(str(error))
    (Path(sys.argv[1]) / "found.json").write_text(json.dumps(found))
