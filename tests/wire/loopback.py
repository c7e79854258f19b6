"""A loopback HTTP server for tests: it answers with JSON, logs requests, and misbehaves on demand."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlsplit

Server = TypeVar("Server", bound="LoopbackServer")


@dataclass(frozen=True)
class Request:
    """A request of a client, and its time (`time.monotonic`). Headers are not kept, because they may hold a key."""

    path: str
    query: Mapping[str, str]
    body: bytes = b""
    time: float = field(default_factory=time.monotonic, compare=False, repr=False)


@dataclass
class Answer:
    """A status and a body: bytes are sent unchanged, anything else as JSON."""

    body: Any
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)

    def content(self) -> bytes:
        """Return the bytes that are sent."""
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


@dataclass
class Fault:
    """What goes wrong with `times` requests whose path holds `where`, after `after` such requests without a fault.

    `answer` is given instead of the right one; `drop` breaks the connection off in the middle of the right one; `delay`
    seconds pass before it, and `until` happens.
    """

    where: str = ""
    times: int = 1
    answer: Answer | None = None
    drop: bool = False
    delay: float = 0.0
    until: threading.Event | None = None
    after: int = 0


class LoopbackServer:
    """Runs in a thread while it is entered. Subclasses define the answers."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.faults: list[Fault] = []
        self._guard = threading.Lock()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler_of(self))
        self._http.daemon_threads = True

    @property
    def url(self) -> str:
        """The base address, without a slash at its end."""
        return f"http://127.0.0.1:{self._http.server_port}"

    def answer(self, request: Request, headers: Mapping[str, str]) -> Answer:
        """Answer a request. `headers` have names in lower case."""
        raise NotImplementedError

    def answered_at(self) -> float:
        """Return the time of an answer, for its `Date` header."""
        return time.time()

    def __enter__(self: Server) -> Server:
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.shutdown()
        self._http.server_close()

    def logged(self) -> list[tuple[str, list[tuple[str, str]]]]:
        """Return the logged requests, to compare: paths with their queries, and the form of a POST."""
        form = [dict(parse_qsl(request.body.decode())) for request in self.requests]
        return [
            (request.path, sorted({**request.query, **posted}.items()))
            for request, posted in zip(self.requests, form, strict=True)
        ]

    def note(self, request: Request) -> Fault | None:
        """Log a request, and take the fault that is meant for it, if any."""
        with self._guard:
            self.requests.append(request)
            for fault in self.faults:
                if fault.times == 0 or fault.where not in request.path:
                    continue
                if fault.after == 0:
                    fault.times -= 1
                    return fault
                fault.after -= 1
        return None


def _handler_of(server: LoopbackServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # else the body waits 40 ms for the headers to be acknowledged

        def handle(self) -> None:
            with suppress(ConnectionError):  # clients may be gone before they are answered
                super().handle()

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            request = Request(parts.path, dict(parse_qsl(parts.query)), body)
            fault = server.note(request)
            if fault is not None and fault.delay:
                time.sleep(fault.delay)
            if fault is not None and fault.until is not None:
                fault.until.wait(60)
            if fault is not None and fault.answer is not None:
                answer = fault.answer
            else:
                answer = server.answer(request, {name.lower(): value for name, value in self.headers.items()})
            self._send(answer, broken=fault is not None and fault.drop)

        def do_POST(self) -> None:
            self.do_GET()

        def date_time_string(self, timestamp: float | None = None) -> str:
            return super().date_time_string(server.answered_at() if timestamp is None else timestamp)

        def _send(self, answer: Answer, *, broken: bool) -> None:
            body = answer.content()
            self.send_response(answer.status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.end_headers()
            if broken:
                self.wfile.write(body[: len(body) // 2])
                self.close_connection = True
            else:
                self.wfile.write(body)

        def log_message(self, *arguments: Any) -> None:
            pass

    return Handler
