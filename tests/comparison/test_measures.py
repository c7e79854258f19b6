"""Requests of every client are counted, times add up, and keys are distinguished from other words."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from lumibot_duckdb.comparison.memory import MemoryCurve
from lumibot_duckdb.comparison.meters import AFTER, BEFORE, FIRST_BARS, IMPORTS, LOOP, Meters, bytes_in
from lumibot_duckdb.comparison.redaction import known_secrets, redacted

# Clients are imported after counting has begun, but for urllib3, which was before.
ASKS = """
import json, sys, urllib3
from lumibot_duckdb.comparison.http_counter import RequestCount
count = RequestCount()
count.begin()
url = sys.argv[1]
import requests
assert requests.get(url).text == "there"
assert requests.get(url + "/moved").text == "there"  # two requests
urllib3.PoolManager().request("GET", url, retries=False)
from curl_cffi import requests as curl
assert curl.get(url).text == "there"
try:
    import httpx
except ImportError:
    pass
else:
    assert httpx.get(url).text == "there"
print(json.dumps([dict(count.by_host), "httpx" in sys.modules]))
"""


class _Answers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        moved = self.path == "/moved"
        self.send_response(302 if moved else 200)
        if moved:
            self.send_header("Location", "/")
        self.send_header("Content-Length", "5" if not moved else "0")
        self.end_headers()
        if not moved:
            self.wfile.write(b"there")

    def log_message(self, *_: object) -> None:
        pass


def test_every_client_is_counted() -> None:
    with HTTPServer(("127.0.0.1", 0), _Answers) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        ended = subprocess.run([sys.executable, "-c", ASKS, url], capture_output=True, text=True, check=False)
        server.shutdown()
    assert ended.returncode == 0, ended.stderr
    by_host, has_httpx = json.loads(ended.stdout)
    assert by_host == {"127.0.0.1": 5 + has_httpx}


def test_phases_add_up_and_recording_is_taken_off() -> None:
    meters = Meters()
    meters.enter(BEFORE)
    time.sleep(0.02)
    meters.enter(LOOP)
    with meters.within(FIRST_BARS):
        time.sleep(0.03)
        with meters.excluded():
            time.sleep(0.2)
    meters.enter(AFTER)
    costs = meters.stop()
    assert sum(costs.phases.values()) == pytest.approx(costs.seconds)
    assert costs.recording >= 0.2
    assert costs.phases[BEFORE] >= 0.02
    assert costs.phases[FIRST_BARS] >= 0.03
    assert costs.phases[IMPORTS] >= 0
    assert costs.memory


def test_the_memory_curve_stays_small() -> None:
    with MemoryCurve(pause=0.001, most=16) as curve:
        ballast = bytearray(80_000_000)
        time.sleep(0.3)
        assert ballast
    assert 4 <= len(curve.points) <= 16
    assert [at for at, _ in curve.points] == sorted(at for at, _ in curve.points)
    assert max(held for _, held in curve.points) > 80_000_000


def test_bytes_of_a_cache_are_without_the_store_in_it(tmp_path: Path) -> None:
    for name, size in (("polygon/a.parquet", 100), ("b.csv", 20), ("duckdb/lumibot.duckdb", 7_000)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(bytes(size))
    assert bytes_in(tmp_path) == 7_120
    assert bytes_in(tmp_path, without=[tmp_path / "duckdb"]) == 120
    assert bytes_in(tmp_path / "not there") == 0


def test_keys_of_the_environment_and_of_env_files_are_hidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("ALPACA_API_SECRET='of the file'\nMARKET=24/7\n")
    secrets = known_secrets(tmp_path / "script.py", {"POLYGON_API_KEY": "of-the-environment", "HOME": "/home/me"})
    assert secrets == {"of the file", "of-the-environment"}
    assert redacted("of the file, of-the-environment, /home/me", secrets) == "[hidden], [hidden], /home/me"


def test_a_file_of_settings_that_is_no_text_gives_no_keys(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"MY_PASSWORD=p\xffssword\n")
    (tmp_path / ".env.local").write_text("MY_PASSWORD=of-the-file\n")
    assert known_secrets(tmp_path / "script.py", {}) == {"of-the-file"}


def test_plain_numbers_and_words_are_no_keys(tmp_path: Path) -> None:
    settings = {"MAX_TOKENS": "100000", "TOKEN_SHARE": "0.12345", "KEY_FILE_KIND": "default", "API_KEY": "1234567890"}
    assert known_secrets(tmp_path / "script.py", settings) == {"1234567890"}
    assert known_secrets(tmp_path / "script.py", {"MY_PASSWORD": "123456"}) == {"123456"}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://x/y?apiKey=abc123&z=1", "https://x/y?apiKey=[hidden]&z=1"),
        ("{'api_secret': 'abc123'}", "{'api_secret': '[hidden]'}"),
        ("Authorization: Bearer abc123", "Authorization: Bearer [hidden]"),
        ("headers={'APCA-API-KEY-ID': 'PK12345'}", "headers={'APCA-API-KEY-ID': '[hidden]'}"),
        ("'APCA-API-SECRET-KEY': 'abc 123', 'x'", "'APCA-API-SECRET-KEY': '[hidden]', 'x'"),
        ("aws_secret_access_key = abc123", "aws_secret_access_key = [hidden]"),
        ("Authorization: Basic dXNlcjpwYXNz", "Authorization: Basic [hidden]"),
        ("{b'Authorization': b'Own abc 123', 'x': 1}", "{b'Authorization': b'[hidden]', 'x': 1}"),
        (r'"{\"apiKey\": \"abc123\"}"', r'"{\"apiKey\": \"[hidden]\"}"'),
        ("no secrets here", "no secrets here"),
    ],
)
def test_the_value_after_the_name_of_a_key_is_hidden(text: str, shown: str) -> None:
    assert redacted(text) == shown
