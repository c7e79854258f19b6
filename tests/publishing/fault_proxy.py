"""An HTTP proxy before an S3 server, which can answer errors, cut bodies off, and be slow."""

from __future__ import annotations

import http.client
import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Fault:
    """What happens to one answer.

    Another status with a code of S3, the end after some bytes of the body, a pause before the answer, a stall before
    that end, or a changed byte. `reset` ends the connection as a server does that crashes: before the answer, or after
    the bytes of `cut_after`.
    """

    status: int | None = None
    code: str = "SlowDown"
    message: str = ""
    cut_after: int | None = None
    pause: float = 0.0
    stall: float = 0.0
    change_byte: int | None = None
    reset: bool = False


@dataclass
class FaultProxy:
    """The proxy. `fault` decides about each request by its method and path; `requests` lists them."""

    url: str
    fault: Callable[[str, str], Fault | None] = lambda method, path: None
    requests: list[tuple[str, str, str]] = field(default_factory=list)

    def reads(self, of: str) -> list[tuple[str, str]]:
        """Return the path and the range of the requests for objects with a text in their names."""
        return [(path, wanted) for method, path, wanted in self.requests if method == "GET" and of in path]


@contextmanager
def fault_proxy(server: str, port: int) -> Iterator[FaultProxy]:
    """Yield a proxy of the server at an address, on a port of its own."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            proxy.requests.append((self.command, self.path, self.headers.get("Range", "")))
            fault = proxy.fault(self.command, self.path) or Fault()
            sent = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            time.sleep(fault.pause)
            if fault.reset and fault.cut_after is None:
                self._reset()
                return
            if fault.status is not None:
                body = _error(fault)
                self._answer(
                    fault.status, {"Content-Type": "text/xml", "Content-Length": str(len(body))}, body, Fault()
                )
                return
            connection = http.client.HTTPConnection(server, port, timeout=30)
            connection.request(self.command, self.path, sent, dict(self.headers))
            answer = connection.getresponse()
            received = bytearray(answer.read())
            if fault.change_byte is not None:
                received[fault.change_byte] ^= 1
            headers = {name: value for name, value in answer.getheaders() if name.lower() not in _OF_A_CONNECTION}
            length = answer.getheader("Content-Length", "0") if self.command == "HEAD" else str(len(received))
            self._answer(answer.status, {**headers, "Content-Length": length}, bytes(received), fault)
            connection.close()

        def _answer(self, status: int, headers: dict[str, str], body: bytes, fault: Fault) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body[: fault.cut_after])
            if fault.cut_after is not None:
                self.wfile.flush()
                time.sleep(fault.stall)
                self.close_connection = True
            if fault.reset:
                self._reset()

        def _reset(self) -> None:
            """Close the connection so that the system sends a reset instead of its usual end."""
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.rfile.close()
            self.wfile.close()
            os.close(self.connection.detach())
            self.close_connection = True

        do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _serve  # noqa: N815

        def log_message(self, *args: Any) -> None:
            pass

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listening.daemon_threads = True
    proxy = FaultProxy(f"http://127.0.0.1:{listening.server_address[1]}")
    thread = threading.Thread(target=listening.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        listening.shutdown()
        listening.server_close()
        thread.join()


_OF_A_CONNECTION = ("content-length", "transfer-encoding", "connection", "date", "server")


def _error(fault: Fault) -> bytes:
    return f"<?xml version='1.0'?><Error><Code>{fault.code}</Code><Message>{fault.message}</Message></Error>".encode()
