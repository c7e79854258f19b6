"""Fixtures for the tests of the command."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cli.files import Command
from lumibot_duckdb import deactivate


@pytest.fixture
def command(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Command]:
    monkeypatch.delenv("LUMIBOT_DUCKDB_DEBUG", raising=False)
    monkeypatch.chdir(tmp_path)
    yield Command(tmp_path, capsys)
    deactivate()  # `run` activates our sources for the rest of the process


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write a file of the test; a name that ends in .gz is compressed."""

    def write(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        data = content.encode() if isinstance(content, str) else content
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        return path

    return write
